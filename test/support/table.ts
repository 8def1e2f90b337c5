/**
 * Tables of packets: one row is rules, a frame, and all that is to become of it. A row is run
 * through the program in the kernel and through the reference model; both have to say what the
 * row says, and the kernel's counters have to move by this one frame and nothing else.
 */

import { afterAll, describe, expect, it } from "vitest";
import { Funnel, parseRules, type Stats } from "../../lib/index.ts";
import { type Outcome, simulate } from "../../lib/model/index.ts";
import type { Direction, Rule, Transport } from "../../lib/rules/types.ts";
import { describeFrame, hex } from "./packet.ts";

export interface Row {
  readonly name: string;
  /** Rules of `direction`, as text. */
  readonly rules: string;
  readonly direction: Direction;
  readonly frame: Uint8Array;
  readonly outcome: Outcome;
  /** Index of the rule that matches. Default: the first, where the outcome is a rule's work. */
  readonly rule?: number;
  /** The frame that leaves. Default: the one that came. */
  readonly out?: Uint8Array;
  /** What is behind the carrier, where there is one: makes differences readable. */
  readonly inner?: Transport;
}

const DROPS: readonly string[] = ["dropped", "not_allowed", "too_big"];
const WITHOUT_RULE: readonly Outcome[] = [
  "no_match",
  "not_ipv4",
  "not_tcp_udp",
  "fragment",
  "malformed",
];

/** What the row expects, with its defaults filled in. */
function expectationOf(row: Row) {
  const rule = WITHOUT_RULE.includes(row.outcome) ? undefined : (row.rule ?? 0);
  return {
    verdict: DROPS.includes(row.outcome) ? "drop" : "pass",
    outcome: row.outcome,
    rule,
    frame: row.out ?? row.frame,
  } as const;
}

/** Fails with both frames in words where a result is not what the row says. */
function expectSame(
  who: string,
  row: Row,
  result: { verdict: string; outcome: string; rule: number | undefined; frame: Uint8Array },
): void {
  const { frame, ...rest } = expectationOf(row);
  const words = (what: typeof rest, bytes: Uint8Array) =>
    [
      `${what.verdict}, ${what.outcome}, rule ${what.rule}`,
      describeFrame(bytes, row.inner),
      hex(bytes),
    ].join("\n");
  const { verdict, outcome, rule } = result;
  expect(words({ verdict, outcome, rule } as typeof rest, result.frame), who).toBe(
    words(rest, frame),
  );
}

/** Every counter as "direction name": "packets/bytes", those at zero left out. */
export function countersOf(stats: Stats): Record<string, string> {
  const entries = (["ingress", "egress"] as const).flatMap((direction) => [
    ...Object.entries(stats[direction].outcomes).map(
      ([name, counter]) => [`${direction} ${name}`, counter] as const,
    ),
    ...stats[direction].rules.map(
      (counter, index) => [`${direction} rule ${index}`, counter] as const,
    ),
  ]);
  return Object.fromEntries(
    entries
      .filter(([, { packets, bytes }]) => packets !== 0 || bytes !== 0)
      .map(([name, { packets, bytes }]) => [name, `${packets}/${bytes}`]),
  );
}

/** The counters that one frame through these counters leads to. */
function countersAfter(before: Stats, row: Row): Record<string, string> {
  const { outcome, rule } = expectationOf(row);
  const one = (counter: { packets: number; bytes: number }) => ({
    packets: counter.packets + 1,
    bytes: counter.bytes + row.frame.length,
  });
  const list = before[row.direction];
  const after: Stats = {
    ...before,
    [row.direction]: {
      outcomes: { ...list.outcomes, [outcome]: one(list.outcomes[outcome]) },
      rules: list.rules.map((counter, index) =>
        index === rule ? { ...counter, ...one(counter) } : counter,
      ),
    },
  };
  return countersOf(after);
}

/** Makes a test of each row; rows with the same rules one after the other, a change costs. */
export function table(title: string, rows: readonly Row[]): void {
  describe(title, () => {
    let funnel: Funnel | undefined;
    let inForce: string | undefined;
    afterAll(() => funnel?.close());

    /**
     * The program with the row's rules. One that has unfunneled remembers the flows, and what it
     * does with the same flow under another carrier is no matter of a table.
     */
    async function load(row: Row, rules: readonly Rule[]): Promise<Funnel> {
      const ruleset = { [row.direction]: rules };
      if (funnel !== undefined && inForce === key(row)) return funnel;
      if (funnel === undefined || inForce?.includes("unfunnel")) {
        await funnel?.close();
        funnel = await Funnel.load(ruleset);
      } else {
        await funnel.replace(ruleset);
      }
      inForce = key(row);
      return funnel;
    }

    const key = ({ direction, rules }: Row) => `${direction} ${rules}`;
    const sorted = [...rows].sort((a, b) => (key(a) < key(b) ? -1 : Number(key(a) > key(b))));
    const named = sorted.map((row) => [row.name, row] as const);
    it.each(named)("%s", async (_, row) => {
      const { direction, frame } = row;
      const rules = parseRules(row.rules);
      expectSame("model", row, simulate({ [direction]: rules }, frame, { direction }));

      const funnel = await load(row, rules);
      const before = await funnel.stats();
      const copy = new Uint8Array(frame);
      expectSame("kernel", row, await funnel.testRun(frame, { direction }));
      expect(frame, "the caller's bytes").toEqual(copy);
      expect(countersOf(await funnel.stats())).toEqual(countersAfter(before, row));
    });
  });
}
