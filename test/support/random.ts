/** A small seeded generator: the same seed gives the same numbers on every machine. */

export interface Random {
  /** A whole number from 0 to 2^32 - 1. */
  uint32(): number;
  /** A whole number from 0 to `limit` - 1. */
  below(limit: number): number;
  /** A whole number from `first` to `last`, both included. */
  between(first: number, last: number): number;
  /** True `percent` times out of a hundred. */
  chance(percent: number): boolean;
  /** One of the items. */
  pick<Item>(items: readonly Item[]): Item;
  bytes(length: number): Uint8Array;
}

/** Mulberry32: a 32-bit counter through a mixing function. Not for secrets. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  const uint32 = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
  const below = (limit: number) => Math.floor((uint32() / 2 ** 32) * limit);
  return {
    uint32,
    below,
    between: (first, last) => first + below(last - first + 1),
    chance: (percent) => below(100) < percent,
    pick: <Item>(items: readonly Item[]): Item => {
      const item = items[below(items.length)];
      if (item === undefined) throw new Error("pick: no items");
      return item;
    },
    bytes(length) {
      const content = new Uint8Array(length);
      let word = 0;
      for (let index = 0; index < length; index += 1) {
        word = index % 4 === 0 ? uint32() : word >>> 8;
        content[index] = word;
      }
      return content;
    },
  };
}
