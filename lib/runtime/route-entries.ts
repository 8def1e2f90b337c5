/** What the datapath's table of route MTUs holds for the routes over some devices. */
import { Limit, layout } from "../compile/abi.gen.ts";
import { Record } from "../compile/record.ts";
import type { NativeRoute } from "../native/binding.ts";

/**
 * One less than the trie takes: a kernel may refuse to change a value in one that is full.
 */
export const MOST_ENTRIES = Limit.MAX_ROUTES - 1;

const IFINDEX_BYTES = 4;
const ADDRESS_BYTES = 16;
const IFINDEX_BITS = IFINDEX_BYTES * 8;

const ADDRESS_BITS = ADDRESS_BYTES * 8;

/** What IPv4 has in front of its addresses: ::ffff:0:0/96. */
const MAPPED = "\0\0\0\0\0\0\0\0\0\0\xff\xff";

/**
 * MTUs by prefix; 0 is none. A prefix is a string of bytes: ifindex (big endian), 16 of the
 * address, its length. So strings in order have each prefix before those inside it.
 */
export type Entries = ReadonlyMap<string, number>;

function prefixOf(ifindex: number, address: Uint8Array, length: number): string {
  const before = address.length < ADDRESS_BYTES ? MAPPED : "";
  const after = String.fromCharCode(ADDRESS_BITS - address.length * 8 + length);
  return `${ifindexText(ifindex)}${before}${textOf(address)}${after}`;
}

function ifindexText(ifindex: number): string {
  return String.fromCharCode(
    ...[ifindex >>> 24, (ifindex >>> 16) & 255, (ifindex >>> 8) & 255, ifindex & 255],
  );
}

function textOf({ buffer, byteOffset, byteLength }: Uint8Array): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString("latin1");
}

/** Bits that count, those of the interface included: the trie has them in front of an address. */
function bitsOf(prefix: string): number {
  return IFINDEX_BITS + prefix.charCodeAt(IFINDEX_BYTES + ADDRESS_BYTES);
}

function sharesBits(one: string, other: string, bits: number): boolean {
  const bytes = bits >> 3;
  if (one.slice(0, bytes) !== other.slice(0, bytes)) return false;
  const rest = bits & 7;
  return rest === 0 || (one.charCodeAt(bytes) ^ other.charCodeAt(bytes)) >> (8 - rest) === 0;
}

function covers(outer: string, inner: string): boolean {
  const bits = bitsOf(outer);
  return bits <= bitsOf(inner) && sharesBits(outer, inner, bits);
}

/** What the routes over one device say, in the order of their prefixes. */
export function entriesOf(ifindex: number, routes: readonly NativeRoute[]): Entries {
  const ipv4 = prefixOf(ifindex, new Uint8Array(4), 0);
  const entries: [string, number][] = [];
  let aroundIpv4 = false;
  for (const { family, destination, prefixLength, mtu } of routes) {
    const prefix = prefixOf(ifindex, destination, prefixLength);
    if (family === 6) {
      // No packet of IPv6 has such an address, and one of IPv4 is not to follow its route.
      if (covers(ipv4, prefix)) continue;
      aroundIpv4 ||= covers(prefix, ipv4);
    }
    entries.push([prefix, mtu]);
  }
  // A default route of IPv6 ends where IPv4 begins.
  if (aroundIpv4 && !entries.some(([prefix]) => prefix === ipv4)) entries.push([ipv4, 0]);
  return new Map(entries.sort(([one], [other]) => (one < other ? -1 : 1)));
}

/** The smaller MTU, where 0 is none. */
function smaller(one: number, other: number): number {
  return one === 0 || other === 0 ? one + other : Math.min(one, other);
}

/** The MTU that these entries tell for each of the prefixes, which are in order, as these are. */
function* toldFor(prefixes: readonly string[], entries: Entries): Generator<number> {
  const around: string[] = [];
  for (const prefix of prefixes) {
    for (let last = around.at(-1); last !== undefined; last = around.at(-1)) {
      if (covers(last, prefix)) break;
      around.pop();
    }
    if (entries.has(prefix)) around.push(prefix);
    yield entries.get(around.at(-1) ?? "") ?? 0;
  }
}

/**
 * Entries of several devices in one table. Where two of them, in two namespaces, have the same
 * index, the datapath cannot tell them apart, and an address gets the smaller of its MTUs.
 */
export function mergeEntries(all: readonly Entries[]): Entries {
  const byIfindex = new Map<string, Entries[]>();
  for (const entries of all) {
    for (const prefix of entries.keys()) {
      const ifindex = prefix.slice(0, IFINDEX_BYTES);
      byIfindex.set(ifindex, [...(byIfindex.get(ifindex) ?? []), entries]);
      break;
    }
  }
  return new Map([...byIfindex.values()].flatMap((same) => [...mergeSame(same)]));
}

function mergeSame(all: readonly Entries[]): Entries {
  const [only, ...others] = all;
  if (only && others.length === 0) return only;
  const prefixes = [...new Set(all.flatMap((entries) => [...entries.keys()]))].sort();
  const merged = new Map<string, number>();
  for (const entries of all) {
    let at = 0;
    for (const mtu of toldFor(prefixes, entries)) {
      const prefix = prefixes[at++] as string;
      merged.set(prefix, smaller(merged.get(prefix) ?? 0, mtu));
    }
  }
  return merged;
}

/**
 * As many as the table takes. Those without an MTU go first, then the longest prefixes: most of what
 * is left out then gets too small an MTU, which costs a few bytes a packet, and not too large a one,
 * which costs the packet.
 */
export function cutEntries(entries: Entries, most = MOST_ENTRIES): Entries {
  if (entries.size <= most) return entries;
  const inOrder = [...entries].sort(
    ([one, mtu], [other, otherMtu]) =>
      Number(mtu === 0) - Number(otherMtu === 0) ||
      bitsOf(one) - bitsOf(other) ||
      (one < other ? -1 : 1),
  );
  return new Map(inOrder.slice(0, most));
}

/** Keys of the map `route_mtus`, one after the other. */
export function encodePrefixes(prefixes: readonly string[]): Uint8Array {
  const { size, fields } = layout.routeKey;
  const keys = new Uint8Array(prefixes.length * size);
  for (const [index, prefix] of prefixes.entries()) {
    const bytes = Buffer.from(prefix, "latin1");
    const record = new Record(keys, index * size);
    record.set(fields.prefixLength, bitsOf(prefix));
    record.set(fields.ifindex, bytes.readUInt32BE());
    record.setBytes(
      fields.destination,
      bytes.subarray(IFINDEX_BYTES, IFINDEX_BYTES + ADDRESS_BYTES),
    );
  }
  return keys;
}

/** Their values. */
export function encodeMtus(mtus: readonly number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from(mtus).buffer);
}
