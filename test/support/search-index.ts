/** Searches an index as bpf/classify.h does, to see what it finds and how long its ways are. */
import { Limit, layout, Search } from "../../lib/compile/abi.gen.ts";
import { searchHash, WORDS } from "../../lib/compile/search/hash.ts";
import type { SearchIndex } from "../../lib/compile/search/index.ts";
import { wordOf } from "../../lib/compile/search/mask.ts";
import type { Flow } from "../../lib/model/frame.ts";

const { searchTable: table, searchBucket: bucket } = layout;

function wordsOf({ saddr, daddr, sport, dport }: Flow): Int32Array {
  const words = new Int32Array(WORDS);
  for (const [first, address] of [saddr, daddr].entries()) {
    for (let word = 0; word < 4; word++) {
      const [a = 0, b = 0, c = 0, d = 0] = address.subarray(4 * word);
      words[4 * first + word] = wordOf(a, b, c, d);
    }
  }
  words[8] = (sport << 16) | dport;
  return words;
}

export interface Found {
  /** The first rule of those that were met and hold. */
  readonly rule: number | undefined;
  /** Rules that were looked at. */
  readonly looks: number;
  /** Cells that were come by. */
  readonly steps: number;
}

/** `holds` tells whether a rule matches the flow. */
export function search(index: SearchIndex, flow: Flow, holds: (rule: number) => boolean): Found {
  const view = new DataView(index.bytes.buffer, index.bytes.byteOffset, index.bytes.byteLength);
  const read = (cell: number, offset: number) => view.getUint32(cell * table.size + offset, true);
  const words = wordsOf(flow);
  let next: number =
    Search.SEARCH_TABLE +
    (flow.family === "ip6" ? Search.SEARCH_IPV6 : 0) +
    (flow.transport === "udp" ? Search.SEARCH_UDP : 0);
  let found: number = Search.NO_RULE;
  let hash = 0;
  let looks = 0;
  for (let steps = 1; ; steps++) {
    let cell = next;
    if (cell >= Search.SEARCH_TABLE) {
      const at = cell - Search.SEARCH_TABLE;
      const of = (field: keyof typeof table.fields, word = 0) =>
        read(at, table.fields[field].offset + 4 * word);
      if (of("firstRule") >= found) {
        next = of("next");
        if (of("laterFirstRule") >= found) return done();
        continue;
      }
      const mask = Int32Array.from({ length: WORDS }, (_, word) =>
        word < 4 ? of("saddrMask", word) : word < 8 ? of("daddrMask", word - 4) : of("portsMask"),
      );
      hash = searchHash(words, 0, mask);
      cell = of("buckets") + (hash & of("bucketMask"));
    }
    next = read(cell, bucket.fields.next.offset);
    for (let entry = 0; entry < Limit.BUCKET_RULES; entry++) {
      const at = bucket.fields.entries.offset + 8 * entry;
      const rule = read(cell, at + 4);
      if (rule >= found) break;
      if (read(cell, at) !== hash) continue;
      looks++;
      if (holds(rule)) {
        found = rule;
        break;
      }
    }
    if (read(cell, bucket.fields.laterFirstRule.offset) >= found) return done();

    function done(): Found {
      return { rule: found === Search.NO_RULE ? undefined : found, looks, steps };
    }
  }
}
