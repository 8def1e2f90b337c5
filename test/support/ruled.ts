/** The tables of a loaded program whose calls can be made to fail, and a model and a tally of all that passes. */
import { readFileSync } from "node:fs";
import { expect } from "vitest";
import { type Direction, type FunnelRuleset, parseRules, type Rule } from "../../lib/index.ts";
import { Simulator } from "../../lib/model/index.ts";
import { binding, type NativeObject } from "../../lib/native/binding.ts";
import { readStats } from "../../lib/runtime/stats.ts";
import { type Lists, RuleTables } from "../../lib/runtime/tables.ts";
import { testRun } from "../../lib/runtime/test-run.ts";
import { FailingObject, type Injection } from "./failing-object.ts";
import { must } from "./native.ts";
import { describeFrame } from "./packet.ts";
import { Tally } from "./tally.ts";

/** A frame, and the hook that it passes. */
export interface Sent {
  readonly direction: Direction;
  readonly frame: Uint8Array;
}

const read = (rules: FunnelRuleset[Direction]): readonly Rule[] =>
  typeof rules === "string" ? parseRules(rules) : (rules ?? []);

export class Ruled {
  readonly failing: FailingObject;
  readonly #object: NativeObject;
  readonly #tables: RuleTables;
  readonly #simulator = new Simulator({});
  readonly #tally = new Tally();

  private constructor(object: NativeObject, cpus: number) {
    this.#object = object;
    this.failing = new FailingObject(object);
    this.#tables = new RuleTables(this.failing.object, cpus);
  }

  static async load(): Promise<Ruled> {
    const native = binding();
    const path = new URL("../../dist/bpf/sfunnel.bpf.o", import.meta.url);
    return new Ruled(must(await native.load(readFileSync(path), {})), native.cpuNumbers);
  }

  /** Puts other rules in force, and waits until nothing is left to do behind it. */
  async replace(ruleset: FunnelRuleset): Promise<void> {
    const lists: Lists = { ingress: read(ruleset.ingress), egress: read(ruleset.egress) };
    try {
      await this.#tables.replace(lists, "replace");
      this.#simulator.replace(lists);
      this.#tally.replace(lists);
    } finally {
      await this.#tables.cleaned;
    }
  }

  /**
   * The same, with calls that fail. Tells whether the new rules are in force, or the old ones with the
   * error that the calls have given; undefined where the calls have not come.
   */
  async fail(
    ruleset: FunnelRuleset,
    ...injections: readonly Injection[]
  ): Promise<"new" | "old" | undefined> {
    this.failing.begin(...injections);
    const error = await this.replace(ruleset).then(
      () => undefined,
      (error: unknown) => error,
    );
    const { hasFailed } = this.failing;
    this.failing.stop();
    if (error !== undefined) expect(error).toMatchObject({ errno: "ENOMEM", operation: "replace" });
    if (!hasFailed) expect(error).toBe(undefined);
    return hasFailed ? (error === undefined ? "new" : "old") : undefined;
  }

  /** Runs frames, each of which must meet the rule and the outcome that the model says; gives these. */
  async send(sent: readonly Sent[]): Promise<string[]> {
    const outcomes: string[] = [];
    for (const { direction, frame } of sent) {
      const { outcome, rule, verdict } = await testRun(this.#object, frame, direction);
      const expected = this.#simulator.run(frame, { direction });
      expect({ frame: describeFrame(frame), direction, outcome, rule, verdict }).toEqual({
        frame: describeFrame(frame),
        direction,
        outcome: expected.outcome,
        rule: expected.rule,
        verdict: expected.verdict,
      });
      if (rule !== undefined) this.#tally.count(direction, rule, frame.length);
      outcomes.push(outcome);
    }
    return outcomes;
  }

  /** Each rule in force has counted what it had to, and no other is in force. */
  async expectCounters(): Promise<void> {
    for (const direction of ["ingress", "egress"] as const) {
      const { [direction]: stats } = await readStats(this.#object, this.#tables);
      const { rules } = stats;
      const counters = rules.map(({ packets, bytes }) => ({ packets, bytes }));
      expect({ direction, counters }).toEqual({
        direction,
        counters: this.#tally.expected(direction),
      });
    }
  }

  async close(): Promise<void> {
    await this.#tables.cleaned;
    this.#tables.close();
    this.#object.close();
    // What finished work held is given back by the next turn of the loop.
    await new Promise((resolve) => setImmediate(resolve));
  }
}
