import { availableParallelism } from "node:os";
import { afterEach, describe, expect, test } from "vitest";
import { binding } from "../../../lib/native/binding.ts";
import { errnoName } from "../../../lib/native/errno.ts";
import {
  EGRESS,
  INGRESS,
  loadFixture,
  must,
  mustFail,
  putArray,
  releaseAll,
  skipReason,
  titled,
  u32,
} from "../../support/native.ts";

const frame = new Uint8Array(60);
const u16 = (...numbers: number[]) => new Uint8Array(Uint16Array.from(numbers).buffer);
const upTo = (count: number) => Array.from({ length: count }, (_, i) => i);

/** Runs a program with one word in skb->cb[0]. */
async function runWith(object: Awaited<ReturnType<typeof loadFixture>>, first: number) {
  return must(await object.testRun(INGRESS, frame, Uint32Array.of(first, 0, 0, 0, 0), 1));
}

describe.skipIf(skipReason !== undefined)(titled("maps"), () => {
  afterEach(releaseAll);

  test.each([1, 31, 32, 64])("writes and reads %i entries", async (count) => {
    const object = await loadFixture();
    const values = u32(...upTo(count).map((i) => i * 3 + 1));
    expect(await object.update("numbers", u32(...upTo(count)), values, count)).toBeUndefined();
    expect(must(await object.read("numbers", 0, count))).toEqual(values);
    expect(must(await object.read("numbers", count - 1, 1))).toEqual(values.subarray(-4));
  });

  test("writes, overwrites and removes keys of a hash", async () => {
    const object = await loadFixture();
    const verdict = async (port: number) => {
      const run = await object.testRun(EGRESS, frame, Uint32Array.of(port, 0, 0, 0, 0), 1);
      return must(run).verdict;
    };
    await object.update("ports", u16(80, 443), u32(2, 0xffffffff), 2);
    expect([await verdict(80), await verdict(443), await verdict(8080)]).toEqual([2, -1, 0]);
    await object.update("ports", u16(80), u32(3), 1);
    expect(await verdict(80)).toBe(3);
    expect(await object.remove("ports", u16(80, 7), 2)).toBeUndefined();
    expect([await verdict(80), await verdict(443)]).toEqual([0, -1]);
  });

  test("says that a map is full", async () => {
    const object = await loadFixture();
    for (const count of [9, 40]) {
      const keys = u16(...upTo(count));
      const failure = mustFail(await object.update("ports", keys, u32(...upTo(count)), count));
      expect([errnoName(failure.errno), failure.step]).toEqual(["E2BIG", "write map"]);
    }
  });

  test("takes no entries as nothing to do", async () => {
    const object = await loadFixture();
    const none = new Uint8Array(0);
    expect(await object.update("ports", none, none, 0)).toBeUndefined();
    expect(await object.remove("ports", none, 0)).toBeUndefined();
    expect(must(await object.read("numbers", 64, 0))).toEqual(none);
  });

  test("reads per-CPU maps with one padded value a CPU", async () => {
    const object = await loadFixture();
    for (let i = 0; i < 5; i++) await runWith(object, 0);
    const bytes = must(await object.read("counters", 0, 2));
    expect(bytes.length % 16).toBe(0);
    expect(bytes.length / 16).toBeGreaterThanOrEqual(availableParallelism());
    const words = new Uint32Array(bytes.slice().buffer);
    const perEntry = words.length / 2;
    expect(words.slice(0, perEntry).reduce((a, b) => a + b)).toBe(5);
    expect(words.slice(perEntry).reduce((a, b) => a + b)).toBe(0);
  });

  test("publishes arrays of any length, one after the other", async () => {
    const object = await loadFixture();
    expect((await runWith(object, 0)).cb[2]).toBe(0);
    for (const count of [1, 2, 100, 256, 3]) {
      const values = BigUint64Array.from(upTo(count), (i) => BigInt(count * 1000 + i) << 16n);
      const bytes = new Uint8Array(values.buffer);
      expect(await putArray(object, "rulesets", 0, bytes, count)).toBeUndefined();
      const { cb } = await runWith(object, count - 1);
      expect(((BigInt(cb[3] ?? 0) << 32n) | BigInt(cb[2] ?? 0)) >> 16n).toBe(
        BigInt(count * 1000 + count - 1),
      );
      expect((await runWith(object, count)).cb[2]).toBe(0);
    }
  });

  test.each([1, 31, 32, 100])("writes and reads %i entries of an array", async (count) => {
    const object = await loadFixture();
    const array = must(await object.makeArray(8, count + 2));
    const values = new Uint8Array(BigUint64Array.from(upTo(count), BigInt).buffer);
    expect(await array.write(1, values, count)).toBeUndefined();
    expect(must(await array.read(1, count))).toEqual(values);
    expect(must(await array.read(0, 1))).toEqual(new Uint8Array(8));
    expect(must(await array.read(0, count + 2)).subarray(8, -8)).toEqual(values);
    array.close();
    array.close();
    for (const result of [array.read(0, 1), array.write(1, values, count)]) {
      expect(errnoName(mustFail(await result).errno)).toBe("EBADF");
    }
  });

  test("puts several arrays at places one behind the other", async () => {
    const object = await loadFixture();
    const arrays = await Promise.all(
      [7n, 8n].map(async (value) => {
        const array = must(await object.makeArray(8, 1));
        await array.write(0, new Uint8Array(BigUint64Array.of(value).buffer), 1);
        return array;
      }),
    );
    expect(await object.place("rulesets", 0, arrays)).toBeUndefined();
    for (const array of arrays) array.close();
    expect((await runWith(object, 0)).cb[2]).toBe(7);
  });

  test("leaves what is in force alone when an array does not fit the template", async () => {
    const object = await loadFixture();
    const values = new Uint8Array(BigUint64Array.of(7n).buffer);
    await putArray(object, "rulesets", 0, values, 1);
    const failure = mustFail(await putArray(object, "rulesets", 0, new Uint8Array(12), 1));
    expect(failure).toEqual({ errno: 22, step: "publish inner map" });
    expect((await runWith(object, 0)).cb[2]).toBe(7);
  });

  test("looks up entries of maps by id", async () => {
    const object = await loadFixture();
    await object.update("ports", u16(80), u32(9), 1);
    const { mapIds } = must(await binding().program(object.programIds()[EGRESS]));
    const found = await Promise.all(
      mapIds.map(async (id) => must(await binding().lookup(id, u16(80)))),
    );
    expect(found.find(({ name }) => name === "ports")?.value).toEqual(u32(9));
    // Keys of 4 bytes: no value for this one.
    expect(found.find(({ name }) => name === "numbers")).toEqual({ name: "numbers" });
    const ports = mapIds[found.findIndex(({ name }) => name === "ports")] ?? 0;
    expect(must(await binding().lookup(ports, u16(81)))).toEqual({ name: "ports" });
    expect(errnoName(mustFail(await binding().lookup(0xfffffff0, u16(1))).errno)).toBe("ENOENT");
    await object.update("numbers", u32(63), u32(7), 1);
    const numbers = mapIds[found.findIndex(({ name }) => name === "numbers")] ?? 0;
    expect(must(await binding().readArray(numbers))).toEqual(u32(...new Array(63).fill(0), 7));
    expect(errnoName(mustFail(await binding().readArray(ports)).errno)).toBe("EOPNOTSUPP");
    expect(errnoName(mustFail(await binding().readArray(0xfffffff0)).errno)).toBe("ENOENT");
    expect(errnoName(mustFail(await binding().program(0xfffffff0)).errno)).toBe("ENOENT");
  });

  test("names a map that is not there", async () => {
    const object = await loadFixture();
    const none = new Uint8Array(0);
    for (const result of [
      object.update("nope", none, none, 0),
      object.remove("nope", none, 0),
      object.read("nope", 0, 0),
      object.place("nope", 0, []),
    ]) {
      expect(mustFail(await result)).toEqual({ errno: 2, step: "find map nope" });
    }
  });

  test("refuses lengths that are not those of the entries", async () => {
    const object = await loadFixture();
    const bad = (call: () => unknown) => expect(call).toThrow(RangeError);
    bad(() => object.update("ports", u16(1), u32(1), 2));
    bad(() => object.update("ports", u16(1, 2), u32(1), 2));
    bad(() => object.update("ports", u16(1, 2), u32(1, 2), 1));
    bad(() => object.update("ports", new Uint8Array(0), new Uint8Array(0), 2 ** 31));
    bad(() => object.update("counters", u32(0), u32(0), 1));
    bad(() => object.remove("ports", new Uint8Array(3), 1));
    bad(() => object.read("numbers", 64, 1));
    bad(() => object.read("numbers", 2 ** 32 - 1, 2));
    bad(() => object.read("ports", 0, 1));
    const array = must(await object.makeArray(8, 3));
    bad(() => object.place("rulesets", 2, [array]));
    bad(() => object.place("rulesets", 1, [array, array]));
    bad(() => object.place("numbers", 0, [array]));
    bad(() => object.makeArray(8, 0));
    bad(() => object.makeArray(0, 1));
    bad(() => array.write(0, new Uint8Array(8), 2));
    bad(() => array.write(0, new Uint8Array(20), 2));
    bad(() => array.write(2, new Uint8Array(16), 2));
    bad(() => array.read(3, 1));
    bad(() => array.read(2 ** 32 - 1, 2));
    array.close();
    bad(() => object.place("rulesets", 0, [array]));
    for (const count of [-1, 1.5, 2 ** 32, Number.NaN]) {
      bad(() => object.update("ports", u16(1), u32(1), count));
    }
  });

  test("refuses arguments of wrong types", async () => {
    const object = (await loadFixture()) as unknown as Record<
      "update" | "read" | "place" | "makeArray",
      (...args: unknown[]) => unknown
    >;
    const bad = (call: () => unknown) => expect(call).toThrow(TypeError);
    bad(() => object.update(1, u16(1), u32(1), 1));
    bad(() => object.update("ports", [1], u32(1), 1));
    bad(() => object.update("ports", u16(1), new Uint32Array(1), 1));
    bad(() => object.update("ports", u16(1), u32(1), "1"));
    bad(() => object.update("ports", u16(1), u32(1), 1n));
    bad(() => object.read("numbers"));
    bad(() => object.read.call({}, "numbers", 0, 1));
    bad(() => object.place("rulesets", 0, object));
    bad(() => object.place("rulesets", 0, [object]));
    bad(() => object.makeArray("8", 1));
  });

  test("takes keys and values that JavaScript changes afterwards", async () => {
    const object = await loadFixture();
    const values = u32(...upTo(64));
    const writing = object.update("numbers", u32(...upTo(64)), values, 64);
    values.fill(0xff);
    await writing;
    expect(must(await object.read("numbers", 0, 64))).toEqual(u32(...upTo(64)));
  });
});
