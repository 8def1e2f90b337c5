/** What the errors of ICMP and ICMPv6 have in common, each in its own way. */

import type { Addresses } from "./ip-version.ts";

/** One version of ICMP. A message given to it has at least the eight bytes of its header. */
export interface IcmpVersion {
  /** Its number as an IP protocol. */
  readonly protocol: number;
  /** The types that are errors about a packet which they quote. */
  readonly errors: ReadonlySet<number>;
  /** Type and code of the error that says: too big, and this is the MTU. */
  readonly tooBig: readonly [type: number, code: number];
  /** What the checksum covers besides the message. */
  summedBeside(addresses: Addresses, length: number): Uint8Array;
  /** Whether a message is one that tells an MTU. */
  tellsMtu(message: Uint8Array): boolean;
  readMtu(message: Uint8Array): number;
  writeMtu(message: Uint8Array, mtu: number): void;
  /** What is left of a reported MTU where packets get so many bytes longer on the way. */
  mtuLess(mtu: number, bytes: number): number;
  /** Puts right what the message says of the length of its quote, which has grown by so many bytes. */
  growQuote(message: Uint8Array, bytes: number): void;
}

/** The length of a quote is one byte (RFC 4884 section 3). */
const HIGHEST_LENGTH = 0xff;

/**
 * A length in words after a quote has grown by so many of them. Zero says that nothing follows the
 * quote, and a length that cannot be is left alone.
 */
export function grownLength(length: number, words: number): number {
  const grown = length + words;
  return length === 0 || grown <= 0 || grown > HIGHEST_LENGTH ? length : grown;
}
