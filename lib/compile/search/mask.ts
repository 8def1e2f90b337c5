/** Which bits of a flow a table looks at: the first so many of each field. */
import { LITTLE_ENDIAN } from "../record.ts";
import { WORDS, type Words } from "./hash.ts";

/** Fields in the order of {@link Lengths}. */
export const FIELDS = 4;
export const SADDR = 0;
export const DADDR = 1;
export const SPORT = 2;
export const DPORT = 3;

/**
 * How many of the first bits count: of both addresses 0 to 128, IPv4 in mapped form, and of both ports
 * 0 to 16.
 */
export type Lengths = readonly [saddr: number, daddr: number, sport: number, dport: number];

export const NOTHING: Lengths = [0, 0, 0, 0];

/** Four bytes as a number that lies in memory as they stand here. */
export function wordOf(first: number, second: number, third: number, fourth: number): number {
  return LITTLE_ENDIAN
    ? first | (second << 8) | (third << 16) | (fourth << 24)
    : (first << 24) | (second << 16) | (third << 8) | fourth;
}

/** The first `length` of 32 bits, in network order. */
function wordMask(length: number): number {
  if (length <= 0) return 0;
  const mask = length >= 32 ? -1 : -1 << (32 - length);
  return wordOf(mask >>> 24, (mask >>> 16) & 0xff, (mask >>> 8) & 0xff, mask & 0xff);
}

/** The first `length` of 16 bits. */
function portMask(length: number): number {
  return (0xffff << (16 - length)) & 0xffff;
}

const ADDRESS_MASKS = Array.from({ length: 129 }, (_, length) =>
  [0, 32, 64, 96].map((before) => wordMask(length - before)),
);

/** The first `length` bits of an address, as words lie in memory. */
export function addressMask(length: number): readonly number[] {
  return ADDRESS_MASKS[length] as readonly number[];
}

export function maskOf(lengths: Lengths): Words {
  const mask = new Int32Array(WORDS);
  mask.set(addressMask(lengths[SADDR]));
  mask.set(addressMask(lengths[DADDR]), 4);
  mask[8] = (portMask(lengths[SPORT]) << 16) | portMask(lengths[DPORT]);
  return mask;
}
