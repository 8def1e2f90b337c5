/** Somebody else's program on our hooks (test/fixtures/foreign.bpf.c), and what it has seen. */
import { binding, type NativeObject } from "../../lib/native/binding.ts";
import { EGRESS, fixture, INGRESS, must } from "./native.ts";

/** Slots of the fixture's counters. */
const KINDS = ["all", "plain", "funneled", "twice"] as const;

/** Packets that the program has met: all of them, and by what they look like. */
export type Seen = { readonly [kind in (typeof KINDS)[number]]: number };

export const NOTHING_SEEN: Seen = { all: 0, plain: 0, funneled: 0, twice: 0 };

/** One place, as the addon wants it. */
export interface HookPlace {
  readonly netns: string;
  readonly ifindex: number;
  readonly direction: 0 | 1;
}

export class Foreign {
  readonly #object: NativeObject;

  private constructor(object: NativeObject) {
    this.#object = object;
  }

  /** `endsChain`: nobody behind it on the hook is reached (TC_ACT_OK). */
  static async load(endsChain = false): Promise<Foreign> {
    const constants = { ends_chain: endsChain ? 1 : 0 };
    return new Foreign(must(await binding().load(fixture("foreign"), {}, constants)));
  }

  /** Ids of its programs: ingress, egress. */
  get programIds(): readonly [number, number] {
    return this.#object.programIds();
  }

  /** Ahead of what is there, or behind it; stays with the device. */
  async onTcx({ netns, ifindex, direction }: HookPlace, first: boolean): Promise<void> {
    must(await this.#object.attachTcx(netns, ifindex, direction, first, false, 0)).release();
  }

  /** Stays with the device. */
  async onClsact({ netns, ifindex, direction }: HookPlace, priority: number): Promise<void> {
    must(await this.#object.attachClsact(netns, ifindex, direction, priority, 1, true)).release();
  }

  async seen(): Promise<Seen> {
    const bytes = must(await this.#object.read("counters", 0, KINDS.length));
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const stride = bytes.byteLength / KINDS.length;
    const sum = (slot: number) => {
      let total = 0;
      for (let at = slot * stride; at < (slot + 1) * stride; at += 8) {
        total += Number(view.getBigUint64(at, true));
      }
      return total;
    };
    return Object.fromEntries(KINDS.map((kind, slot) => [kind, sum(slot)])) as Seen;
  }

  close(): void {
    this.#object.close();
  }
}

/** Both directions of a device, by the name of its namespace. */
export async function hooksOf(
  netnsName: string,
  device: string,
): Promise<{ readonly ingress: HookPlace; readonly egress: HookPlace }> {
  const netns = `/run/netns/${netnsName}`;
  const { ifindex } = must(await binding().device(netns, device));
  return {
    ingress: { netns, ifindex, direction: INGRESS },
    egress: { netns, ifindex, direction: EGRESS },
  };
}
