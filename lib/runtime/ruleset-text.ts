/**
 * What a loaded program leaves about itself in its map `sfunnel_text`: the rules as text, and
 * where their counters are. A later process, of another version even, shows them without
 * knowing how this one encodes rules.
 */
import { FlowEvent, layout } from "../compile/abi.gen.ts";
import { outcomeNames } from "../compile/outcomes.ts";
import { parseRules } from "../rules/parse.ts";
import type { Sliced } from "../rules/sliced.ts";
import type { Direction, Rule } from "../rules/types.ts";
import type { ArrayContent } from "./published.ts";

/** Another number: a reader of this version cannot know what it says. */
const FORMAT = 1;
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
  /** Index in the map `rule_counters`. */
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

type ByDirection<Value> = { readonly [direction in Direction]: Value };

/** Rules between two chances to leave. */
const PART = 256;

/** The entries of the map: whole chunks, of which the last one ends in at least one zero. */
export function* encodeRulesetText(
  texts: ByDirection<readonly string[]>,
  counters: ByDirection<ArrayLike<number>>,
): Sliced<ArrayContent> {
  const writer = new TextWriter();
  const head = JSON.stringify({ format: FORMAT, outcomes: outcomeNames, flowEvents });
  writer.write(head.slice(0, -1));
  for (const direction of ["ingress", "egress"] as const) {
    writer.write(`,"${direction}":[`);
    let part = "";
    for (const [index, text] of texts[direction].entries()) {
      const comma = index === 0 ? "" : ",";
      part += `${comma}{"rule":${JSON.stringify(text)},"counter":${counters[direction][index]}}`;
      if (index % PART !== PART - 1) continue;
      writer.write(part);
      part = "";
      yield;
    }
    writer.write(`${part}]`);
  }
  writer.write("}");
  return writer.chunks();
}

/** Collects text as UTF-8. */
class TextWriter {
  #bytes = new Uint8Array(CHUNK);
  #length = 0;

  write(text: string): void {
    // A code unit takes at most three bytes, and there is always a zero behind the text.
    const needed = this.#length + 3 * text.length + 1;
    if (needed > this.#bytes.length) {
      const bytes = new Uint8Array(Math.max(needed, 2 * this.#bytes.length));
      bytes.set(this.#bytes.subarray(0, this.#length));
      this.#bytes = bytes;
    }
    this.#length += encoder.encodeInto(text, this.#bytes.subarray(this.#length)).written;
  }

  chunks(): ArrayContent {
    const count = Math.floor(this.#length / CHUNK) + 1;
    const bytes = this.#bytes.subarray(0, count * CHUNK);
    if (bytes.length === count * CHUNK) return { count, bytes };
    const whole = new Uint8Array(count * CHUNK);
    whole.set(bytes);
    return { count, bytes: whole };
  }
}

const encoder = new TextEncoder();

/** Whether this chunk is the last one of its text: JSON holds no zero byte. */
export function endsText(chunk: Uint8Array): boolean {
  return chunk.at(-1) === 0;
}

/** Reads what `encodeRulesetText` wrote; undefined for anything else. */
export function decodeRulesetText(bytes: Uint8Array): DescribedRuleset | undefined {
  const end = bytes.indexOf(0);
  let data: unknown;
  try {
    data = JSON.parse(new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end)));
  } catch {
    return undefined;
  }
  if (!isRecord(data) || data.format !== FORMAT) return undefined;
  const { outcomes, flowEvents } = data;
  if (!isList(outcomes, isString) || !isList(flowEvents, isString)) return undefined;
  const ingress = readList(data.ingress);
  const egress = readList(data.egress);
  return ingress && egress && { outcomes, flowEvents, ingress, egress };
}

function readList(list: unknown): DescribedRule[] | undefined {
  if (!isList(list, isWrittenRule)) return undefined;
  return list.map(({ rule: text, counter }) => ({ text, rule: readRule(text), counter }));
}

function readRule(text: string): Rule | undefined {
  try {
    return parseRules(text)[0];
  } catch {
    return undefined;
  }
}

function isWrittenRule(value: unknown): value is { rule: string; counter: number } {
  return isRecord(value) && isString(value.rule) && Number.isInteger(value.counter);
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
