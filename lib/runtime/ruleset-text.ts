/**
 * What a loaded program leaves about itself in its map `sfunnel_text`: the rules as text, and
 * where their counters are. A later process, of another version even, shows them without
 * knowing how this one encodes rules.
 */
import { FlowEvent, layout } from "../compile/abi.gen.ts";
import { ByteSink } from "../compile/byte-sink.ts";
import { outcomeNames } from "../compile/outcomes.ts";
import type { RuleTexts } from "../compile/rule-texts.ts";
import { parseRules } from "../rules/parse.ts";
import { inParts, type Sliced } from "../rules/sliced.ts";
import type { Rule } from "../rules/types.ts";
import type { ByDirection } from "./directions.ts";

/** Another number: a reader of this version cannot know what it says. */
const FORMAT = 3;
const CHUNK = layout.textChunk.size;

/** Names of the events of the flow table in the order of their counters, e.g. "added". */
const flowEvents = Object.keys(FlowEvent)
  .filter((name) => name !== "FLOW_EVENTS")
  .map((name) => name.replace(/^FLOW_/, "").toLowerCase());

/** One rule as it was loaded. */
export interface DescribedRule {
  /** In the canonical spelling, its comment included. */
  readonly text: string;
  /** The same as data; undefined where this version cannot read what another one wrote. */
  readonly rule: Rule | undefined;
  /** Its counters are in page counter / COUNTER_PAGE of the map `rule_counters`. */
  readonly counter: number;
}

export interface DescribedRuleset {
  /** Names of the outcomes in the order of their counters. */
  readonly outcomes: readonly string[];
  /** Names of the events of the flow table in the order of their counters. */
  readonly flowEvents: readonly string[];
  readonly ingress: readonly DescribedRule[];
  readonly egress: readonly DescribedRule[];
}

/** Counters between two chances to leave. */
const PART = 4096;
const encoder = new TextEncoder();

/** Chunks that are put together at a time: a copy of all would be as much again, and held at once. */
const CHUNKS = 32;

/** Text as it will lie in the map. */
export interface RulesetText {
  /** Chunks; the last one ends in at least one zero. */
  readonly count: number;
  /** What is in them, piece by piece. */
  readonly pieces: readonly Uint8Array[];
}

/**
 * A line of JSON, a line for each rule (ingress first), and a line of the counters of all of them.
 */
export function* rulesetText(
  texts: ByDirection<RuleTexts>,
  counters: ByDirection<ArrayLike<number>>,
): Sliced<RulesetText> {
  const { ingress, egress } = texts;
  const counts = { ingress: ingress.count, egress: egress.count };
  const head = JSON.stringify({ format: FORMAT, outcomes: outcomeNames, flowEvents, ...counts });
  const line = new ByteSink();
  for (const direction of ["ingress", "egress"] as const) {
    const numbers = counters[direction];
    yield* inParts(numbers.length, PART, (from, to) => {
      for (let index = from; index < to; index++) {
        line.addNumber(numbers[index] as number);
        line.add(" ");
      }
    });
  }
  const pieces = [encoder.encode(`${head}\n`), ...ingress.pieces, ...egress.pieces, line.take()];
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
  return { count: Math.floor(length / CHUNK) + 1, pieces };
}

/** Puts the chunks of a text together, and hands them over some at a time; `write` copies them. */
export function* writeChunks(
  { count, pieces }: RulesetText,
  write: (first: number, bytes: Uint8Array, count: number) => void,
): Sliced<void> {
  const bytes = new Uint8Array(CHUNKS * CHUNK);
  let first = 0;
  let filled = 0;
  for (const piece of pieces) {
    for (let at = 0; at < piece.length; ) {
      const part = piece.subarray(at, at + bytes.length - filled);
      bytes.set(part, filled);
      at += part.length;
      filled += part.length;
      if (filled < bytes.length) continue;
      write(first, bytes, CHUNKS);
      first += CHUNKS;
      filled = 0;
      yield;
    }
  }
  bytes.fill(0, filled);
  write(first, bytes.subarray(0, (count - first) * CHUNK), count - first);
}

/** Reads what `rulesetText` and `writeChunks` made; undefined for anything else. */
export function decodeRulesetText(bytes: Uint8Array): DescribedRuleset | undefined {
  const end = bytes.indexOf(0);
  const text = new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
  const [head = "", ...lines] = text.split("\n");
  let data: unknown;
  try {
    data = JSON.parse(head);
  } catch {
    return undefined;
  }
  if (!isRecord(data) || data.format !== FORMAT) return undefined;
  const { outcomes, flowEvents, ingress, egress } = data;
  if (!isList(outcomes, isString) || !isList(flowEvents, isString)) return undefined;
  if (!isCount(ingress) || !isCount(egress) || lines.length !== ingress + egress + 1) {
    return undefined;
  }
  const counters = (lines.pop() ?? "").trim().split(" ");
  const rules = lines.map((line, index) => ({
    text: line,
    rule: readRule(line),
    counter: Number(counters[index]),
  }));
  return {
    outcomes,
    flowEvents,
    ingress: rules.slice(0, ingress),
    egress: rules.slice(ingress),
  };
}

function readRule(text: string): Rule | undefined {
  try {
    return parseRules(text)[0];
  } catch {
    return undefined;
  }
}

function isCount(value: unknown): value is number {
  return Number.isInteger(value);
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}

function isString(value: unknown): value is string {
  return typeof value === "string";
}

function isList<Item>(value: unknown, isItem: (item: unknown) => item is Item): value is Item[] {
  return Array.isArray(value) && value.every(isItem);
}
