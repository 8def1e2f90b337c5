import type { Direction } from "../rules/types.ts";
import { directions } from "./directions.ts";
import { release, unhook } from "./hook.ts";
import type { ResolvedAttachOptions } from "./options.ts";
import type { Place } from "./place.ts";
import { type Hook, type Hooked, isHooked } from "./registry.ts";
import { leaveSegmenter, releaseSegmenter } from "./segmenter.ts";

/** Who is told when something was taken off its hooks. */
export interface Leaving {
  leave(place: Place): Promise<void>;
}

/** A Funnel at work on one interface. Made by `Funnel.attach`. */
export class Attachment implements AsyncDisposable {
  /** Name of the interface when it was attached. */
  readonly device: string;
  /** Path of its network namespace; "" is the one of this process. */
  readonly netns: string;
  readonly name: string;
  /** Which kernel hook it got. */
  readonly hook: Hook;
  /** At which hooks rules are asked. */
  readonly directions: readonly Direction[];
  readonly lifetime: "process" | "device";
  readonly #hooked: readonly Hooked[];
  readonly #leaving: Leaving;
  #closing: Promise<void> | undefined;

  /** @internal */
  constructor(hooked: readonly Hooked[], options: ResolvedAttachOptions, leaving: Leaving) {
    const [{ place, hook }] = hooked as [Hooked, ...Hooked[]];
    this.device = place.device;
    this.netns = place.netns;
    this.name = options.name;
    this.hook = hook;
    this.lifetime = options.lifetime;
    this.directions = options.direction === "both" ? directions : [options.direction];
    this.#hooked = hooked;
    this.#leaving = leaving;
  }

  /**
   * Whether this handle holds it: false after `close()` of this or of its Funnel, or when this
   * process attached another by its name. What other processes did since is not looked at.
   */
  get attached(): boolean {
    return this.#closing === undefined && this.#hooked.some(isHooked);
  }

  /**
   * Takes the programs off the interface, whatever its lifetime. An interface that has gone is
   * no error, and whoever has taken over its name stays. Idempotent; does nothing after the
   * Funnel was closed.
   */
  close(): Promise<void> {
    this.#closing ??= this.#detach();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** @internal Gives the handles back and leaves the programs where they are. */
  async release(): Promise<void> {
    const released = this.#hooked.map((hooked) => {
      const left = isHooked(hooked) ? releaseSegmenter(hooked) : undefined;
      release(hooked);
      return left;
    });
    await Promise.all(released);
  }

  async #detach(): Promise<void> {
    // All is tried, so that one failure does not leave the other attached.
    const results = await Promise.allSettled(this.#hooked.map(unhook));
    const [{ place }] = this.#hooked as [Hooked];
    results.push(
      ...(await Promise.allSettled([leaveSegmenter(place), this.#leaving.leave(place)])),
    );
    const failed = results.find((result) => result.status === "rejected");
    if (failed) throw failed.reason;
  }
}
