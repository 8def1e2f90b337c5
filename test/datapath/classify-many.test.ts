/** Which rule the program in the kernel finds in lists of 5,000 rules and of 100,000, in both variants. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
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
import { type Random, seededRandom } from "../support/random.ts";

/** A failure is repeated by its seed. */
const SEED = Number(process.env.SFUNNEL_FUZZ_SEED ?? 20_000);
const FRAMES = 300;

const LISTS = [
  { count: 5000, title: "that overlap", make: overlappingRules },
  { count: 100_000, title: "of all kinds", make: mixedRules },
].map(({ count, title, make }) => ({
  count,
  title,
  made: once(() => {
    const random: Random = seededRandom(SEED);
    return makeCase(random, make(random, count), FRAMES);
  }),
}));

/** Milliseconds that a busy machine may take. */
const MANY = 240_000;

describe.skipIf(skipReason).each(VARIANTS)(titled("the program $title"), ({ load }) => {
  let subject: Subject;
  beforeAll(async () => {
    subject = await load();
  });
  afterAll(() => subject?.close());

  it.each(LISTS)("finds the first of $count $title", { timeout: MANY }, async ({ count, made }) => {
    await new Classifying(subject).run(made(), "ingress");
    const met = rulesMet(made()).filter((rule) => rule !== undefined);
    expect(met.filter((rule) => rule > count / 2).length).toBeGreaterThan(FRAMES / 30);
    expect(new Set(met).size).toBeGreaterThan(FRAMES / 4);
  });
});
