/** Interfaces of different MTUs, in a namespace of their own, for frames to pass by testRun. */

import { makeNetns } from "./netns.ts";
import type { Random } from "./random.ts";

/** Options of `testRun` and of the model for one interface; without any, loopback. */
export interface Place {
  readonly mtu?: number;
  readonly device?: string;
  readonly netns?: string;
}

/** Around what full-size packets have; the least that IPv6 and IPv4 know; and a jumbo one. */
const MTUS = [68, 576, 1280, 1290, 1300, 1360, 1400, 1500];
/** So many rounds of a hundred have one of them. */
const PERCENT = 50;

export class MtuPlaces {
  readonly #places: readonly Place[];

  /** Goes with `deleteNetns` of netns.ts. */
  constructor() {
    const netns = makeNetns();
    this.#places = MTUS.map((mtu) => {
      const device = `mtu-${mtu}`;
      netns.run("ip", "link", "add", device, "mtu", `${mtu}`, "type", "veth");
      return { mtu, device, netns: netns.name };
    });
  }

  pick(random: Random): Place {
    return random.chance(PERCENT) ? random.pick(this.#places) : {};
  }
}
