/** Which counter belongs to which rule. They lie in pages, which are made as they are needed. */
import { Limit, layout } from "../compile/abi.gen.ts";
import type { NativeArray, NativeObject } from "../native/binding.ts";
import type { Sliced } from "../rules/sliced.ts";
import type { Direction } from "../rules/types.ts";
import { check, must } from "./native-result.ts";

type ByDirection<Value> = { readonly [direction in Direction]: Value };

/** Counters of the rules of new lists. */
export interface Assignment {
  /** Of each rule. */
  readonly numbers: ByDirection<Uint32Array>;
  /** By the text of the rule. */
  readonly byText: ByDirection<Map<string, number>>;
  /** Those that no rule had before. */
  readonly fresh: readonly number[];
}

/** Rules between two chances to leave. */
const PART = 512;
const PAGE: number = Limit.COUNTER_PAGE;

/** A rule that is the same text in the same direction keeps its counter. */
export class RuleCounters {
  readonly #object: NativeObject;
  /** Possible CPUs: a per-CPU value is written for all of them at once. */
  readonly #cpus: number;
  #byText: ByDirection<Map<string, number>> = { ingress: new Map(), egress: new Map() };
  /** Counters that rules have had before, and these are as they have left them. */
  readonly #free: number[] = [];
  /** The first counter that no rule ever had. */
  #unused = 0;
  readonly #pages: NativeArray[] = [];

  constructor(object: NativeObject, cpus: number) {
    this.#object = object;
    this.#cpus = cpus;
  }

  /** Counters for rules by their texts: kept where the rule stays, fresh ones elsewhere. */
  *assign(texts: ByDirection<readonly string[]>): Sliced<Assignment> {
    const fresh: number[] = [];
    const list = function* (
      this: RuleCounters,
      direction: Direction,
    ): Sliced<{ readonly numbers: Uint32Array; readonly byText: Map<string, number> }> {
      const before = this.#byText[direction];
      const byText = new Map<string, number>();
      const repeats = new Map<string, number>();
      const numbers = new Uint32Array(texts[direction].length);
      for (const [index, text] of texts[direction].entries()) {
        if (index % PART === PART - 1) yield;
        let key = text;
        // The same rule twice in one list: the second never matches, but has its own counter.
        if (byText.has(text)) {
          const times = (repeats.get(text) ?? 0) + 1;
          repeats.set(text, times);
          key = `${text} again ${times}`;
        }
        let number = before.get(key);
        if (number === undefined) {
          // Twice the largest ruleset fits, so there is always one.
          number = this.#free.pop() ?? this.#unused++;
          fresh.push(number);
        }
        byText.set(key, number);
        numbers[index] = number;
      }
      return { numbers, byText };
    }.bind(this);
    const ingress = yield* list("ingress");
    const egress = yield* list("egress");
    return {
      numbers: { ingress: ingress.numbers, egress: egress.numbers },
      byText: { ingress: ingress.byText, egress: egress.byText },
      fresh,
    };
  }

  /** Makes an assignment final, and gives back the counters of rules that have gone. */
  *commit({ byText }: Assignment): Sliced<void> {
    const before = this.#byText;
    this.#byText = byText;
    for (const direction of ["ingress", "egress"] as const) {
      let seen = 0;
      for (const [text, number] of before[direction]) {
        if (++seen % PART === 0) yield;
        if (!byText[direction].has(text)) this.#free.push(number);
      }
    }
  }

  /** Gives the fresh counters of an assignment back. */
  revert({ fresh }: Assignment): void {
    for (const number of fresh) this.#free.push(number);
  }

  /** Sees to it that fresh counters are there, and zero. */
  async prepare({ fresh }: Assignment, operation: string): Promise<void> {
    const pages = Math.ceil(this.#unused / PAGE);
    const numbers = Uint32Array.from(fresh).sort();
    await Promise.all([this.#addPages(pages, operation), this.#clear(numbers, operation)]);
  }

  async #addPages(pages: number, operation: string): Promise<void> {
    const made: NativeArray[] = [];
    try {
      while (this.#pages.length + made.length < pages) {
        made.push(must(await this.#object.makeArray(true, layout.counter.size, PAGE), operation));
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
    const stride = layout.counter.size * this.#cpus;
    const there = this.#pages.length * PAGE;
    for (let index = 0; index < numbers.length; ) {
      const first = numbers[index] as number;
      if (first >= there) return;
      const page = Math.floor(first / PAGE);
      let count = 1;
      while (numbers[index + count] === first + count && first + count < (page + 1) * PAGE) count++;
      const zeros = new Uint8Array(count * stride);
      check(await this.#pages[page]?.write(first % PAGE, zeros, count), operation);
      index += count;
    }
  }

  /** What each CPU has counted, all pages that rules have. */
  async read(operation: string): Promise<readonly Uint8Array[]> {
    return Promise.all(this.#pages.map(async (page) => must(await page.read(0, PAGE), operation)));
  }

  close(): void {
    for (const page of this.#pages) page.close();
  }
}
