/**
 * More connections at a time than the table of a side has room for. One that had to go ends in a
 * reset as soon as somebody says something; it never hangs, and nobody else hears of it.
 */
import { describe, expect, it } from "vitest";
import { FAMILIES, inFamily } from "../support/family.ts";
import { skipReason, titled } from "../support/native.ts";
import {
  expectNothingAtService,
  type Place,
  POD,
  useTranslatedLab,
  wired,
} from "../support/translate-lab.ts";
import type { Connection } from "../support/translate-peer.ts";
import { WANTED } from "../support/translated.ts";

const CAPACITY = 128;
const CONNECTIONS = 400;
/** So many begin at a time. */
const BATCH = 40;

const RESET = "over: ECONNRESET";

/** Opens connections of both families in turn, and says something on each; some of them end. */
async function open(
  { client }: Place,
  count: number,
  batchSize: number = BATCH,
): Promise<readonly Connection[]> {
  const all: Connection[] = [];
  while (all.length < count) {
    const batch = Array.from({ length: batchSize }, (_, index) => {
      const family = FAMILIES[index % FAMILIES.length] ?? "IPv4";
      return client.open({ address: inFamily(family, POD), port: WANTED, say: "hello" });
    });
    await Promise.all(batch.map((connection) => connection.answer("hello")));
    all.push(...batch);
  }
  return all;
}

const SIDES = [
  { side: "the client's", which: "near" },
  { side: "the service's", which: "far" },
] as const;

describe.skipIf(skipReason).each(SIDES)(titled("a full table on $side side"), (full) => {
  const { place } = useTranslatedLab(wired, { [full.which]: { connections: CAPACITY } });

  it("resets those that had to go, and the others go on", async () => {
    const { pod, near } = place();
    const side = place()[full.which];
    const all = await open(place(), CONNECTIONS);
    const answers = await Promise.all(
      all.map((connection, index) => {
        connection.say(`number ${index}.`);
        return connection.answer(`number ${index}.`);
      }),
    );
    const lost = answers.filter((answer) => answer === RESET).length;
    const kept = answers.flatMap((answer, index) =>
      answer === `${WANTED}:number ${index}.` ? [index] : [],
    );
    // Nothing else has become of any of them.
    expect(lost + kept.length).toBe(CONNECTIONS);
    expect(kept.length).toBeGreaterThan(0);
    expect(lost).toBeGreaterThan(CONNECTIONS - 2 * CAPACITY);

    const { entries, begun, evicted, added, capacity } = await side.table();
    expect(capacity).toBe(CAPACITY);
    expect(entries - begun).toBeLessThanOrEqual(CAPACITY);
    expect(evicted).toBeGreaterThanOrEqual(CONNECTIONS - CAPACITY);
    expect(added).toBe(CONNECTIONS);
    // On the client's side by the program, on the service's by the pod's kernel.
    expect(await near.special()).toEqual(full.which === "near" ? { translate_lost: lost } : {});
    // The pod has heard what was answered, and no more.
    const heard = (await pod.heard(WANTED)).replaceAll("hello", "");
    expect(heard.split(".").filter(Boolean).sort()).toEqual(
      kept.map((index) => `number ${index}`).sort(),
    );
    await expectNothingAtService(place());
  });
});

/**
 * A table for short connections, more than it holds. The kernel keeps a good part of its places
 * for each CPU; what is left is enough for those that go on and, for a while, those that are over.
 */
const OF_SHORT_ONES = { capacity: 256, batch: 20, connections: 400 };

describe.skipIf(skipReason)(titled("a table full of connections that are over"), () => {
  const loading = { connections: OF_SHORT_ONES.capacity };
  const { place } = useTranslatedLab(wired, { near: loading, far: loading });

  it("has room for one that is silent", async () => {
    const { client, near, far } = place();
    const silent = client.open({ address: POD, port: WANTED });
    await silent.ask("before");
    for (let opened = 0; opened < OF_SHORT_ONES.connections; opened += OF_SHORT_ONES.batch) {
      const short = await open(place(), OF_SHORT_ONES.batch, OF_SHORT_ONES.batch);
      for (const connection of short) connection.close();
      for (const connection of short) expect(await connection.end()).toBeNull();
    }
    expect(await silent.ask("after")).toBe(`${WANTED}:after`);
    for (const side of [near, far]) {
      const { entries, begun, evicted, added } = await side.table();
      expect(added).toBe(OF_SHORT_ONES.connections + 1);
      expect(entries - begun).toBeLessThanOrEqual(OF_SHORT_ONES.capacity);
      expect(evicted).toBe(0);
    }
  });
});
