/** What each rule has to have counted: those that stay, since they came; those that come, from zero. */
import { type Counter, type Direction, formatRule, type Rule } from "../../lib/index.ts";
import type { Lists } from "../../lib/runtime/tables.ts";

interface Counted extends Counter {
  /** What it says; where it stands twice, the second time as well. */
  readonly key: string;
}

function keysOf(rules: readonly Rule[]): string[] {
  const seen = new Map<string, number>();
  return rules.map((rule) => {
    const text = formatRule(rule);
    const times = (seen.get(text) ?? 0) + 1;
    seen.set(text, times);
    return `${times} ${text}`;
  });
}

const DIRECTIONS: readonly Direction[] = ["ingress", "egress"];

export class Tally {
  readonly #lists: Record<Direction, Counted[]> = { ingress: [], egress: [] };

  replace(lists: Lists): void {
    for (const direction of DIRECTIONS) {
      const before = new Map(this.#lists[direction].map((counted) => [counted.key, counted]));
      this.#lists[direction] = keysOf(lists[direction]).map(
        (key) => before.get(key) ?? { key, packets: 0, bytes: 0 },
      );
    }
  }

  count(direction: Direction, rule: number, bytes: number): void {
    const list = this.#lists[direction];
    const counted = list[rule] as Counted;
    list[rule] = { ...counted, packets: counted.packets + 1, bytes: counted.bytes + bytes };
  }

  /** In the order of the list. */
  expected(direction: Direction): readonly Counter[] {
    return this.#lists[direction].map(({ packets, bytes }) => ({ packets, bytes }));
  }
}
