/**
 * Tables of packets: one row is rules, a frame, and all that is to become of it. A row is run
 * through the program in the kernel and through the reference model; both have to say what the
 * row says, and the kernel's counters have to move by this one frame and nothing else.
 */

import { afterAll, describe, expect, it } from "vitest";
import { Funnel, parseRules, type Stats } from "../../lib/index.ts";
import { type Outcome, Simulator } from "../../lib/model/index.ts";
import type { Direction, Transport } from "../../lib/rules/types.ts";
import { execute } from "./execute.ts";
import { isSince } from "./kernel.ts";
import { deleteNetns, makeNetns, type TestNetns } from "./netns.ts";
import { describeFrame, hex } from "./packet.ts";

/** A frame that comes before the one of a row, and is remembered. */
export interface Earlier {
  readonly direction: Direction;
  readonly frame: Uint8Array;
  readonly outcome: Outcome;
}

export interface Row {
  readonly name: string;
  /** Rules of `direction`, as text. */
  readonly rules: string;
  /** Rules of the other direction, as text. Default: none. */
  readonly otherRules?: string;
  readonly direction: Direction;
  /** Frames that come before, after which nothing else is remembered. Default: none. */
  readonly earlier?: readonly Earlier[];
  /** MTU of the interface that all of this happens on. Default: loopback's. */
  readonly mtu?: number;
  readonly frame: Uint8Array;
  readonly outcome: Outcome;
  /** Index of the rule that matches. Default: the first, where the outcome is a rule's work. */
  readonly rule?: number | undefined;
  /** The frame that leaves, or that answers it. Default: the one that came. */
  readonly out?: Uint8Array;
  /** What is behind the carrier, where there is one: makes differences readable. */
  readonly inner?: Transport;
}

const DROPS: readonly Outcome[] = [
  "dropped",
  "not_allowed",
  "no_free_port",
  "too_big",
  "too_big_reported",
  "translate_not_allowed",
  "translate_lost",
];
const WITHOUT_RULE: readonly Outcome[] = [
  "no_match",
  "reply_funneled",
  "reply_unfunneled",
  "error_unfunneled",
  "error_funneled",
  "quote_too_short",
  "direct_remapped",
  "translate_unconfirmed",
  "not_ip",
  "not_tcp_udp",
  "extension_header",
  "fragment",
  "malformed",
];

/** The program for kernels before 5.17 does not know the MTU of a device (docs/compatibility.md). */
const KNOWS_MTU = isSince(5, 17);

/** What the row expects, with its defaults filled in. */
function expectationOf(row: Row) {
  const isRuleless = WITHOUT_RULE.includes(row.outcome);
  const rule = "rule" in row ? row.rule : isRuleless ? undefined : 0;
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
  const same = verdict === rest.verdict && outcome === rest.outcome && rule === rest.rule;
  // Thousands of rows: words for those that differ.
  if (same && Buffer.compare(result.frame, frame) === 0) return;
  expect(words({ verdict, outcome, rule } as typeof rest, result.frame), who).toBe(
    words(rest, frame),
  );
}

/** Fails where somebody has written to the bytes of a row. */
function expectUntouched({ frame }: Row, copy: Uint8Array): void {
  // To look at arrays element by element takes expect() its time.
  if (Buffer.compare(frame, copy) !== 0) expect(frame, "the caller's bytes").toEqual(copy);
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

/**
 * The same for rows that may share what is remembered: same rules, and nothing but the same before. What
 * is translated has an interface of its own for each row.
 */
function key(row: Row): string {
  const { direction, rules, otherRules = "", earlier = [] } = row;
  const frames = translates(row)
    ? []
    : earlier.map(({ direction, frame }) => `${direction} ${hex(frame)}`);
  return [direction, rules, otherRules, ...frames].join(" ");
}

/** Whether the program remembers flows after such a row, or before it, or might act on remembered ones. */
function remembers(row: Row): boolean {
  const { rules, earlier } = row;
  const isByRule = expectationOf(row).rule !== undefined;
  return earlier !== undefined || rules.includes("unfunnel") || !isByRule;
}

function rulesetOf(row: Row) {
  const rules = parseRules(row.rules);
  const others = parseRules(row.otherRules ?? "");
  return row.direction === "ingress"
    ? { ingress: rules, egress: others }
    : { ingress: others, egress: rules };
}

/** Where the kernel runs what has an MTU: one namespace a file, and in it a veth for each MTU. */
let netns: TestNetns | undefined;
const devices = new Map<number, string>();
/** Interfaces of an MTU on which nothing has been remembered yet. */
const unused = new Map<number, string[]>();
let made = 0;
/** As large as loopback's, but for one byte. */
const LARGEST_MTU = 65_535;
/** So many pairs of an MTU are made first; twice as many each time that more are wanted, up to the most. */
const PAIRS = { first: 2, most: 32 };
const nextPairs = new Map<number, number>();
// This module is loaded once a file, and its hooks are the file's.
afterAll(deleteNetns);

/** An interface of this MTU that no other row gets. */
function ownPlace(mtu = LARGEST_MTU) {
  netns ??= makeNetns();
  const left = unused.get(mtu) ?? [];
  if (left.length === 0) {
    const pairs = nextPairs.get(mtu) ?? PAIRS.first;
    nextPairs.set(mtu, Math.min(2 * pairs, PAIRS.most));
    const commands = Array.from({ length: pairs }, () => {
      const [device, peer] = [`own-${++made}`, `own-${++made}`];
      left.push(device, peer);
      return `link add ${device} mtu ${mtu} type veth peer name ${peer} mtu ${mtu}`;
    });
    execute("ip", ["-n", netns.name, "-batch", "-"], commands.join("\n"));
    unused.set(mtu, left);
  }
  return { device: left.shift() as string, netns: netns.name };
}

function translates({ rules, otherRules = "" }: Row): boolean {
  return `${rules}${otherRules}`.includes("translate");
}

/** The interface of this MTU, made when the first row wants it. */
function placeOf(mtu: number) {
  netns ??= makeNetns();
  const device = devices.get(mtu) ?? `mtu-${mtu}`;
  if (!devices.has(mtu)) {
    netns.run("ip", "link", "add", device, "mtu", `${mtu}`, "type", "veth");
    devices.set(mtu, device);
  }
  return { device, netns: netns.name };
}

function expectModel(row: Row): void {
  const model = new Simulator(rulesetOf(row));
  const place = row.mtu === undefined ? {} : { mtu: row.mtu };
  for (const { direction, frame, outcome } of row.earlier ?? []) {
    expect(model.run(frame, { direction, ...place }).outcome, describeFrame(frame)).toBe(outcome);
  }
  const copy = new Uint8Array(row.frame);
  expectSame("model", row, model.run(row.frame, { direction: row.direction, ...place }));
  expectUntouched(row, copy);
}

/** Interfaces of the rows of one key that remember, by MTU. */
const places = new Map<number | undefined, { device: string; netns: string }>();

/** What came earlier is remembered for the interface that it came by. */
function placeFor(row: Row) {
  const { mtu } = row;
  if (translates(row)) return ownPlace(mtu);
  if (!remembers(row)) return mtu === undefined ? {} : placeOf(mtu);
  const place = places.get(mtu) ?? ownPlace(mtu);
  places.set(mtu, place);
  return place;
}

async function expectKernel(row: Row, funnel: Funnel): Promise<void> {
  const place = placeFor(row);
  const { earlier = [] } = row;
  for (const { direction, frame, outcome } of earlier) {
    counted = undefined;
    expect((await funnel.testRun(frame, { direction, ...place })).outcome).toBe(outcome);
  }
  const before = counted ?? (await funnel.stats());
  counted = undefined;
  const copy = new Uint8Array(row.frame);
  const run = await funnel.testRun(row.frame, { direction: row.direction, ...place });
  expectSame("kernel", row, run);
  expectUntouched(row, copy);
  const after = await funnel.stats();
  expect(countersOf(after)).toEqual(countersAfter(before, row));
  counted = after;
}

/** The one program of a file: a load takes its time. */
let funnel: Funnel | undefined;
let inForce: Row | undefined;
/** What it has counted so far, where nothing has been run since. */
let counted: Stats | undefined;
afterAll(() => funnel?.close());

/** So many are remembered; to count them for `stats()` means to look through all of a table. */
const REMEMBERED = { flows: 4096, connections: 4096 };

/**
 * The program with the row's rules. What it does with the same flow under another carrier is no
 * matter of a table: a row finds nothing remembered that is not its own.
 */
async function load(row: Row): Promise<Funnel> {
  if (funnel !== undefined && inForce !== undefined && key(inForce) === key(row)) return funnel;
  if (funnel === undefined) funnel = await Funnel.load(rulesetOf(row), REMEMBERED);
  else await funnel.replace(rulesetOf(row));
  inForce = row;
  counted = undefined;
  places.clear();
  return funnel;
}

/** Makes a test of each row; rows with the same rules one after the other, a change costs. */
export function table(title: string, rows: readonly Row[]): void {
  describe(title, () => {
    const sorted = [...rows].sort((a, b) => (key(a) < key(b) ? -1 : Number(key(a) > key(b))));
    it.for(sorted.map((row) => [row.name, row] as const))("%s", async ([, row], { skip }) => {
      expectModel(row);
      if (row.mtu !== undefined && !KNOWS_MTU) skip("the program for this kernel asks no device");
      await expectKernel(row, await load(row));
    });
  });
}
