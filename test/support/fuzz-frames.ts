/** `npm run fuzz`: the program in the kernel against the model, for as long as one likes. */

import type { Outcome } from "../../lib/model/index.ts";
import { compare, FRAMES_A_ROUND, Mismatch } from "./compare.ts";
import { MtuPlaces } from "./mtu-places.ts";
import { deleteNetns } from "./netns.ts";

export interface FuzzOptions {
  readonly seed: number;
  /** Frames or texts to stop after. */
  readonly frames: number;
  readonly minutes: number;
  readonly signal: AbortSignal;
}

/** Prints how far it is at most so often. */
const PROGRESS_MILLISECONDS = 5_000;

/** Whether nothing was wrong; prints what was. */
export async function fuzz({ seed, frames, minutes, signal }: FuzzOptions): Promise<boolean> {
  const begun = Date.now();
  const end = begun + minutes * 60_000;
  let told = begun;
  console.log(`seed ${seed}`);
  const sum = (counts: ReadonlyMap<Outcome, number>) =>
    [...counts.values()].reduce((all, count) => all + count, 0);
  try {
    const counts = await compare({
      seed,
      places: new MtuPlaces(),
      goesOn: (rounds) => !signal.aborted && rounds * FRAMES_A_ROUND < frames && Date.now() < end,
      onRound: (sofar) => {
        if (Date.now() - told < PROGRESS_MILLISECONDS) return;
        told = Date.now();
        console.log(`${sum(sofar)} frames in ${Math.round((told - begun) / 1000)} s`);
      },
    });
    const seconds = (Date.now() - begun) / 1000;
    console.log(`${sum(counts)} frames in ${seconds.toFixed(1)} s, and nothing wrong:`);
    for (const [outcome, count] of [...counts].sort((a, b) => b[1] - a[1])) {
      console.log(`  ${outcome.padEnd(18)} ${count}`);
    }
    return true;
  } catch (error) {
    if (!(error instanceof Mismatch)) throw error;
    console.error(
      `${error.message}\n\nrepeat with: npm run fuzz -- --seed ${error.seed} --frames 1`,
    );
    return false;
  } finally {
    deleteNetns();
  }
}
