/**
 * Which rule the program in the kernel finds, and what becomes of the frame: against a linear search and
 * the model, in both variants of the program. classify-many.test.ts has the long lists.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildIndex } from "../../lib/compile/search/index.ts";
import { LimitError, parseRules, type Rule } from "../../lib/index.ts";
import { atOnce } from "../../lib/rules/sliced.ts";
import {
  Classifying,
  makeCase,
  once,
  rulesMet,
  type Subject,
  VARIANTS,
} from "../support/classifying.ts";
import { skipReason, titled } from "../support/native.ts";
import { overlappingRules } from "../support/overlapping-rules.ts";
import { ipv4, udp } from "../support/packet.ts";
import { seededRandom } from "../support/random.ts";
import { ruleKinds } from "../support/rule-kinds.ts";

/** A failure is repeated by its seed. */
const SEED = Number(process.env.SFUNNEL_FUZZ_SEED ?? 20_000);

const OVERLAPPING = [1, 2, 5, 12, 30, 100, 300, 600].map((count) => ({
  count,
  made: once(() => {
    const random = seededRandom(SEED + count);
    return makeCase(random, overlappingRules(random, count), 200);
  }),
}));

const KINDS = ruleKinds(300).map(({ title, rules }) => ({
  title,
  made: once(() => makeCase(seededRandom(SEED), rules, 150)),
}));

/** Rules that differ in what they exclude alone: each is about port 0 and one more. */
const EXCLUDING = parseRules(
  Array.from({ length: 2000 }, (_, index) => {
    const port = 1000 + index;
    return `udp dport != { 1-${port - 1}, ${port + 1}-65535 } actions drop`;
  }).join("\n"),
);

describe.skipIf(skipReason).each(VARIANTS)(
  titled("the program $title"),
  ({ load, searchSteps }) => {
    let subject: Subject;
    let classifying: Classifying;
    beforeAll(async () => {
      subject = await load();
      classifying = new Classifying(subject);
    });
    afterAll(() => subject?.close());

    it.each(OVERLAPPING)("finds the first of $count that overlap", async ({ count, made }) => {
      await classifying.run(made(), count % 2 === 0 ? "ingress" : "egress");
      expect(new Set(rulesMet(made())).size).toBeGreaterThan(Math.min(40, count / 3));
    });

    it.each(KINDS)("finds the first of $title", async ({ made }) => {
      await classifying.run(made(), "egress");
      expect(new Set(rulesMet(made())).size).toBeGreaterThan(3);
    });

    it("would not do with another rule, or another outcome", async () => {
      const [rule, other] = parseRules("udp dport 7 actions drop; udp dport 8 actions accept");
      const rules = [rule, other] as [Rule, Rule];
      const frames = (rule: number) => [{ frame: ipv4({}, udp({ dport: 8 })), rule }];
      await classifying.run({ rules, frames: frames(1) }, "egress");
      const repeated = [...rules, { ...rules[1], action: rules[0].action }];
      const wrong = classifying.run({ rules: repeated, frames: frames(2) }, "egress");
      await expect(wrong).rejects.toThrow("expected dropped by rule 2");
    });

    const frame = (dport: number) => ipv4({}, udp({ dport }));
    const ruleOf = async (dport: number) => (await subject.testRun(frame(dport), "ingress")).rule;

    it("follows rules whose search takes as many steps as it goes, and refuses others", async () => {
      const longest = EXCLUDING.slice(0, 7 * Math.min(searchSteps, 256));
      await subject.replace({ ingress: longest, egress: [] });
      const last = longest.length - 1;
      expect([await ruleOf(0), await ruleOf(1000), await ruleOf(1000 + last)]).toEqual([
        0,
        0,
        last,
      ]);
      expect(await ruleOf(1001 + last)).toBe(undefined);

      const { steps } = atOnce(buildIndex(EXCLUDING));
      const replaced = subject.replace({ ingress: EXCLUDING, egress: EXCLUDING });
      if (steps <= searchSteps) {
        await replaced;
        expect(await ruleOf(1000 + EXCLUDING.length - 1)).toBe(EXCLUDING.length - 1);
        return;
      }
      await expect(replaced).rejects.toBeInstanceOf(LimitError);
      await expect(replaced).rejects.toMatchObject({
        code: "SFUNNEL_LIMIT",
        what: "steps in the search of the ingress rules",
        limit: searchSteps,
        found: steps,
        message: expect.stringContaining(`at most ${searchSteps} steps`),
        hint: expect.stringContaining("5.17"),
      });
      // The old ones are in force, and it is not stuck.
      expect([await ruleOf(1000 + last), await ruleOf(1001 + last)]).toEqual([last, undefined]);
      await subject.replace({ ingress: parseRules("udp dport 7 actions drop"), egress: [] });
      expect([await ruleOf(7), await ruleOf(1000)]).toEqual([0, undefined]);
    });
  },
);
