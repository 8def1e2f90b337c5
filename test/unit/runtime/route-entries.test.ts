import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Limit, layout } from "../../../lib/compile/abi.gen.ts";
import { LITTLE_ENDIAN } from "../../../lib/compile/record.ts";
import type { NativeRoute } from "../../../lib/native/binding.ts";
import { maskAddress, parseAddress } from "../../../lib/rules/address.ts";
import {
  cutEntries,
  type Entries,
  encodeMtus,
  encodePrefixes,
  entriesOf,
  MOST_ENTRIES,
  mergeEntries,
} from "../../../lib/runtime/route-entries.ts";

/** "10.2.0.0/24 1400", as a route. */
function route(text: string): NativeRoute {
  const [, address = "", prefixLength, mtu] = /^(.+)\/(\d+) (\d+)$/.exec(text) ?? [];
  const destination = parseAddress(address)?.bytes;
  if (!destination) throw new Error(`no route: ${text}`);
  const family = destination.length === 4 ? 4 : 6;
  return { family, destination, prefixLength: Number(prefixLength), mtu: Number(mtu) };
}

const entries = (ifindex: number, ...texts: string[]) => entriesOf(ifindex, texts.map(route));

/** Keys as the datapath reads them. */
function decode(keys: Uint8Array): string[] {
  const { size, fields } = layout.routeKey;
  const view = new DataView(keys.buffer);
  return Array.from({ length: keys.length / size }, (_, index) => {
    const at = index * size;
    const bits = view.getUint32(at + fields.prefixLength.offset, LITTLE_ENDIAN);
    const ifindex = view.getUint32(at + fields.ifindex.offset, LITTLE_ENDIAN);
    const start = at + fields.destination.offset;
    return `${ifindex} ${Buffer.from(keys.subarray(start, start + 16)).toString("hex")}/${bits}`;
  });
}

const shown = (table: Entries) => {
  const keys = decode(encodePrefixes([...table.keys()]));
  return [...table.values()].map((mtu, index) => `${keys[index]} ${mtu}`);
};

/** What a longest-prefix trie says of an address, worked out bit by bit. */
function look(table: Entries, ifindex: number, address: Uint8Array): number {
  let best = { bits: -1, mtu: 0 };
  for (const text of shown(table)) {
    const [found, key, mtu] = text.split(" ") as [string, string, string];
    const [hex = "", length = ""] = key.split("/");
    const bits = Number(length) - 32;
    const masked = Buffer.from(maskAddress(address, bits)).toString("hex");
    if (Number(found) !== ifindex || masked !== hex || bits <= best.bits) continue;
    best = { bits, mtu: Number(mtu) };
  }
  return best.mtu;
}

const mapped = (...bytes: number[]) =>
  Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ...bytes);

describe("entries of route MTUs", () => {
  test("have keys as the datapath looks them up", () => {
    expect(shown(entries(0x1234567, "10.2.0.0/24 1400", "2001:db8::/32 1290"))).toEqual([
      "19088743 00000000000000000000ffff0a020000/152 1400",
      "19088743 20010db8000000000000000000000000/64 1290",
    ]);
    expect(encodeMtus([1400, 0])).toEqual(new Uint8Array(Uint32Array.of(1400, 0).buffer));
  });

  test("keep IPv4 apart from the routes of IPv6 around it", () => {
    const address = mapped(10, 2, 0, 1);
    for (const around of ["::/0", "::/64", "::/95"]) {
      expect(look(entries(1, `${around} 1290`), 1, address)).toBe(0);
      const both = entries(1, `${around} 1290`, "0.0.0.0/0 1400");
      expect(look(both, 1, address)).toBe(1400);
      expect(look(both, 1, Uint8Array.of(...new Array(16).fill(0)))).toBe(1290);
    }
    const inside: NativeRoute = {
      family: 6,
      destination: mapped(10, 2, 0, 0),
      prefixLength: 120,
      mtu: 1290,
    };
    expect(entriesOf(1, [inside]).size).toBe(0);
    expect(look(entries(1, "2001:db8::/32 1290"), 1, address)).toBe(0);
    expect(entries(1, "2001:db8::/32 1290").size).toBe(1);
  });

  test("of several devices lie side by side", () => {
    const merged = mergeEntries([
      entries(1, "10.2.0.0/24 1400"),
      entries(256, "10.2.0.0/24 1300"),
      entries(2),
    ]);
    expect(merged.size).toBe(2);
    expect(look(merged, 1, mapped(10, 2, 0, 1))).toBe(1400);
    expect(look(merged, 256, mapped(10, 2, 0, 1))).toBe(1300);
    expect(look(merged, 2, mapped(10, 2, 0, 1))).toBe(0);
  });

  // Few addresses, so that prefixes lie in each other.
  const arbitraryAddress = fc.oneof(
    fc
      .tuple(fc.constantFrom(10, 11), fc.constantFrom(0, 128), fc.constant(0), fc.nat(255))
      .map(([...bytes]) => ({ family: 4 as const, bytes: Uint8Array.of(...bytes) })),
    fc.tuple(fc.constantFrom(0, 0x20), fc.nat(3)).map(([first, last]) => ({
      family: 6 as const,
      bytes: Uint8Array.of(first, ...new Array(14).fill(0), last),
    })),
  );

  const arbitraryRoutes = fc
    .array(
      fc
        .tuple(arbitraryAddress, fc.nat(128), fc.constantFrom(0, 1300, 1400, 1500))
        .map(([{ family, bytes }, length, mtu]): NativeRoute => {
          const prefixLength = family === 4 ? length % 33 : length;
          return { family, destination: maskAddress(bytes, prefixLength), prefixLength, mtu };
        }),
    )
    .map((routes) => {
      const byPrefix = new Map(
        routes.map((route) => [
          `${route.family} ${route.destination}/${route.prefixLength}`,
          route,
        ]),
      );
      return [...byPrefix.values()];
    });

  const arbitraryKey = arbitraryAddress.map(({ family, bytes }) =>
    family === 4 ? mapped(...bytes) : bytes,
  );

  test("of devices that share an index tell the smaller of their MTUs", () => {
    fc.assert(
      fc.property(
        fc.array(arbitraryRoutes, { minLength: 1, maxLength: 3 }),
        arbitraryKey,
        (all, address) => {
          const each = all.map((routes) => entriesOf(7, routes));
          const told = each.map((table) => look(table, 7, address)).filter((mtu) => mtu > 0);
          const merged = mergeEntries(each);
          expect(look(merged, 7, address)).toBe(told.length > 0 ? Math.min(...told) : 0);
        },
      ),
      { numRuns: 500 },
    );
  });

  test("that do not fit are left out: no MTU first, then the longest prefix", () => {
    const all = entries(
      1,
      "10.0.0.0/8 1400",
      "10.1.0.0/16 0",
      "10.2.0.0/16 1300",
      "10.2.3.0/24 1200",
      "10.2.4.0/24 0",
    );
    const left = (most: number) => [...cutEntries(all, most).values()];
    expect(cutEntries(all, 5)).toBe(all);
    expect(left(4)).toEqual([1400, 1300, 1200, 0]);
    expect(look(cutEntries(all, 4), 1, mapped(10, 1, 0, 1))).toBe(0);
    expect(look(cutEntries(all, 4), 1, mapped(10, 2, 4, 1))).toBe(1300);
    expect(left(3)).toEqual([1400, 1300, 1200]);
    expect(left(2)).toEqual([1400, 1300]);
    expect(MOST_ENTRIES).toBeLessThan(Limit.MAX_ROUTES);
  });
});
