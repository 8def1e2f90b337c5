// Rounds and ratios. Machines are noisy, and their noise lasts: so what is compared is measured in
// turn, in short rounds, and each ratio is one of neighbours in time.

export function median(numbers) {
  const sorted = [...numbers].sort((one, other) => one - other);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/**
 * Runs all variants in each round, every second round in the opposite order, so that none has
 * always the same place. Gives the numbers of each variant, by round.
 *
 * @param {Record<string, () => Promise<number>>} variants
 * @param {number} rounds
 * @param {AbortSignal} signal
 */
export async function inTurn(variants, rounds, signal) {
  const names = Object.keys(variants);
  const samples = Object.fromEntries(names.map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const name of round % 2 === 0 ? names : names.toReversed()) {
      signal.throwIfAborted();
      samples[name].push(await variants[name]());
    }
  }
  return samples;
}

/** Part of the time for which others may have had the CPUs of a round. */
const LONGEST_WAIT = 0.1;
const ATTEMPTS = 12;

/**
 * One round that other work did not disturb: one that it did is done again.
 *
 * @param {() => Promise<{ waited: number }>} measure
 */
export async function undisturbed(measure) {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const result = await measure();
    if (result.waited <= LONGEST_WAIT) return result;
  }
  throw new Error("this machine is too busy: we had to wait for a CPU");
}

/**
 * One line of the result.
 *
 * @param {{ what: string, against: string, unit: string, digits?: number, ratioDigits?: number,
 *   least?: number, most?: number }} description `least` or `most` is the goal, if there is one
 * @param {readonly number[]} measured
 * @param {readonly number[]} base by round, as `measured`
 */
export function compare(description, measured, base) {
  const ratios = measured.map((value, round) => value / base[round]);
  const { least, most } = description;
  const ratio = median(ratios);
  return {
    ...description,
    ratio,
    lowest: Math.min(...ratios),
    highest: Math.max(...ratios),
    measured: median(measured),
    base: median(base),
    missed: ratio < (least ?? ratio) || ratio > (most ?? ratio),
  };
}

/**
 * One line of the result that compares nothing.
 *
 * @param {{ what: string, unit: string, digits?: number, most?: number }} description `most` is the
 *   goal, if there is one
 * @param {readonly number[]} measured
 */
export function state(description, measured) {
  const value = median(measured);
  return {
    ...description,
    measured: value,
    lowest: Math.min(...measured),
    highest: Math.max(...measured),
    missed: value > (description.most ?? value),
  };
}
