/** What of the segmenter is in a namespace. */
import { binding, isFailure } from "../../lib/native/binding.ts";
import { errnoName } from "../../lib/native/errno.ts";
import { INGRESS, must } from "./native.ts";
import { run } from "./netns.ts";

export const SENDING = "sfunnel.seg";
export const RECEIVING = "sfunnel.ret";

export interface SegmenterSeen {
  /** Names of its ends that are there. */
  readonly ends: readonly string[];
  /** How many programs stand at the receiving end: on tcx, and as filters. */
  readonly tcx: number;
  readonly filters: number;
}

export const NO_SEGMENTER: SegmenterSeen = { ends: [], tcx: 0, filters: 0 };

/** A whole one, for as many Funnels of each kind. */
export function segmenterFor(tcx: number, filters = 0): SegmenterSeen {
  return { ends: [RECEIVING, SENDING], tcx, filters };
}

function isGone(result: object): boolean {
  return isFailure(result) && errnoName(result.errno) === "ENODEV";
}

/** By the name of the namespace. */
export async function segmenterIn(netns: string): Promise<SegmenterSeen> {
  const path = `/run/netns/${netns}`;
  const native = binding();
  const devices = must(await native.devices(path)).filter(({ name }) => name.startsWith("sfunnel"));
  const receiver = devices.find(({ name }) => name === RECEIVING)?.ifindex;
  const programs = receiver ? await native.tcxPrograms(path, receiver, INGRESS) : [];
  const qdisc = receiver ? await native.qdisc(path, receiver) : { filters: [] };
  // It may go between the questions.
  if (isGone(programs) || isGone(qdisc)) return segmenterIn(netns);
  return {
    ends: devices.map(({ name }) => name).sort(),
    tcx: must(programs).length,
    filters: must(qdisc).filters.length,
  };
}

/** Offloads of a device that are on, by the names of `ethtool -k`. */
export function offloadsOf(netns: string, device: string): string[] {
  return run("ip", "netns", "exec", netns, "ethtool", "-k", device)
    .split("\n")
    .filter((line) => /: on( |$)/.test(line))
    .map((line) => line.trim().split(":")[0] ?? "");
}
