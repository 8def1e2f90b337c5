import type { Direction } from "../rules/types.ts";
import { type Hook, type Hooked, isHooked, release, unhook } from "./hook.ts";

/** A Funnel at work on one interface. Made by `Funnel.attach`. */
export class Attachment implements AsyncDisposable {
  /** Name of the interface when it was attached. */
  readonly device: string;
  /** Path of its network namespace; "" is the one of this process. */
  readonly netns: string;
  readonly name: string;
  /** Which kernel hook it got. */
  readonly hook: Hook;
  readonly directions: readonly Direction[];
  readonly lifetime: "process" | "device";
  readonly #hooked: readonly Hooked[];
  #closing: Promise<void> | undefined;

  /** @internal */
  constructor(hooked: readonly [Hooked, ...Hooked[]]) {
    const [{ place, hook, options }] = hooked;
    this.device = place.device;
    this.netns = place.netns;
    this.name = options.name;
    this.hook = hook;
    this.lifetime = options.lifetime;
    this.directions = hooked.map(({ direction }) => direction);
    this.#hooked = hooked;
  }

  /** Whether it is still attached: false after `close()`, or when another took its name. */
  get attached(): boolean {
    return this.#closing === undefined && this.#hooked.some(isHooked);
  }

  /**
   * Takes the programs off the interface; whatever its lifetime. An interface that has gone is
   * no error. Idempotent.
   */
  close(): Promise<void> {
    this.#closing ??= this.#detach();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** @internal Gives the handles back and leaves the programs where they are. */
  release(): void {
    for (const hooked of this.#hooked) release(hooked);
  }

  async #detach(): Promise<void> {
    // Both are tried, so that one failure does not leave the other attached.
    const results = await Promise.allSettled(this.#hooked.map(unhook));
    const failed = results.find((result) => result.status === "rejected");
    if (failed) throw failed.reason;
  }
}
