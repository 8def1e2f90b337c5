/** The program in the kernel against the reference model, on random rulesets and frames. */
import { afterAll, describe, expect, it } from "vitest";
import { outcomeNames } from "../../lib/index.ts";
import { OUTCOMES, type Outcome } from "../../lib/model/index.ts";
import { compare, FRAMES_A_ROUND } from "../support/compare.ts";
import { MtuPlaces } from "../support/mtu-places.ts";
import { deleteNetns } from "../support/netns.ts";

/** Fewer, for a quick look. */
const FRAMES = Number(process.env.SFUNNEL_FUZZ_FRAMES ?? 100_000);
/** A failure names the seed of its round: npm run fuzz -- --seed SEED repeats it. */
const SEED = Number(process.env.SFUNNEL_FUZZ_SEED ?? Date.now() % 2 ** 32);

/**
 * No single frame of testRun is a super-packet, no helper should fail, and for no port to be free,
 * four that a hash has chosen must all be taken.
 */
const NEVER: readonly Outcome[] = ["no_free_port", "segmented", "no_segmenter", "failed"];

afterAll(deleteNetns);

describe("model against kernel", () => {
  it("names the same outcomes", () => expect(outcomeNames).toEqual(OUTCOMES));

  it(`agrees on ${FRAMES} frames, spoils no checksum, and counts each of them once (seed ${SEED})`, async () => {
    const counts = await compare({
      seed: SEED,
      places: new MtuPlaces(),
      goesOn: (rounds) => rounds * FRAMES_A_ROUND < FRAMES,
    });
    const sent = [...counts.values()].reduce((sum, count) => sum + count, 0);
    expect(sent).toBe(FRAMES);
    // A comparison that never met a carrier would prove nothing.
    const missing = OUTCOMES.filter((outcome) => !counts.has(outcome));
    expect(missing.filter((outcome) => !NEVER.includes(outcome))).toEqual([]);
  }, 3_600_000);
});
