/** Goes all ways through an index, and looks at whether it is what bpf/classify.h takes it for. */
import { Limit, layout, Search } from "../../lib/compile/abi.gen.ts";
import type { SearchIndex } from "../../lib/compile/search/index.ts";

const { searchTable: table, searchBucket: bucket } = layout;
const NO_RULE: number = Search.NO_RULE;
const TABLE: number = Search.SEARCH_TABLE;

/** What was met. */
export interface Walk {
  /** Cells on the longest of all ways that a search could go, if no rule on it ever matched. */
  readonly longest: number;
  /** Cells that are buckets. */
  readonly buckets: readonly number[];
}

/** Throws where something is wrong. `rules`: how many there are in the list. */
export function walkIndex(index: SearchIndex, rules: number): Walk {
  return new Walker(index, rules).walk();
}

/** All that can be found from somewhere on. */
interface Ahead {
  /** The first rule. */
  readonly first: number;
  readonly longest: number;
}

const NOTHING: Ahead = { first: NO_RULE, longest: 0 };

class Walker {
  readonly #view: DataView;
  readonly #cells: number;
  readonly #ruleCount: number;
  readonly #met = new Set<number>();
  readonly #buckets: number[] = [];
  /** By cell of a table, which many buckets may lead to. */
  readonly #tables = new Map<number, Ahead>();

  constructor({ bytes, cells }: SearchIndex, rules: number) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#cells = cells;
    this.#ruleCount = rules;
    expectThat(bytes.length === cells * table.size, `${cells} cells in ${bytes.length} bytes`);
    expectThat(cells < TABLE, `${cells} cells, more than numbers tell apart`);
  }

  walk(): Walk {
    let longest = 0;
    for (let group = 0; group < Search.SEARCH_GROUPS; group++) {
      longest = Math.max(longest, this.#table(group).longest);
    }
    return { longest, buckets: this.#buckets };
  }

  #read(cell: number, offset: number): number {
    return this.#view.getUint32(cell * table.size + offset, true);
  }

  #own(cell: number): void {
    expectThat(cell < this.#cells, `cell ${cell} of ${this.#cells}`);
    expectThat(!this.#met.has(cell), `cell ${cell} is of two owners`);
    this.#met.add(cell);
  }

  /** A table, and all that is behind it. */
  #table(cell: number): Ahead {
    const known = this.#tables.get(cell);
    if (known) return known;
    this.#own(cell);
    const { fields } = table;
    const first = this.#read(cell, fields.firstRule.offset);
    const later = this.#read(cell, fields.laterFirstRule.offset);
    const next = this.#read(cell, fields.next.offset);
    const buckets = this.#read(cell, fields.buckets.offset);
    const mask = this.#read(cell, fields.bucketMask.offset);
    expectThat((mask & (mask + 1)) === 0, `bucket mask ${mask}`);
    const behind = this.#behind(next, later, `table ${cell}`);
    let least = NO_RULE;
    let longest = behind.longest;
    for (let place = 0; place <= mask; place++) {
      const way = this.#bucket(buckets + place, place, mask, next);
      least = Math.min(least, way.own);
      longest = Math.max(longest, way.longest);
    }
    expectThat(first === least, `table ${cell}: first rule ${first}, found ${least}`);
    const ahead = { first: Math.min(first, behind.first), longest: 1 + longest };
    this.#tables.set(cell, ahead);
    return ahead;
  }

  /**
   * A bucket and those that belong to it. `own`: the first rule in them and in the tables behind them, before
   * those at `after`; `longest` is without the cell of the bucket itself.
   */
  #bucket(head: number, place: number, mask: number, after: number) {
    let own = NO_RULE;
    let least = -1;
    let more = 0;
    for (let cell = head; ; more++) {
      this.#own(cell);
      this.#buckets.push(cell);
      least = this.#entries(cell, place, mask, least);
      const [only] = this.#ruleNumbers(cell);
      own = Math.min(own, only ?? NO_RULE);
      const next = this.#read(cell, bucket.fields.next.offset);
      const later = this.#read(cell, bucket.fields.laterFirstRule.offset);
      if (later !== NO_RULE && next < TABLE) {
        expectThat(later === this.#laterInChain(next), `bucket ${cell}: later rule ${later}`);
        cell = next;
        continue;
      }
      const behind = this.#behind(next, later, `bucket ${cell}`);
      own = Math.min(own, this.#firstBefore(later === NO_RULE ? after : next, after));
      return { own, longest: more + behind.longest };
    }
  }

  /** The first rule of a bucket and of all that is behind it. */
  #laterInChain(cell: number): number {
    const [first = NO_RULE] = this.#ruleNumbers(cell);
    return Math.min(first, this.#read(cell, bucket.fields.laterFirstRule.offset));
  }

  /** Looks at the entries of a bucket; gives the last rule. */
  #entries(cell: number, place: number, mask: number, least: number): number {
    let last = least;
    let ended = false;
    for (let entry = 0; entry < Limit.BUCKET_RULES; entry++) {
      const at = bucket.fields.entries.offset + 8 * entry;
      const rule = this.#read(cell, at + 4);
      if (rule === NO_RULE) {
        ended = true;
        continue;
      }
      const hash = this.#read(cell, at);
      expectThat(!ended, `bucket ${cell}: a rule behind the end`);
      expectThat(rule < this.#ruleCount, `bucket ${cell}: rule ${rule} of ${this.#ruleCount}`);
      expectThat(rule >= last, `bucket ${cell}: rule ${rule} behind ${last}`);
      expectThat((hash & mask) === place, `bucket ${cell}: the hash ${hash} belongs elsewhere`);
      last = rule;
    }
    return last;
  }

  #ruleNumbers(cell: number): number[] {
    const numbers: number[] = [];
    for (let entry = 0; entry < Limit.BUCKET_RULES; entry++) {
      const rule = this.#read(cell, bucket.fields.entries.offset + 8 * entry + 4);
      if (rule !== NO_RULE) numbers.push(rule);
    }
    return numbers;
  }

  /** What is behind a table or bucket, which says of it what the first rule is. */
  #behind(next: number, later: number, where: string): Ahead {
    if (later === NO_RULE) return NOTHING;
    expectThat(next >= TABLE, `${where}: cell ${next} is none of a table`);
    const ahead = this.#table(next - TABLE);
    expectThat(ahead.first === later, `${where}: later rule ${later}, found ${ahead.first}`);
    return ahead;
  }

  /** The first rule in the tables from one on, as far as another one. */
  #firstBefore(from: number, to: number): number {
    let first = NO_RULE;
    for (let next = from; next !== to; ) {
      const cell = next - TABLE;
      first = Math.min(first, this.#read(cell, table.fields.firstRule.offset));
      if (this.#read(cell, table.fields.laterFirstRule.offset) === NO_RULE) break;
      next = this.#read(cell, table.fields.next.offset);
    }
    return first;
  }
}

function expectThat(holds: boolean, what: string): void {
  if (!holds) throw new Error(`index: ${what}`);
}
