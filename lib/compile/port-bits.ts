/** A bit for each port, as `translated_ports` in bpf/maps.h has them. */
import type { PortRange } from "../rules/types.ts";
import { PortBits as Layout } from "./abi.gen.ts";

const BITS = Layout.PORT_WORD_BITS;

/** Ports that were ever added. */
export class PortBits {
  readonly #words = new BigUint64Array(Layout.PORT_WORDS);

  /** The words that these ports would change, by their index. */
  changedBy(ranges: readonly PortRange[]): ReadonlyMap<number, bigint> {
    const changed = new Map<number, bigint>();
    for (const { first, last } of ranges) {
      for (let index = Math.floor(first / BITS); index <= Math.floor(last / BITS); index++) {
        const low = Math.max(first - index * BITS, 0);
        const high = Math.min(last - index * BITS, BITS - 1);
        const ones = ((1n << BigInt(high - low + 1)) - 1n) << BigInt(low);
        const before = changed.get(index) ?? this.#words[index] ?? 0n;
        const after = before | ones;
        if (after !== before) changed.set(index, after);
      }
    }
    return changed;
  }

  /** Once they stand in the map, and not before: what failed to get there is to be written again. */
  set(changed: ReadonlyMap<number, bigint>): void {
    for (const [index, word] of changed) this.#words[index] = word;
  }
}
