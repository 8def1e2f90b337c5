/**
 * New lists on their way into the slot that no packet looks at. Each rule is read once: what it is in memory
 * is far from the CPU, and stays near for all that is made of it. What the kernel takes its time for is done
 * beside what is still to be made.
 */
import { setImmediate } from "node:timers/promises";
import { Direction as DirectionIndex, layout } from "../compile/abi.gen.ts";
import { ConsequencesOfRules } from "../compile/consequences.ts";
import { encodeRules } from "../compile/encode.ts";
import { assertWithin, limits } from "../compile/limits.ts";
import { IndexBuilder, type SearchIndex } from "../compile/search/index.ts";
import { portPrefixes, portSetName, type SetWriter, setKeys } from "../compile/sets.ts";
import type { NativeObject } from "../native/binding.ts";
import { atOnce, type Sliced } from "../rules/sliced.ts";
import type { Direction, Rule } from "../rules/types.ts";
import { type ByDirection, directions } from "./directions.ts";
import { inSlices } from "./in-slices.ts";
import { check } from "./native-result.ts";
import { Filling, publish } from "./published.ts";
import type { Assignment, RuleCounters } from "./rule-counters.ts";
import { rulesetText, writeChunks } from "./ruleset-text.ts";
import { settled } from "./settled.ts";

const FEWER_STEPS =
  "say which flows rules are about instead of which they are not, or take a kernel from 5.17 on";
/** Rules that are read, and written, together: as data they fit into a cache of the CPU. */
const PART = 128;
/** Rules between two chances to leave: the first ones are read by code that is not compiled yet. */
const FEW = 16;
/** Prefixes of sets that are written in one call. */
export const SET_PART = 4096;

/** What it is made of. */
export interface NewRulesetParts {
  readonly object: NativeObject;
  readonly lists: ByDirection<readonly Rule[]>;
  readonly counters: RuleCounters;
  readonly sets: SetWriter;
  /** The idle one. */
  readonly slot: number;
  /** Steps that a search may take. */
  readonly searchSteps: number;
  readonly operation: string;
}

export class NewRuleset {
  readonly #parts: NewRulesetParts;
  readonly assignment: Assignment;
  readonly consequences: ByDirection<ConsequencesOfRules> = {
    ingress: new ConsequencesOfRules(),
    egress: new ConsequencesOfRules(),
  };
  /** What is under way. */
  readonly #works: Promise<void>[] = [];
  readonly #fillings: Filling[] = [];

  constructor(parts: NewRulesetParts) {
    this.#parts = parts;
    const { ingress, egress } = parts.lists;
    this.assignment = parts.counters.begin({ ingress: ingress.length, egress: egress.length });
  }

  /** Makes all of it. When it ends, in whatever way, nothing is under way any more. */
  async make(): Promise<void> {
    try {
      await this.#make();
    } finally {
      await Promise.allSettled(this.#works);
      for (const { array } of this.#fillings) array.close();
    }
    await settled(this.#works);
  }

  async #make(): Promise<void> {
    const { counters, sets, object, slot, operation } = this.#parts;
    const builders = {
      ingress: await this.#read("ingress"),
      egress: await this.#read("egress"),
    };
    await inSlices(counters.end(this.assignment));
    const places = slot * DirectionIndex.DIRECTIONS;
    this.#begin(async () => {
      await settled(this.#fillings.map((filling) => filling.done()));
      const arrays = this.#fillings.map(({ array }) => array);
      check(await object.place("rulesets", places, arrays), operation);
    });
    this.#begin(() => counters.prepare(this.assignment, operation));
    this.#sharedPorts = directions.map((direction) => this.#setOfShared(direction));
    assertWithin("prefixes in sets", limits.setPrefixes, sets.count);
    this.#begin(() => this.#addSets());
    this.#begin(() => this.#placeText());
    const indexes: SearchIndex[] = [];
    for (const direction of directions) {
      const index = await inSlices(builders[direction].build());
      const what = `steps in the search of the ${direction} rules`;
      assertWithin(what, this.#parts.searchSteps, index.steps, FEWER_STEPS);
      indexes.push(index);
    }
    const contents = indexes.map(({ cells, bytes }) => ({ count: cells, bytes }));
    this.#begin(() => publish(object, "indexes", places, contents, operation));
  }

  #sharedPorts: readonly number[] = [];

  /** By direction: number of the set of ports that real connections could share with translated ones. */
  get sharedPorts(): readonly number[] {
    return this.#sharedPorts;
  }

  /** Begins what is waited for in the end. */
  #begin(work: () => Promise<void>): void {
    const begun = work();
    begun.catch(() => undefined);
    this.#works.push(begun);
  }

  /** Reads a list, rule by rule. */
  async #read(direction: Direction): Promise<IndexBuilder> {
    const rules = this.#parts.lists[direction];
    const builder = new IndexBuilder(rules);
    const { object, operation } = this.#parts;
    // No array is empty.
    const count = Math.max(1, rules.length);
    const filling = await Filling.make(object, layout.rule.size, count, operation);
    this.#fillings.push(filling);
    await inSlices(this.#readInSlices(direction, builder, filling));
    return builder;
  }

  *#readInSlices(direction: Direction, builder: IndexBuilder, filling: Filling): Sliced<void> {
    const { length } = this.#parts.lists[direction];
    const read = (from: number, to: number) => {
      for (let index = from; index < to; index++) this.#readRule(direction, index, builder);
    };
    for (let first = 0; first < length; first += PART) {
      const end = Math.min(length, first + PART);
      for (let from = first; from < end; from += FEW) {
        read(from, Math.min(end, from + FEW));
        yield;
      }
      this.#encode(direction, first, end, filling);
      yield;
    }
  }

  #readRule(direction: Direction, index: number, builder: IndexBuilder): void {
    const rule = this.#parts.lists[direction][index] as Rule;
    this.assignment.lists[direction].texts.add(rule);
    this.#parts.counters.assign(this.assignment, direction);
    this.consequences[direction].add(rule);
    builder.add(index);
  }

  #encode(direction: Direction, from: number, to: number, filling: Filling): void {
    const rules = this.#parts.lists[direction].slice(from, to);
    const numbers = this.assignment.lists[direction].numbers.subarray(from, to);
    const { bytes, count } = atOnce(encodeRules(rules, numbers, this.#parts.sets));
    filling.write(from, bytes, count);
  }

  async #placeText(): Promise<void> {
    const { object, slot, operation } = this.#parts;
    const { ingress, egress } = this.assignment.lists;
    const texts = { ingress: ingress.texts, egress: egress.texts };
    const numbers = { ingress: ingress.numbers, egress: egress.numbers };
    const text = await inSlices(rulesetText(texts, numbers));
    const filling = await Filling.make(object, layout.textChunk.size, text.count, operation);
    try {
      await inSlices(
        writeChunks(text, (first, bytes, count) => filling.write(first, bytes, count)),
      );
      await filling.done();
      check(await object.place("sfunnel_text", slot, [filling.array]), operation);
    } finally {
      await filling.done().catch(() => undefined);
      filling.array.close();
    }
  }

  #setOfShared(direction: Direction): number {
    const { sharedPorts } = this.consequences[direction];
    if (sharedPorts.length === 0) return 0;
    return this.#parts.sets.add(portSetName(sharedPorts), () => sharedPorts.flatMap(portPrefixes));
  }

  async #addSets(): Promise<void> {
    const { object, sets, operation } = this.#parts;
    for (const { keys, count } of setKeys(sets.fresh, SET_PART)) {
      check(await object.update("sets", keys, new Uint8Array(count * 4), count), operation);
      await setImmediate();
    }
  }
}
