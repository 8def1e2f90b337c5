/**
 * Frames one after the other through the program in the kernel and through the reference model,
 * which both remember from frame to frame, and have to agree on each.
 */
import { expect } from "vitest";
import type { Direction, Funnel, FunnelRuleset, OutcomeName } from "../../lib/index.ts";
import { parseRules } from "../../lib/index.ts";
import { Simulator } from "../../lib/model/index.ts";
import { describeFrame, hex } from "./packet.ts";

/** Counts of the table of flows. */
export type FlowCounts = Readonly<Record<"added" | "remapped" | "moved" | "direct", number>>;

function asRules(rules: FunnelRuleset["ingress"]) {
  return typeof rules === "string" ? parseRules(rules) : (rules ?? []);
}

/** In words, and in bytes. */
function inFull(frame: Uint8Array): string {
  return `${describeFrame(frame)}\n${hex(frame)}`;
}

export class Dialogue {
  readonly #funnel: Funnel;
  readonly #simulator = new Simulator({});
  readonly #before: FlowCounts;

  private constructor(funnel: Funnel, before: FlowCounts) {
    this.#funnel = funnel;
    this.#before = before;
  }

  /**
   * Begins one on a Funnel that others have used: it remembers their flows, so each dialogue has
   * to have addresses of its own.
   */
  static async begin(funnel: Funnel, ruleset: FunnelRuleset): Promise<Dialogue> {
    const { flows } = await funnel.stats();
    const dialogue = new Dialogue(funnel, flows);
    await dialogue.replace(ruleset);
    return dialogue;
  }

  async replace({ ingress, egress }: FunnelRuleset): Promise<void> {
    const ruleset = { ingress: asRules(ingress), egress: asRules(egress) };
    this.#simulator.replace(ruleset);
    await this.#funnel.replace(ruleset);
  }

  /**
   * Sends a frame, of which this has to become, and gives what leaves; that is `out`, if given,
   * byte for byte.
   */
  async send(
    direction: Direction,
    frame: Uint8Array,
    outcome: OutcomeName,
    out?: Uint8Array,
  ): Promise<Uint8Array> {
    const expected = this.#simulator.run(frame, { direction });
    const actual = await this.#funnel.testRun(frame, { direction });
    expect(expected.outcome, `model: ${describeFrame(frame)}`).toBe(outcome);
    expect(actual.outcome, `kernel: ${describeFrame(frame)}`).toBe(outcome);
    expect(actual.verdict).toBe(expected.verdict);
    if (actual.verdict === "pass") expect(inFull(actual.frame)).toBe(inFull(expected.frame));
    if (out !== undefined) expect(inFull(actual.frame)).toBe(inFull(out));
    return actual.frame;
  }

  /** What the table of flows has counted since this began. */
  async flows(): Promise<FlowCounts> {
    const { flows } = await this.#funnel.stats();
    const since = (name: keyof FlowCounts) => flows[name] - this.#before[name];
    return {
      added: since("added"),
      remapped: since("remapped"),
      moved: since("moved"),
      direct: since("direct"),
    };
  }
}
