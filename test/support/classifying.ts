/**
 * Lists of rules in the kernel, in either program, and frames through them: which rule each has met, and
 * what became of it, against a linear search and the model.
 */
import { readFileSync } from "node:fs";
import { limits } from "../../lib/compile/limits.ts";
import {
  type Direction,
  Funnel,
  formatRule,
  normalisePorts,
  normaliseRules,
  type PortRange,
  type Rule,
  type TestRunResult,
} from "../../lib/index.ts";
import { readFrame } from "../../lib/model/frame.ts";
import { Simulator } from "../../lib/model/index.ts";
import { formOf } from "../../lib/model/mark.ts";
import { isTranslating } from "../../lib/model/translate-rules.ts";
import { binding } from "../../lib/native/binding.ts";
import { type Lists, RuleTables } from "../../lib/runtime/tables.ts";
import { testRun } from "../../lib/runtime/test-run.ts";
import { borderFrame } from "./border-frames.ts";
import { isSince } from "./kernel.ts";
import { LinearSearch, type Probe } from "./linear-search.ts";
import { must } from "./native.ts";
import { describeFrame } from "./packet.ts";
import type { Random } from "./random.ts";

/** A loaded program that takes rules and frames. */
export interface Subject {
  replace(lists: Lists): Promise<void>;
  testRun(frame: Uint8Array, direction: Direction): Promise<TestRunResult>;
  close(): Promise<void>;
}

export interface Variant {
  readonly title: string;
  /** Steps that one search may take. */
  readonly searchSteps: number;
  load(): Promise<Subject>;
}

const HAS_LOOP = isSince(5, 17);

/** The program of this kernel, and the one for kernels before 5.17, which runs on this one as well. */
const ALL_VARIANTS: readonly Variant[] = [
  {
    title: "of this kernel",
    searchSteps: HAS_LOOP ? limits.searchSteps : limits.searchStepsBefore517,
    async load() {
      const funnel = await Funnel.load({});
      return {
        replace: (lists) => funnel.replace(lists),
        testRun: (frame, direction) => funnel.testRun(frame, { direction }),
        close: () => funnel.close(),
      };
    },
  },
  {
    title: "for kernels before 5.17",
    searchSteps: limits.searchStepsBefore517,
    async load() {
      const path = new URL("../../dist/bpf/sfunnel-without-loop.bpf.o", import.meta.url);
      const native = binding();
      const object = must(await native.load(readFileSync(path), {}));
      const tables = new RuleTables(object, native.cpuNumbers, {
        searchSteps: limits.searchStepsBefore517,
      });
      return {
        replace: (lists) => tables.replace(lists, "replace"),
        testRun: (frame, direction) => testRun(object, frame, direction),
        async close() {
          await tables.cleaned;
          tables.close();
          object.close();
        },
      };
    },
  },
];

/** Those that differ on this kernel. */
export const VARIANTS = ALL_VARIANTS.slice(0, HAS_LOOP ? 2 : 1);

/** Rules, and frames from their borders with the rule that each has to meet. */
export interface Case {
  readonly rules: readonly Rule[];
  readonly frames: readonly { readonly frame: Uint8Array; readonly rule: number | undefined }[];
}

export function makeCase(random: Random, rules: readonly Rule[], count: number): Case {
  const frames = Array.from({ length: count }, () => borderFrame(random, rules));
  const met = new LinearSearch(rules).findAll(frames.map(probeOf));
  return { rules, frames: frames.map((frame, place) => ({ frame, rule: met[place] })) };
}

/** Which rules the frames of a case meet. */
export function rulesMet({ frames }: Case): (number | undefined)[] {
  return frames.map(({ rule }) => rule);
}

/** Makes a case where it is asked for first, for all variants. */
export function once(make: () => Case): () => Case {
  let made: Case | undefined;
  return () => {
    made ??= make();
    return made;
  };
}

/** A subject, and the model that has seen the same frames. */
export class Classifying {
  readonly #subject: Subject;
  readonly #simulator = new Simulator({});

  constructor(subject: Subject) {
    this.#subject = subject;
  }

  /** Puts the rules in force at one hook, and runs the frames. */
  async run({ rules, frames }: Case, direction: Direction): Promise<void> {
    await this.#subject.replace({ ingress: [], egress: [], [direction]: rules });
    const tracking = trackingRule(rules);
    const wordsOf = (index: number | undefined) =>
      index === undefined ? "no rule" : `rule ${index}: ${formatRule(rules[index] as Rule)}`;
    for (const { frame, rule } of frames) {
      const found = await this.#subject.testRun(frame, direction);
      const outcome = this.#outcome(rules, rule, tracking, frame, direction);
      if (found.rule === rule && found.outcome === outcome) continue;
      const expected = `expected ${outcome} by ${wordsOf(rule)}`;
      const instead = `found ${found.outcome} by ${wordsOf(found.rule)}`;
      throw new Error(`${describeFrame(frame)}\n${expected}\n${instead}`);
    }
  }

  /**
   * What the model says becomes of a frame that meets this rule. It is given that one alone: it reads all
   * of a list for each frame, which takes too long here.
   */
  #outcome(
    rules: readonly Rule[],
    rule: number | undefined,
    tracking: readonly Rule[],
    frame: Uint8Array,
    direction: Direction,
  ) {
    const own = rule === undefined ? [] : [rules[rule] as Rule];
    this.#simulator.replace({ [direction]: [...own, ...tracking] });
    const result = this.#simulator.run(frame, { direction });
    if (result.rule !== (rule === undefined ? undefined : 0)) {
      throw new Error(`the model says that ${describeFrame(frame)} does not meet rule ${rule}`);
    }
    return result.outcome;
  }
}

function probeOf(frame: Uint8Array): Probe {
  const packet = readFrame(frame);
  if (typeof packet === "string") throw new Error(`a frame that is ${packet}`);
  return { flow: packet.flow, form: formOf(packet) };
}

/**
 * A rule that matches nothing, and leads to the ports of all that translate: real connections to those
 * are known, whatever rule they meet.
 */
function trackingRule(rules: readonly Rule[]): readonly Rule[] {
  const ports: PortRange[] = [];
  for (const { action } of rules) {
    if (!isTranslating(action)) continue;
    if (action.kind === "unfunnel") ports.push(...action.allow);
    else ports.push({ first: action.dport, last: action.dport });
  }
  if (ports.length === 0) return [];
  const one = { first: 1, last: 1 };
  return normaliseRules([
    {
      match: {
        transport: "tcp",
        sport: { negate: false, ranges: [one] },
        port: { negate: true, ranges: [one] },
      },
      action: {
        kind: "unfunnel",
        mode: "translate",
        inner: "tcp",
        allow: normalisePorts(ports),
      },
    },
  ]);
}
