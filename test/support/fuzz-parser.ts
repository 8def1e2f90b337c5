/** `npm run fuzz -- parser`: any text and data as rules, and what more of it takes. */

import fc from "fast-check";
import { arbitraryData, arbitraryText } from "./arbitrary-texts.ts";
import type { FuzzOptions } from "./fuzz-frames.ts";
import { scalings } from "./parser-scaling.ts";
import { checkDataRead, checkTextRead } from "./read-anything.ts";

/** Texts, and as much data, of one seed. */
const TEXTS_A_ROUND = 1_000;
/** The n of the table. */
const SIZE = 2_000;
/** Texts, unless one says otherwise: some ten seconds. */
const TEXTS = 20_000;

/** Whether nothing was wrong; prints what was. */
export async function fuzz(options: FuzzOptions): Promise<boolean> {
  const { seed, frames, minutes, signal } = options;
  const isLimited = Number.isFinite(frames) || Number.isFinite(minutes);
  const texts = isLimited ? frames : TEXTS;
  const end = Date.now() + minutes * 60_000;
  console.log(`seed ${seed}`);
  let done = 0;
  while (done < texts && Date.now() < end && !signal.aborted) {
    const round = (seed + done / TEXTS_A_ROUND) % 2 ** 32;
    const parameters = { seed: round | 0, numRuns: TEXTS_A_ROUND };
    for (const property of [
      fc.property(arbitraryText, checkTextRead),
      fc.property(arbitraryData, checkDataRead),
    ]) {
      const result = await fc.check(property, parameters);
      if (!result.failed) continue;
      console.error(`in the round of seed ${round}: ${fc.defaultReportMessage(result)}`);
      console.error(`\nrepeat with: npm run fuzz -- parser --seed ${round} --frames 1`);
      return false;
    }
    done += TEXTS_A_ROUND;
    // Signals get their turn.
    await new Promise((resolve) => setImmediate(resolve));
  }
  console.log(`${done} texts and as much data gave rules or a RuleError`);
  if (!signal.aborted) printScalings();
  return true;
}

function printScalings(): void {
  console.log(`\n   ratio  ms of ${SIZE}  ms of ${8 * SIZE}  (8: in proportion)`);
  for (const { what, one, eight } of scalings(SIZE)) {
    const columns = [(eight / one).toFixed(1), one.toFixed(1), eight.toFixed(1)];
    console.log(columns.map((column) => column.padStart(10)).join(" "), what);
  }
}
