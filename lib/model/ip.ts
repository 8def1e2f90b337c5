/** IP packets of either version: what both have, and where a frame holds one. */

import type { Family } from "../rules/types.ts";
import { readEthernet } from "./ethernet.ts";
import type { IpVersion } from "./ip-version.ts";
import { IPV4 } from "./ip4.ts";
import { IPV6 } from "./ip6.ts";
import type { Outcome } from "./outcome.ts";

const VERSIONS: readonly IpVersion[] = [IPV4, IPV6];

/** The version of IP of each family. */
export const IP: Readonly<Record<Family, IpVersion>> = { ip: IPV4, ip6: IPV6 };

/** A frame taken apart around its IP header. The four byte arrays laid end to end are the frame. */
export interface IpPacket {
  readonly version: IpVersion;
  /** With its VLAN tags. */
  readonly ethernet: Uint8Array;
  /** The header; IPv4's with its options. */
  readonly ip: Uint8Array;
  /** What follows it, as far as its length goes. */
  readonly content: Uint8Array;
  /** What follows the IP packet: Ethernet pads short frames. */
  readonly padding: Uint8Array;
}

/** Takes apart a frame of at least an Ethernet header without tags. The parts are copies. */
export function readIp(frame: Uint8Array): IpPacket | Extract<Outcome, "not_ip" | "malformed"> {
  const ethernet = readEthernet(frame);
  if (typeof ethernet === "string") return ethernet;
  const version = VERSIONS.find(({ etherType }) => etherType === ethernet.etherType);
  if (version === undefined) return "not_ip";
  const lengths = version.measure(frame.subarray(ethernet.length));
  if (lengths === undefined) return "malformed";

  const headerEnd = ethernet.length + lengths.header;
  const packetEnd = ethernet.length + lengths.packet;
  // Not slice(): a Buffer's shares memory with its source.
  const part = (start: number, end: number) => new Uint8Array(frame.subarray(start, end));
  return {
    version,
    ethernet: part(0, ethernet.length),
    ip: part(ethernet.length, headerEnd),
    content: part(headerEnd, packetEnd),
    padding: part(packetEnd, frame.length),
  };
}
