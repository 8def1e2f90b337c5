import { FlowEvent, Limit, layout, Outcome } from "../compile/abi.gen.ts";
import { type OutcomeName, outcomeNames } from "../compile/outcomes.ts";
import { LITTLE_ENDIAN } from "../compile/record.ts";
import { isFailure, type NativeObject } from "../native/binding.ts";
import { errorOf, NEEDS } from "../native/failure.ts";
import type { Sliced } from "../rules/sliced.ts";
import type { Direction, Rule } from "../rules/types.ts";
import { directionIndex, directions } from "./directions.ts";
import { inSlices } from "./in-slices.ts";
import type { SegmenterStats } from "./segmenter.ts";
import type { RuleTables } from "./tables.ts";

/** Packets, and bytes of their frames as they came (Ethernet header included, where there is one). */
export interface Counter {
  readonly packets: number;
  readonly bytes: number;
}

/** A rule and what it has matched since it came into force. */
export interface RuleStats extends Counter {
  readonly rule: Rule;
}

export interface DirectionStats {
  /** In the order of the list. */
  readonly rules: readonly RuleStats[];
  /** Every packet counts in exactly one outcome. */
  readonly outcomes: { readonly [outcome in OutcomeName]: Counter };
}

/** The table of flows whose replies follow by themselves, both directions together. */
export interface FlowStats {
  /** How many flows it holds at the most (option `flows` of `Funnel.load`). */
  readonly capacity: number;
  /** How many it holds now. */
  readonly entries: number;
  /** How many were ever added. */
  readonly added: number;
  /** How many made room for others; replies to them are no longer known. */
  readonly evicted: number;
  /** Clients that got another port, because one of the same address had theirs. */
  readonly remapped: number;
  /** Flows that went on under another carrier. */
  readonly moved: number;
  /** Flows that the kernel had no room for. */
  readonly notAdded: number;
  /** Flows that came without their carrier; replies to them go without one too. */
  readonly direct: number;
  /** SYNs whose MSS was lowered to leave room for the carrier. */
  readonly mssClamped: number;
}

/**
 * The table of TCP connections whose ports are translated, and of real ones to the same ports, both
 * directions together.
 */
export interface ConnectionStats {
  /**
   * How many it holds at the most (option `connections` of `Funnel.load`); a quarter more may have begun
   * and not be established yet.
   */
  readonly capacity: number;
  /** How many it holds now, those that have only begun included. One that is over stays for a minute. */
  readonly entries: number;
  /** How many of them have only begun. */
  readonly begun: number;
  /** How many were ever added. */
  readonly added: number;
  /** How many left it: over, refused, silent for too long, or others had the same ports after them. */
  readonly removed: number;
  /** How many made room for others: what still comes of them is answered by a reset. */
  readonly evicted: number;
  /** How many of those had only begun; their SYNs will be sent again. */
  readonly begunEvicted: number;
  /** Collisions: how many got another source port, because one of the same ports had theirs. */
  readonly remapped: number;
  /** Connections that the kernel had no room for. */
  readonly notAdded: number;
  /** SYNs that lost their TCP fast open option or their payload. */
  readonly fastOpenRemoved: number;
}

export type Stats = { readonly [direction in Direction]: DirectionStats } & {
  readonly flows: FlowStats;
  readonly connections: ConnectionStats;
  /** The segmenters of all namespaces that it is attached in, or was. */
  readonly segmenter: SegmenterStats;
};

/** What came out of the segmenter and was not ours. */
export const STRAYS_MAP = "segmenter_strays";

/** Adds up what each CPU counted: counters from `start` on, each so many bytes behind the one before. */
function sumEach(bytes: Uint8Array, start: number, end: number, stride: number): Counter {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const { fields } = layout.counter;
  let packets = 0;
  let octets = 0;
  for (let at = start; at < end; at += stride) {
    packets += Number(view.getBigUint64(at + fields.packets.offset, LITTLE_ENDIAN));
    octets += Number(view.getBigUint64(at + fields.bytes.offset, LITTLE_ENDIAN));
  }
  return { packets, bytes: octets };
}

/** One value of a per-CPU map, which is these bytes. */
export function sumCounter(bytes: Uint8Array, start: number, end: number): Counter {
  return sumEach(bytes, start, end, layout.counter.size);
}

/** One counter of a page of counters of rules, in which those of a CPU lie together. */
export function sumInPage(page: Uint8Array, number: number): Counter {
  const { size } = layout.counter;
  const start = (number % Limit.COUNTER_PAGE) * size;
  return sumEach(page, start, page.length, Limit.COUNTER_PAGE * size);
}

/** `count` entries from `first` of a per-CPU map. */
async function readCounters(
  object: NativeObject,
  map: string,
  first: number,
  count: number,
): Promise<Counter[]> {
  const bytes = await object.read(map, first, count);
  if (isFailure(bytes)) throw errorOf(bytes, "stats", NEEDS.load ?? []);
  const stride = bytes.byteLength / count;
  return Array.from({ length: count }, (_, index) =>
    sumCounter(bytes, index * stride, (index + 1) * stride),
  );
}

/** Rules between two chances to leave. */
const PART = 256;

/** What each rule has counted, given the counter of each and what all CPUs have in those. */
function* ruleStats(
  rules: readonly Rule[],
  numbers: Uint32Array,
  pages: readonly Uint8Array[],
): Sliced<readonly RuleStats[]> {
  const stats = new Array<RuleStats>(rules.length);
  for (const [index, rule] of rules.entries()) {
    if (index % PART === PART - 1) yield;
    const number = numbers[index] as number;
    const page = pages[Math.floor(number / Limit.COUNTER_PAGE)] as Uint8Array;
    stats[index] = { rule, ...sumInPage(page, number) };
  }
  return stats;
}

export async function readStats(
  object: NativeObject,
  tables: RuleTables,
): Promise<{ readonly [direction in Direction]: DirectionStats }> {
  const { lists } = tables;
  const numbers = {
    ingress: tables.counterNumbers("ingress"),
    egress: tables.counterNumbers("egress"),
  };
  const [pages, counts] = await Promise.all([
    tables.readCounters("stats"),
    readCounters(object, "outcome_counters", 0, directions.length * Outcome.OUTCOMES),
  ]);
  const of = async (direction: Direction): Promise<DirectionStats> => {
    const first = directionIndex(direction) * Outcome.OUTCOMES;
    return {
      rules: await inSlices(ruleStats(lists[direction], numbers[direction], pages)),
      outcomes: Object.fromEntries(
        outcomeNames.map((name, index) => [name, counts[first + index]]),
      ) as DirectionStats["outcomes"],
    };
  };
  return { ingress: await of("ingress"), egress: await of("egress") };
}

/** How often each event of the tables has happened. */
async function readEvents(object: NativeObject): Promise<(event: number) => number> {
  const events = await readCounters(object, "flow_counters", 0, FlowEvent.FLOW_EVENTS);
  return (event) => events[event]?.packets ?? 0;
}

/** How many entries a table holds, into which so many ever came; to count them takes its time. */
async function countEntries(
  object: NativeObject,
  table: string,
  added: number,
  ...alone: [number?]
): Promise<number> {
  if (added === 0) return 0;
  const entries = await object.entries(table, ...alone);
  if (isFailure(entries)) throw errorOf(entries, "stats", NEEDS.load ?? []);
  return entries;
}

export async function readFlowStats(object: NativeObject, capacity: number): Promise<FlowStats> {
  const of = await readEvents(object);
  const added = of(FlowEvent.FLOW_ADDED);
  const entries = await countEntries(object, "replies", added);
  const direct = of(FlowEvent.FLOW_DIRECT);
  return {
    capacity,
    entries,
    added,
    // Flows added while we counted must not make it negative.
    evicted: Math.max(0, added - direct - entries),
    remapped: of(FlowEvent.FLOW_REMAPPED),
    moved: of(FlowEvent.FLOW_MOVED),
    notAdded: of(FlowEvent.FLOW_NOT_ADDED),
    direct,
    mssClamped: of(FlowEvent.FLOW_MSS_CLAMPED),
  };
}

export async function readConnectionStats(
  object: NativeObject,
  capacity: number,
): Promise<ConnectionStats> {
  const of = await readEvents(object);
  const added = of(FlowEvent.CONNECTION_ADDED);
  // One of two of a connection may have made room for another; the other brings it back.
  const alone = layout.connection.fields.isAlone.offset;
  const [kept, begun] = await Promise.all([
    countEntries(object, "connections", added, alone),
    countEntries(object, "beginnings", added, alone),
  ]);
  const removed = of(FlowEvent.CONNECTION_REMOVED);
  // What happens while we count must not make any of it negative.
  const evicted = Math.max(0, added - removed - kept - begun);
  const keptEvicted = of(FlowEvent.CONNECTION_KEPT) - of(FlowEvent.CONNECTION_GONE) - kept;
  return {
    capacity,
    entries: kept + begun,
    begun,
    added,
    removed,
    evicted,
    begunEvicted: Math.max(0, evicted - Math.max(0, keptEvicted)),
    remapped: of(FlowEvent.CONNECTION_REMAPPED),
    notAdded: of(FlowEvent.CONNECTION_NOT_ADDED),
    fastOpenRemoved: of(FlowEvent.CONNECTION_FAST_OPEN_REMOVED),
  };
}

export async function readStrays(object: NativeObject): Promise<number> {
  const [strays] = await readCounters(object, STRAYS_MAP, 0, 1);
  return strays?.packets ?? 0;
}
