import { existsSync } from "node:fs";
import { afterEach, describe, expect, test } from "vitest";
import { binding } from "../../../lib/native/binding.ts";
import { errnoName } from "../../../lib/native/errno.ts";
import {
  fixture,
  loadFixture,
  must,
  mustFail,
  putArray,
  releaseAll,
  skipReason,
  titled,
  u32,
} from "../../support/native.ts";

describe.skipIf(skipReason !== undefined)(titled("load"), () => {
  afterEach(releaseAll);

  test("gives the ids of both programs, which describe themselves", async () => {
    const object = await loadFixture();
    const [ingress, egress] = object.programIds();
    const described = must(await binding().program(ingress));
    expect(described.name).toBe("sfunnel_ingress");
    expect(must(await binding().program(egress)).name).toBe("sfunnel_egress");
    const names = new Map<string, number>();
    for (const id of described.mapIds) {
      names.set(must(await binding().lookup(id, new Uint8Array(1))).name, id);
    }
    // Its instructions name two of them; the others are bound to it, for whoever comes later.
    expect([...names.keys()].sort()).toEqual([
      ...["counters", "numbers", "ports", "rulesets", "sfunnel_pin_me"],
    ]);
  });

  test("sets sizes of maps by name", async () => {
    const object = await loadFixture({ numbers: 100 });
    expect(must(await object.read("numbers", 99, 1))).toHaveLength(4);
    expect(() => object.read("numbers", 100, 1)).toThrow(RangeError);
  });

  test("fails on a size for a map that is not there", async () => {
    const failure = mustFail(await binding().load(fixture("native"), { nmubers: 1 }));
    expect(errnoName(failure.errno)).toBe("ENOENT");
    expect(failure.step).toContain("nmubers");
  });

  test("fails where one of the programs is missing", async () => {
    const failure = mustFail(await binding().load(fixture("half"), {}));
    expect(errnoName(failure.errno)).toBe("ENOENT");
    expect(failure.step).toContain("sfunnel_egress");
  });

  test.each([
    ["nothing", new Uint8Array(0)],
    ["garbage", new Uint8Array(1000).fill(0x5f)],
    ["an ELF header alone", fixtureStart(64)],
    ["half a file", fixtureStart(0.5)],
  ])("fails on %s", async (_, bytes) => {
    const failure = mustFail(await binding().load(bytes, {}));
    expect(errnoName(failure.errno)).toMatch(/^E[A-Z]+$/);
  });

  test("gives the verifier's log where the kernel refuses the program", async () => {
    const failure = mustFail(await binding().load(fixture("refused"), {}));
    expect([errnoName(failure.errno), failure.step]).toEqual(["EACCES", "load"]);
    expect(failure.log).toContain("invalid access to packet");
    expect(failure.log?.length).toBeLessThanOrEqual(64 * 1024);
  });

  test("keeps the log of one load out of another", async () => {
    const [refused, fine] = await Promise.all([
      binding().load(fixture("refused"), {}),
      loadFixture(),
    ]);
    expect(mustFail(refused).log).toBeDefined();
    expect(fine.programIds()[0]).toBeGreaterThan(0);
    expect(mustFail(await putArray(fine, "rulesets", 0, new Uint8Array(6), 2)).log).toBeUndefined();
  });

  test("pins nothing, whatever the object asks for", async () => {
    const object = await loadFixture();
    expect(must(await object.read("sfunnel_pin_me", 0, 1))).toEqual(u32(0));
    expect(existsSync("/sys/fs/bpf/sfunnel_pin_me")).toBe(false);
  });

  test("takes bytes that JavaScript changes or transfers afterwards", async () => {
    const bytes = Uint8Array.from(fixture("native"));
    const loading = binding().load(bytes, {});
    structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
    must(await loading).close();
    const other = Uint8Array.from(fixture("native"));
    const again = binding().load(other, {});
    other.fill(0);
    must(await again).close();
  });

  test("refuses arguments of wrong types at once", () => {
    const { load } = binding() as unknown as Record<"load", (...args: unknown[]) => unknown>;
    expect(() => load()).toThrow(TypeError);
    expect(() => load("bytes", {})).toThrow(TypeError);
    expect(() => load(new Uint16Array(1), {})).toThrow(TypeError);
    expect(() => load(new ArrayBuffer(8), {})).toThrow(TypeError);
    expect(() => load(new Uint8Array(1), null)).toThrow(TypeError);
    expect(() => load(new Uint8Array(1), { numbers: "1" })).toThrow(TypeError);
    for (const bad of [0, -1, 1.5, 2 ** 32, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => load(new Uint8Array(1), { numbers: bad })).toThrow(RangeError);
    }
    const thrown = new Error("mine");
    const limits = {
      get numbers() {
        throw thrown;
      },
    };
    expect(() => load(new Uint8Array(1), limits)).toThrow(thrown);
  });
});

/** The first bytes of a good object: so many, or that part of it. */
function fixtureStart(length: number): Uint8Array {
  if (skipReason !== undefined) return new Uint8Array(0);
  const bytes = fixture("native");
  return bytes.subarray(0, length < 1 ? Math.floor(bytes.length * length) : length);
}
