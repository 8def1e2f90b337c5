/** Which rule the program in the kernel finds in lists of 5,000 rules to 100,000, in both variants. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type Case,
  Classifying,
  makeCase,
  once,
  rulesMet,
  type Subject,
  VARIANTS,
} from "../support/classifying.ts";
import { mixedRules } from "../support/mixed-rules.ts";
import { skipReason, titled } from "../support/native.ts";
import { overlappingRules } from "../support/overlapping-rules.ts";
import { seededRandom } from "../support/random.ts";

/** A failure is repeated by its seed. */
const SEED = Number(process.env.SFUNNEL_FUZZ_SEED ?? 20_000);
const FRAMES = 300;

const made = (count: number, make: typeof mixedRules) =>
  once(() => {
    const random = seededRandom(SEED);
    return makeCase(random, make(random, count), FRAMES);
  });

const OVERLAPPING = made(5000, overlappingRules);
/** To make a long list ready takes most of the time, and there the variants are the same. */
const MIXED = [made(100_000, mixedRules), made(20_000, mixedRules)] as const;

const SUITES = VARIANTS.map(({ title, load }, index) => ({
  title,
  load,
  lists: [
    { title: "5,000 that overlap", made: OVERLAPPING },
    { title: `${["100,000", "20,000"][index]} of all kinds`, made: MIXED[index] as () => Case },
  ],
}));

/** Milliseconds that a busy machine may take. */
const MANY = 240_000;

describe.skipIf(skipReason).each(SUITES)(titled("the program $title"), ({ load, lists }) => {
  let subject: Subject;
  beforeAll(async () => {
    subject = await load();
  });
  afterAll(() => subject?.close());

  it.each(lists)("finds the first of $title", { timeout: MANY }, async ({ made }) => {
    const { rules } = made();
    await new Classifying(subject).run(made(), "ingress");
    const met = rulesMet(made()).filter((rule) => rule !== undefined);
    expect(met.filter((rule) => rule > rules.length / 2).length).toBeGreaterThan(FRAMES / 30);
    expect(new Set(met).size).toBeGreaterThan(FRAMES / 4);
  });
});
