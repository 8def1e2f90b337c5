/** What the two versions of IP have in common, each in its own way. */

import type { Family, Transport } from "../rules/types.ts";
import type { Outcome } from "./outcome.ts";

/** Why a packet shows no ports. */
export type NoTransport = Extract<Outcome, "not_tcp_udp" | "fragment" | "extension_header">;

/** Source and destination address of a packet, 4 or 16 bytes each. */
export interface Addresses {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
}

/** One version of IP. A header given to it is a whole one. */
export interface IpVersion {
  readonly family: Family;
  readonly etherType: number;
  /** Length of a header without options. */
  readonly headerLength: number;
  /** The most bytes that a packet can say it has, its header included. */
  readonly longestPacket: number;
  /**
   * Lengths of header and packet, for bytes that begin with a packet and go on for at least that
   * long; undefined where they contradict each other or the version is another.
   */
  measure(bytes: Uint8Array): { readonly header: number; readonly packet: number } | undefined;
  /** Whether bytes that are at least a header's begin with one of this version, without options. */
  beginsPlainly(bytes: Uint8Array): boolean;
  /** The transport that follows the header directly, or why none does. */
  transportOf(header: Uint8Array): Transport | NoTransport;
  /** Whether this is a part of a packet, the first one included, as far as this header tells. */
  isFragment(header: Uint8Array): boolean;
  /** What follows the header. */
  protocolOf(header: Uint8Array): number;
  /** Length of the whole packet, its header included. */
  packetLengthOf(header: Uint8Array): number;
  addressesOf(header: Uint8Array): Addresses;
  /** The header for another protocol and length of the packet. A checksum that was wrong stays so. */
  reframe(header: Uint8Array, protocol: number, packetLength: number): Uint8Array;
  /** A header of our own making: no options, nothing set that need not be. */
  header(addresses: Addresses, protocol: number, packetLength: number): Uint8Array;
  /**
   * A header without options for what answers a packet at once, in its class of service; nobody is to
   * take it to pieces.
   */
  answer(header: Uint8Array, protocol: number, packetLength: number): Uint8Array;
}
