/** The hash by which tables are searched, as bpf/classify.h computes it. */

/** One factor a word of {@link Words}. */
export const FACTORS = Int32Array.of(
  0x9e3779b1,
  0x85ebca77,
  0xc2b2ae3d,
  0x165667b1,
  0xd3a2646d,
  0xfd7046c5,
  0xb55a4f09,
  0x5851f42d,
  0x27d4eb2f,
);

/**
 * What rules look at of a flow, or the bits of it that a table looks at: four words of the source
 * address, four of the destination address, as they lie in memory, and the two ports in one.
 */
export type Words = Int32Array;
export const WORDS = FACTORS.length;

/** Brings what a sum of words depends on to all bits. */
export function mixed(sum: number): number {
  const hash = Math.imul(sum ^ (sum >>> 15), 0x2c1b3c6d);
  return hash ^ (hash >>> 12);
}

/** The hash (unsigned) of the words at `at`, under a mask. */
export function searchHash(words: Words, at: number, mask: Words): number {
  let sum = 0;
  for (let index = 0; index < WORDS; index++) {
    const bits = mask[index] as number;
    if (bits === 0) continue;
    const word = (words[at + index] as number) & bits;
    sum = (sum + Math.imul(word, FACTORS[index] as number)) | 0;
  }
  return mixed(sum) >>> 0;
}
