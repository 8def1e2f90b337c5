/** What went by before, for whoever looks into a frame of which two implementations think differently. */

import type { Direction } from "../../lib/rules/types.ts";
import { describeFrame } from "./packet.ts";
import { locate } from "./packet-readers.ts";

/** A frame, and what became of it. */
export interface Past {
  readonly index: number;
  readonly direction: Direction;
  readonly came: Uint8Array;
  readonly left: Uint8Array;
  readonly outcome: string;
  readonly rule: number | undefined;
}

/** So many of the last ones are told. */
const TOLD = 30;

export class History {
  readonly #byHosts = new Map<string, Past[]>();

  add(past: Past): void {
    const key = hostsOf(past.came);
    if (key === undefined) return;
    const list = this.#byHosts.get(key) ?? [];
    list.push(past);
    this.#byHosts.set(key, list);
  }

  /** What went between the hosts of this frame, whoever sent it. */
  about(frame: Uint8Array): string[] {
    const key = hostsOf(frame);
    return ((key && this.#byHosts.get(key)) || []).slice(-TOLD).map(inALine);
  }
}

function hostsOf(frame: Uint8Array): string | undefined {
  const found = locate(frame);
  if (found === undefined) return undefined;
  const half = found.addresses.length / 2;
  const hosts = [found.addresses.subarray(0, half), found.addresses.subarray(half)];
  return hosts
    .map((host) => host.join("."))
    .sort()
    .join(" ");
}

function inALine({ index, direction, came, left, outcome, rule }: Past): string {
  const [before, after] = [came, left].map(transportLine);
  const became = before === after ? "" : ` => ${after}`;
  const source = locate(came)?.addresses.slice(0, 16).join(".");
  return `${index} ${direction} ${outcome} rule ${rule}: from ${source} ${before}${became}`;
}

function transportLine(frame: Uint8Array): string {
  const line = describeFrame(frame)
    .split("\n")
    .find((one) => /^(tcp|udp) /.test(one));
  return (line ?? "no transport").replace(/ (offset|reserved|window|checksum) \S+/g, "");
}
