/** The index finds the first rule that matches: against one look after the other, on lists that overlap. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Limit, layout } from "../../lib/compile/abi.gen.ts";
import { limits } from "../../lib/compile/limits.ts";
import { buildIndex, type SearchIndex } from "../../lib/compile/search/index.ts";
import { classify } from "../../lib/model/classify.ts";
import type { Flow } from "../../lib/model/frame.ts";
import type { Form } from "../../lib/model/mark.ts";
import type { Rule } from "../../lib/rules/index.ts";
import { atOnce } from "../../lib/rules/sliced.ts";
import { arbitraryRules } from "../support/arbitrary-rules.ts";
import { borderFlow } from "../support/border-flows.ts";
import { walkIndex } from "../support/index-walk.ts";
import { LinearSearch, type Probe } from "../support/linear-search.ts";
import { overlappingRules } from "../support/overlapping-rules.ts";
import { type Random, seededRandom } from "../support/random.ts";
import { ruleKinds } from "../support/rule-kinds.ts";
import { search } from "../support/search-index.ts";

const FORMS: readonly Form[] = ["plain", "plain", "plain", "carrier", "marked"];

function probeOf(random: Random, rules: readonly Rule[]): Probe {
  const flow = borderFlow(random, rules);
  return { flow, form: flow.transport === "tcp" ? random.pick(FORMS) : "plain" };
}

/** How the rules of a list are asked. */
interface Reference {
  /** Index of the first rule that matches, or undefined. */
  find(flow: Flow, form: Form): number | undefined;
  /** Whether a rule matches, whatever comes before it. */
  holds(rule: number, flow: Flow, form: Form): boolean;
}

function model(rules: readonly Rule[]): Reference {
  return {
    find: (flow, form) => classify(rules, flow, form),
    holds: (rule, flow, form) => classify([rules[rule] as Rule], flow, form) === 0,
  };
}

/** What the index finds for a flow. */
function found(index: SearchIndex, { flow, form }: Probe, reference: Reference) {
  return search(index, flow, (rule) => reference.holds(rule, flow, form));
}

/** Builds the index of a list, looks at all of it, and searches it for flows; gives the rules found. */
function expectSameAsLinear(
  rules: readonly Rule[],
  random: Random,
  flows: number,
  reference: Reference = model(rules),
) {
  const index = atOnce(buildIndex(rules));
  const { longest } = walkIndex(index, rules.length);
  expect(longest).toBeLessThanOrEqual(index.steps);
  expect(index.steps).toBeLessThanOrEqual(limits.searchSteps);
  const hits: (number | undefined)[] = [];
  for (let count = 0; count < flows; count++) {
    const probe = probeOf(random, rules);
    const { rule, steps } = found(index, probe, reference);
    const expected = reference.find(probe.flow, probe.form);
    // The whole probe only where it is needed: expect() takes its time.
    if (rule !== expected) expect({ ...probe, rule }).toEqual({ ...probe, rule: expected });
    if (steps > longest) expect(steps).toBeLessThanOrEqual(longest);
    hits.push(rule);
  }
  return hits;
}

const seed = fc.integer({ min: 0, max: 2 ** 32 - 1 });

describe("the index of a list of rules", () => {
  it("finds what a linear search finds, whatever the grammar says", () => {
    fc.assert(
      fc.property(arbitraryRules({ maxLength: 40 }), seed, (rules, seed) => {
        expectSameAsLinear(rules, seededRandom(seed), 30);
      }),
      { numRuns: 100 },
    );
  });

  it.each([
    { count: 12, runs: 100, flows: 60 },
    { count: 120, runs: 20, flows: 100 },
    { count: 1200, runs: 2, flows: 150 },
    { count: 4000, runs: 1, flows: 100 },
  ])("finds what a linear search finds among up to $count that overlap", (size) => {
    const depths: number[] = [];
    let misses = 0;
    fc.assert(
      fc.property(
        fc.integer({ min: Math.floor(size.count / 2), max: size.count }),
        seed,
        (count, seed) => {
          const random = seededRandom(seed);
          const rules = overlappingRules(random, count);
          for (const rule of expectSameAsLinear(rules, random, size.flows)) {
            if (rule === undefined) misses++;
            else depths.push(rule / count);
          }
        },
      ),
      { numRuns: size.runs },
    );
    expect(new Set(depths).size).toBeGreaterThan(3);
    // Not only the first rules were met, nor always any. Of a few lists each may have a rule for all of it.
    if (size.count < 1000) {
      expect(depths.filter((depth) => depth > 0.5).length).toBeGreaterThan(depths.length / 50);
      expect(misses).toBeGreaterThan(0);
    }
  });

  it.each(ruleKinds(300))("finds what a linear search finds: $title", ({ rules }) => {
    const random = seededRandom(7);
    // The model reads each prefix anew for each flow, of which there are too many here.
    const linear = new LinearSearch(rules);
    expect(new Set(expectSameAsLinear(rules, random, 400, linear)).size).toBeGreaterThan(3);
  });

  /** What docs/rules.md says of them. */
  it.each([
    { title: "hosts", lengths: [32, 32], most: 2 },
    { title: "prefixes of all lengths", lengths: [8, 32], most: 9 },
  ] as const)("takes few steps among 100,000 $title", ({ lengths: [shortest, longest], most }) => {
    const random = seededRandom(1);
    const prefixes = new Map<string, Rule>();
    while (prefixes.size < 100_000) {
      const length = random.between(shortest, longest);
      const network = (random.uint32() & (length === 32 ? -1 : -1 << (32 - length))) >>> 0;
      const address = [24, 16, 8, 0].map((bits) => (network >>> bits) & 255).join(".");
      const saddr = { negate: false, prefixes: [{ address, length }] };
      prefixes.set(`${address}/${length}`, {
        match: { family: "ip", transport: "udp", saddr },
        action: { kind: "drop" },
      });
    }
    const { steps } = atOnce(buildIndex([...prefixes.values()]));
    expect(steps).toBeGreaterThan(1);
    expect(steps).toBeLessThanOrEqual(most);
  });

  it("is empty where there are no rules", () => {
    expect(expectSameAsLinear([], seededRandom(1), 20)).toEqual(new Array(20).fill(undefined));
  });

  it("is found to be wrong wherever a rule is missing", () => {
    const random = seededRandom(11);
    const rules = overlappingRules(random, 40);
    const linear = new LinearSearch(rules);
    const probes = Array.from({ length: 400 }, () => probeOf(random, rules));
    const whole = atOnce(buildIndex(rules));
    const { buckets } = walkIndex(whole, rules.length);
    const first = probes.map((probe) => found(whole, probe, linear).rule);
    for (const missing of new Set(first)) {
      if (missing === undefined) continue;
      const index = { ...whole, bytes: withoutRule(whole.bytes, buckets, missing) };
      const differing = probes.filter(
        (probe, place) => found(index, probe, linear).rule !== first[place],
      );
      expect(differing.length).toBe(first.filter((rule) => rule === missing).length);
    }
  });
});

/** An index of which the entries of a rule say that nothing has their hash. */
function withoutRule(bytes: Uint8Array, buckets: readonly number[], rule: number): Uint8Array {
  const spoilt = bytes.slice();
  const words = new Uint32Array(spoilt.buffer);
  const { size, fields } = layout.searchBucket;
  for (const bucket of buckets) {
    for (let entry = 0; entry < Limit.BUCKET_RULES; entry++) {
      const at = (bucket * size + fields.entries.offset) / 4 + 2 * entry;
      if (words[at + 1] === rule) words[at] = ~(words[at] as number);
    }
  }
  return spoilt;
}

describe("the linear search of the tests", () => {
  it("finds what the model finds", () => {
    fc.assert(
      fc.property(arbitraryRules({ maxLength: 40 }), seed, (rules, seed) => {
        const random = seededRandom(seed);
        const linear = new LinearSearch(rules);
        for (let count = 0; count < 30; count++) {
          const { flow, form } = probeOf(random, rules);
          expect(linear.find(flow, form)).toBe(classify(rules, flow, form));
        }
      }),
      { numRuns: 100 },
    );
  });
});
