// Rules in other structures than ours, as structures.h has them, to compare with.
import { parseRules } from "sfunnel";
import { Family } from "../dist/compile/abi.gen.js";
import { portPrefixes } from "../dist/compile/sets.js";
import { prefixBytes } from "../dist/rules/address.js";

const TRANSPORTS = { tcp: 6, udp: 17 };
const FAMILIES = { ip: Family.IPV4, ip6: Family.IPV6 };

/** Of structures.h. */
const KEY = 40;
const TUPLE = 48;
const TRIE_KEY = 20;
const FIELDS = 4;
const WORDS_OF_PART = 64;
const BITS_OF_PART = WORDS_OF_PART * 64;

const NO_ADDRESS = [{ address: new Uint8Array(16), length: 0 }];
const ALL_PORTS = [{ first: 0, last: 65535 }];

const addressesOf = (match, family) =>
  match === undefined ? NO_ADDRESS : match.prefixes.map((prefix) => prefixBytes(prefix, family));
const portsOf = (match) => (match?.ranges ?? ALL_PORTS).flatMap(portPrefixes);

/** The first `length` bits of as many bytes. */
const maskOf = (bytes, length) =>
  Uint8Array.from(
    { length: bytes },
    (_, at) => 0xff00 >> Math.min(8, Math.max(0, length - 8 * at)),
  );

/** Prefixes of all four fields that together hold all that a rule matches, which negates nothing. */
function* partsOf({ family, saddr, daddr, sport, dport }) {
  for (const source of addressesOf(saddr, family)) {
    for (const destination of addressesOf(daddr, family)) {
      for (const from of portsOf(sport)) {
        for (const to of portsOf(dport)) yield { source, destination, from, to };
      }
    }
  }
}

function writeKey(bytes, at, saddr, daddr, from, to, tuple) {
  bytes.set(saddr, at);
  bytes.set(daddr, at + 16);
  bytes.writeUInt32LE((((from[0] << 8) | from[1]) * 65536 + ((to[0] << 8) | to[1])) >>> 0, at + 32);
  bytes.writeUInt32LE(tuple, at + 36);
}

function tupleSpace(texts) {
  const tuples = new Map();
  for (const [rule, { match }] of parseRules(texts.join("\n")).entries()) {
    const kind = (FAMILIES[match.family] << 16) | TRANSPORTS[match.transport];
    for (const { source, destination, from, to } of partsOf(match)) {
      const lengths = [source.length, destination.length, from.length, to.length];
      const name = `${kind} ${lengths}`;
      const tuple = tuples.get(name) ?? { kind, lengths, rule, entries: new Map() };
      tuples.set(name, tuple);
      const key = Buffer.alloc(KEY);
      writeKey(key, 0, source.address, destination.address, from.bytes, to.bytes, 0);
      const entry = key.toString("latin1");
      if (!tuple.entries.has(entry)) tuple.entries.set(entry, { key, rule });
    }
  }
  // A tuple comes to be with its first rule, so they stand in the order that a search wants.
  const all = [...tuples.values()];
  const masks = Buffer.alloc(all.length * TUPLE);
  const keys = [];
  const rules = [];
  for (const [number, { kind, lengths, rule, entries }] of all.entries()) {
    const [source, destination, from, to] = lengths.map((length, field) =>
      maskOf(field < 2 ? 16 : 2, length),
    );
    writeKey(masks, number * TUPLE, source, destination, from, to, 0);
    masks.writeUInt32LE(kind, number * TUPLE + KEY);
    masks.writeUInt32LE(rule, number * TUPLE + KEY + 4);
    for (const entry of entries.values()) {
      entry.key.writeUInt32LE(number, KEY - 4);
      keys.push(entry.key);
      rules.push(entry.rule);
    }
  }
  return {
    limits: { tuples: all.length, tuple_rules: keys.length },
    constants: { structure: 0, tuple_count: all.length },
    content: {
      tuples: { keys: numbers(all.length), values: masks, count: all.length },
      tuple_rules: { keys: Buffer.concat(keys), values: words(rules), count: keys.length },
    },
  };
}

/** For rules on one source prefix each, no two of them the same. */
function prefixTrie(texts) {
  const rules = parseRules(texts.join("\n"));
  const keys = Buffer.alloc(rules.length * TRIE_KEY);
  for (const [index, { match }] of rules.entries()) {
    const [source] = addressesOf(match.saddr, match.family);
    keys.writeUInt32LE(source.length, index * TRIE_KEY);
    keys.set(source.address, index * TRIE_KEY + 4);
  }
  const count = rules.length;
  return {
    limits: { trie: count },
    constants: { structure: 1 },
    content: { trie: { keys, values: Buffer.from(numbers(count)), count } },
  };
}

/** As many bits as rules, of which no two fields have one in common. */
function bitVectors(texts) {
  const count = Math.ceil(texts.length / BITS_OF_PART);
  const values = Buffer.alloc(count * FIELDS * WORDS_OF_PART * 8);
  return {
    limits: { bits: count },
    constants: { structure: 2, bits_parts: count },
    content: { bits: { keys: numbers(count), values, count } },
  };
}

const words = (list) => new Uint8Array(Uint32Array.from(list).buffer);
/** 0 to `count` - 1. */
const numbers = (count) => words(Array.from({ length: count }, (_, index) => index));

/** By name: limits, constants and content of the maps of structures.bpf.c, for rules as texts. */
export const STRUCTURES = {
  "tuple space": tupleSpace,
  "prefix trie": prefixTrie,
  "bit vectors": bitVectors,
};
