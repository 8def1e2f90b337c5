/** Which counter belongs to which rule. They lie in pages, which are made as they are needed. */
import { Limit, layout } from "../compile/abi.gen.ts";
import { RuleTexts } from "../compile/rule-texts.ts";
import type { NativeArray, NativeObject } from "../native/binding.ts";
import { NumberList } from "../rules/number-list.ts";
import { inParts, type Sliced } from "../rules/sliced.ts";
import type { Direction } from "../rules/types.ts";
import type { ByDirection } from "./directions.ts";
import { check, must } from "./native-result.ts";
import { settled } from "./settled.ts";

/** Rules by what they say, and the counter of each. */
interface Counted {
  readonly texts: RuleTexts;
  readonly numbers: Uint32Array;
}

/** Counters for new lists, which are assigned part by part. */
export interface Assignment {
  readonly lists: ByDirection<Counted>;
  /** Of the rules that have gone, and of no other one any more. */
  readonly left: NumberList;
  /** That no rule of before has. */
  readonly fresh: NumberList;
  /** By direction: of the rules before, those that stay. */
  readonly stays: ByDirection<Uint8Array>;
}

/** Rules between two chances to leave. */
const PART = 4096;
const PAGE: number = Limit.COUNTER_PAGE;
/** Pages that are written at a time. */
const PAGES_AT_A_TIME = 8;
const NO_RULES: Counted = { texts: new RuleTexts(0), numbers: new Uint32Array() };

/** A rule that is the same text in the same direction keeps its counter. */
export class RuleCounters {
  readonly #object: NativeObject;
  /** Numbers of CPUs: each page has counters for all of them, those of one CPU after those of another. */
  readonly #cpus: number;
  #lists: ByDirection<Counted> = { ingress: NO_RULES, egress: NO_RULES };
  /** Counters that rules have had before, and these are as they have left them. */
  readonly #free = new NumberList();
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

  /** Begins to assign counters to the rules of so many. */
  begin(counts: ByDirection<number>): Assignment {
    const counted = (rules: number): Counted => ({
      texts: new RuleTexts(rules),
      numbers: new Uint32Array(rules),
    });
    const { ingress, egress } = this.#lists;
    return {
      lists: { ingress: counted(counts.ingress), egress: counted(counts.egress) },
      left: new NumberList(),
      fresh: new NumberList(),
      stays: {
        ingress: new Uint8Array(ingress.texts.count),
        egress: new Uint8Array(egress.texts.count),
      },
    };
  }

  /** Assigns one to the last rule of the texts: kept where the rule stays, a fresh one elsewhere. */
  assign(assignment: Assignment, direction: Direction): void {
    const before = this.#lists[direction];
    const { texts, numbers } = assignment.lists[direction];
    const index = texts.count - 1;
    const rule = before.texts.indexOf(texts, index);
    if (rule >= 0) {
      assignment.stays[direction][rule] = 1;
      numbers[index] = before.numbers[rule] as number;
      return;
    }
    // Twice the largest ruleset fits, so there is always one.
    const number = this.#free.pop() ?? this.#unused++;
    assignment.fresh.push(number);
    numbers[index] = number;
  }

  /** Once all rules have theirs: notes which are left. */
  *end({ stays, left }: Assignment): Sliced<void> {
    for (const direction of ["ingress", "egress"] as const) {
      const { numbers } = this.#lists[direction];
      const stay = stays[direction];
      yield* inParts(numbers.length, PART, (from, to) => {
        for (let rule = from; rule < to; rule++) {
          if (stay[rule] === 0) left.push(numbers[rule] as number);
        }
      });
    }
  }

  /** Makes an assignment final. */
  commit({ lists }: Assignment): void {
    this.#lists = lists;
  }

  /** Gives back the counters of the rules that have gone; no packet may be under them any more. */
  free({ left }: Assignment): void {
    this.#free.pushAll(left);
  }

  /** Gives the fresh counters of an assignment back. */
  revert({ fresh }: Assignment): void {
    this.#free.pushAll(fresh);
  }

  /** Sees to it that fresh counters are there, and zero. */
  async prepare({ fresh }: Assignment, operation: string): Promise<void> {
    const there = this.#pages.length;
    const pages = Math.ceil(this.#unused / PAGE);
    await settled([this.#clear(fresh, there, operation), this.#addPages(pages, operation)]);
  }

  async #addPages(pages: number, operation: string): Promise<void> {
    const first = this.#pages.length;
    const made: NativeArray[] = [];
    const add = async () => {
      const entries = PAGE * this.#cpus;
      made.push(must(await this.#object.makeArray(layout.counter.size, entries), operation));
    };
    try {
      while (first + made.length < pages) {
        const wanted = Math.min(PAGES_AT_A_TIME, pages - first - made.length);
        await settled(Array.from({ length: wanted }, add));
      }
      if (made.length === 0) return;
      check(await this.#object.place("rule_counters", first, made), operation);
      this.#pages.push(...made);
    } catch (error) {
      for (const page of made) page.close();
      throw error;
    }
  }

  /** Those of the pages that were there before; new ones are zero. Runs of them are written together. */
  async #clear(fresh: NumberList, pages: number, operation: string): Promise<void> {
    const isFresh = new Uint8Array(pages * PAGE);
    fresh.mark(isFresh);
    const zeros = new Uint8Array(PAGE * layout.counter.size);
    for (let first = 0; first < pages; first += PAGES_AT_A_TIME) {
      const some = this.#pages.slice(first, Math.min(pages, first + PAGES_AT_A_TIME));
      await settled(
        some.map((page, index) => {
          const start = (first + index) * PAGE;
          return this.#clearPage(page, isFresh.subarray(start, start + PAGE), zeros, operation);
        }),
      );
    }
  }

  async #clearPage(
    page: NativeArray,
    isFresh: Uint8Array,
    zeros: Uint8Array,
    operation: string,
  ): Promise<void> {
    for (let first = isFresh.indexOf(1); first >= 0; ) {
      const found = isFresh.indexOf(0, first);
      const end = found < 0 ? PAGE : found;
      const values = zeros.subarray(0, (end - first) * layout.counter.size);
      for (let cpu = 0; cpu < this.#cpus; cpu++) {
        check(await page.write(cpu * PAGE + first, values, end - first), operation);
      }
      first = isFresh.indexOf(1, end);
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
