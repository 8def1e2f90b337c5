/** The Internet checksum: sums after RFC 1071, incremental updates after RFC 1624. */

import type { Addresses } from "./ip-version.ts";

/** Folds carries back in until 16 bits are left ("end-around carry", RFC 1071 section 1). */
function fold(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) {
    folded = (folded % 0x10000) + Math.floor(folded / 0x10000);
  }
  return folded;
}

/** Ones' complement of a 16-bit word. */
function complement(word: number): number {
  return 0xffff - word;
}

/**
 * Plain sum of the 16-bit big-endian words of `bytes`; an odd last byte is padded with zero
 * (RFC 1071). Exact for any packet: a number holds 2^53.
 */
function sumOfWords(bytes: Uint8Array): number {
  let sum = 0;
  for (let offset = 0; offset < bytes.length; offset += 2) {
    sum += ((bytes[offset] ?? 0) << 8) | (bytes[offset + 1] ?? 0);
  }
  return sum;
}

/**
 * Ones' complement sum of the parts laid end to end (RFC 1071). Over bytes that hold a right
 * checksum it is 0xffff. Only the last part may have an odd length.
 */
export function onesComplementSum(...parts: readonly Uint8Array[]): number {
  let sum = 0;
  for (const part of parts) sum += sumOfWords(part);
  return fold(sum);
}

/** `sum` less `amount`, both ones' complement sums. */
export function subtractSum(sum: number, amount: number): number {
  return fold(sum + complement(amount));
}

/** The checksum field that goes with a sum. */
export function checksumOfSum(sum: number): number {
  return complement(sum);
}

/**
 * Checksum field after the bytes `before` became `after`, without a look at any other byte:
 * HC' = ~(~HC + ~m + m'), RFC 1624 equation 3. A checksum that was wrong stays wrong by the
 * same amount, so damage is not hidden from the receiver.
 */
export function updateChecksum(checksum: number, before: Uint8Array, after: Uint8Array): number {
  // The complements of all words of `before`.
  const removed = Math.ceil(before.length / 2) * 0xffff - sumOfWords(before);
  return complement(fold(complement(checksum) + removed + sumOfWords(after)));
}

/** What TCP and UDP sum besides their own bytes, by the length of the addresses. */
export function pseudoHeader(addresses: Addresses, protocol: number, length: number): Uint8Array {
  const isIpv4 = addresses.source.length === 4;
  return isIpv4
    ? pseudoHeader4(addresses, protocol, length)
    : pseudoHeader6(addresses, protocol, length);
}

/** RFC 9293 section 3.1, RFC 768. */
function pseudoHeader4(addresses: Addresses, protocol: number, length: number): Uint8Array {
  const bytes = new Uint8Array(12);
  bytes.set(addresses.source, 0);
  bytes.set(addresses.destination, 4);
  const view = new DataView(bytes.buffer);
  view.setUint8(9, protocol);
  view.setUint16(10, length);
  return bytes;
}

/** RFC 8200 section 8.1. */
function pseudoHeader6(addresses: Addresses, protocol: number, length: number): Uint8Array {
  const bytes = new Uint8Array(40);
  bytes.set(addresses.source, 0);
  bytes.set(addresses.destination, 16);
  const view = new DataView(bytes.buffer);
  view.setUint32(32, length);
  view.setUint8(39, protocol);
  return bytes;
}
