/** Which counter belongs to which rule. They lie in pages, which are made as they are needed. */
import { Limit, layout } from "../compile/abi.gen.ts";
import { RuleTexts } from "../compile/rule-texts.ts";
import type { NativeArray, NativeObject } from "../native/binding.ts";
import { atOnce, type Sliced } from "../rules/sliced.ts";
import type { Direction } from "../rules/types.ts";
import { check, must } from "./native-result.ts";

type ByDirection<Value> = { readonly [direction in Direction]: Value };

/** Rules by what they say, and the counter of each. */
interface Counted {
  readonly texts: RuleTexts;
  readonly numbers: Uint32Array;
}

/** Counters for new lists. */
export interface Assignment {
  readonly lists: ByDirection<Counted>;
  /** Of the rules that have gone, and of no other one any more. */
  readonly left: readonly number[];
  /** That no rule of before has. */
  readonly fresh: readonly number[];
}

/** Rules between two chances to leave. */
const PART = 1024;
const PAGE: number = Limit.COUNTER_PAGE;
const NO_RULES: Counted = { texts: atOnce(RuleTexts.of([])), numbers: new Uint32Array() };

/** A rule that is the same text in the same direction keeps its counter. */
export class RuleCounters {
  readonly #object: NativeObject;
  /** Numbers of CPUs: each page has counters for all of them, those of one CPU after those of another. */
  readonly #cpus: number;
  #lists: ByDirection<Counted> = { ingress: NO_RULES, egress: NO_RULES };
  /** Counters that rules have had before, and these are as they have left them. */
  readonly #free: number[] = [];
  /** The first counter that no rule ever had. */
  #unused = 0;
  readonly #pages: NativeArray[] = [];

  constructor(object: NativeObject, cpus: number) {
    this.#object = object;
    this.#cpus = cpus;
  }

  /** Counter of each rule of the lists that were assigned last and for good. */
  numbers(direction: Direction): Uint32Array {
    return this.#lists[direction].numbers;
  }

  /** Counters for rules by their texts: kept where the rule stays, fresh ones elsewhere. */
  *assign(texts: ByDirection<RuleTexts>): Sliced<Assignment> {
    const fresh: number[] = [];
    const left: number[] = [];
    const ingress = yield* this.#assignList(this.#lists.ingress, texts.ingress, fresh, left);
    const egress = yield* this.#assignList(this.#lists.egress, texts.egress, fresh, left);
    return { lists: { ingress, egress }, fresh, left };
  }

  *#assignList(
    before: Counted,
    texts: RuleTexts,
    fresh: number[],
    left: number[],
  ): Sliced<Counted> {
    const numbers = new Uint32Array(texts.count);
    const stays = new Uint8Array(before.texts.count);
    for (let index = 0; index < texts.count; index++) {
      if (index % PART === PART - 1) yield;
      const rule = before.texts.indexOf(texts, index);
      if (rule >= 0) {
        stays[rule] = 1;
        numbers[index] = before.numbers[rule] as number;
      } else {
        // Twice the largest ruleset fits, so there is always one.
        const number = this.#free.pop() ?? this.#unused++;
        fresh.push(number);
        numbers[index] = number;
      }
    }
    for (let rule = 0; rule < stays.length; rule++) {
      if (rule % PART === PART - 1) yield;
      if (stays[rule] === 0) left.push(before.numbers[rule] as number);
    }
    return { texts, numbers };
  }

  /** Makes an assignment final. */
  commit({ lists }: Assignment): void {
    this.#lists = lists;
  }

  /** Gives back the counters of the rules that have gone; no packet may be under them any more. */
  free({ left }: Assignment): void {
    for (const number of left) this.#free.push(number);
  }

  /** Gives the fresh counters of an assignment back. */
  revert({ fresh }: Assignment): void {
    for (const number of fresh) this.#free.push(number);
  }

  /** Sees to it that fresh counters are there, and zero. */
  async prepare({ fresh }: Assignment, operation: string): Promise<void> {
    const pages = Math.ceil(this.#unused / PAGE);
    const numbers = Uint32Array.from(fresh).sort();
    await Promise.all([this.#clear(numbers, operation), this.#addPages(pages, operation)]);
  }

  async #addPages(pages: number, operation: string): Promise<void> {
    const made: NativeArray[] = [];
    try {
      while (this.#pages.length + made.length < pages) {
        made.push(
          must(await this.#object.makeArray(layout.counter.size, PAGE * this.#cpus), operation),
        );
      }
      if (made.length === 0) return;
      const first = this.#pages.length;
      check(await this.#object.place("rule_counters", first, made), operation);
      this.#pages.push(...made);
    } catch (error) {
      for (const page of made) page.close();
      throw error;
    }
  }

  /** Those of pages that are there already; new ones are zero. Runs of them are written together. */
  async #clear(numbers: Uint32Array, operation: string): Promise<void> {
    const there = this.#pages.length * PAGE;
    for (let index = 0; index < numbers.length; ) {
      const first = numbers[index] as number;
      if (first >= there) return;
      const page = Math.floor(first / PAGE);
      let count = 1;
      while (numbers[index + count] === first + count && first + count < (page + 1) * PAGE) count++;
      const zeros = new Uint8Array(count * layout.counter.size);
      for (let cpu = 0; cpu < this.#cpus; cpu++) {
        const at = cpu * PAGE + (first % PAGE);
        check(await this.#pages[page]?.write(at, zeros, count), operation);
      }
      index += count;
    }
  }

  /** What each CPU has counted, page by page. */
  async read(operation: string): Promise<readonly Uint8Array[]> {
    const entries = PAGE * this.#cpus;
    return Promise.all(
      this.#pages.map(async (page) => must(await page.read(0, entries), operation)),
    );
  }

  close(): void {
    for (const page of this.#pages) page.close();
  }
}
