import { layout, Outcome } from "../compile/abi.gen.ts";
import { type OutcomeName, outcomeNames } from "../compile/outcomes.ts";
import { LITTLE_ENDIAN } from "../compile/record.ts";
import { isFailure, type NativeObject } from "../native/binding.ts";
import { errorOf, NEEDS } from "../native/failure.ts";
import type { Direction, Rule } from "../rules/types.ts";
import { directionIndex, type RuleTables } from "./tables.ts";

/** Packets, and bytes of their frames as they came (Ethernet header included). */
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

export type Stats = { readonly [direction in Direction]: DirectionStats };

/** Adds up what each CPU counted, for `count` entries from `first` of a per-CPU map. */
async function readCounters(
  object: NativeObject,
  map: string,
  first: number,
  count: number,
): Promise<Counter[]> {
  const bytes = await object.read(map, first, count);
  if (isFailure(bytes)) throw errorOf(bytes, "stats", NEEDS.load ?? []);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const { size, fields } = layout.counter;
  const stride = bytes.byteLength / count;
  return Array.from({ length: count }, (_, index) => {
    let packets = 0;
    let octets = 0;
    for (let at = index * stride; at < (index + 1) * stride; at += size) {
      packets += Number(view.getBigUint64(at + fields.packets.offset, LITTLE_ENDIAN));
      octets += Number(view.getBigUint64(at + fields.bytes.offset, LITTLE_ENDIAN));
    }
    return { packets, bytes: octets };
  });
}

export async function readStats(
  object: NativeObject,
  tables: RuleTables,
  direction: Direction,
): Promise<DirectionStats> {
  const rules = tables.lists[direction];
  const numbers = tables.counterNumbers(direction);
  const highest = Math.max(0, ...numbers);
  const [counters, counts] = await Promise.all([
    readCounters(object, "rule_counters", 0, highest + 1),
    readCounters(
      object,
      "outcome_counters",
      directionIndex(direction) * Outcome.OUTCOMES,
      Outcome.OUTCOMES,
    ),
  ]);
  const zero: Counter = { packets: 0, bytes: 0 };
  return {
    rules: rules.map((rule, index) => ({ rule, ...(counters[numbers[index] ?? 0] ?? zero) })),
    outcomes: Object.fromEntries(
      outcomeNames.map((name, index) => [name, counts[index] ?? zero]),
    ) as DirectionStats["outcomes"],
  };
}
