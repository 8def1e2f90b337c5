import { afterEach, describe, expect, test } from "vitest";
import {
  EGRESS,
  INGRESS,
  loadFixture,
  must,
  mustFail,
  releaseAll,
  skipReason,
  titled,
} from "../../support/native.ts";

const noWords = new Uint32Array(5);

describe.skipIf(skipReason !== undefined)(titled("testRun"), () => {
  afterEach(releaseAll);

  test("gives verdict, frame and control block", async () => {
    const object = await loadFixture();
    const frame = Uint8Array.from({ length: 100 }, (_, i) => i);
    const ingress = must(await object.testRun(INGRESS, frame, Uint32Array.of(9, 8, 7, 6, 5), 1));
    expect(ingress.verdict).toBe(-1);
    expect(ingress.cb).toEqual(Uint32Array.of(9, 8, 7, 6, 5));
    expect(ingress.frame).toEqual(Uint8Array.of(...frame, ...new Uint8Array(20)));
    const egress = must(await object.testRun(EGRESS, frame, noWords, 1));
    expect([egress.verdict, egress.frame, egress.cb[4]]).toEqual([0, frame, 7]);
  });

  test("repeats and gives the mean duration", async () => {
    const object = await loadFixture();
    const run = must(await object.testRun(EGRESS, new Uint8Array(60), noWords, 100_000));
    expect(run.duration).toBeGreaterThan(0);
    expect(run.duration).toBeLessThan(100_000);
  });

  test("fails on a frame shorter than an Ethernet header, or without end", async () => {
    const object = await loadFixture();
    for (const length of [0, 13, 16 * 1024 * 1024]) {
      const failure = mustFail(await object.testRun(EGRESS, new Uint8Array(length), noWords, 1));
      expect(failure.step).toBe("test run");
    }
  });

  test("refuses a bad direction, control block or count", async () => {
    const object = await loadFixture();
    const frame = new Uint8Array(60);
    const bad = (call: () => unknown) => expect(call).toThrow(RangeError);
    bad(() => object.testRun(2 as 1, frame, noWords, 1));
    bad(() => object.testRun(EGRESS, frame, new Uint32Array(4), 1));
    bad(() => object.testRun(EGRESS, frame, new Uint32Array(6), 1));
    bad(() => object.testRun(EGRESS, frame, noWords, 0));
    bad(() => object.testRun(EGRESS, frame, noWords, 2 ** 31));
    expect(() =>
      object.testRun(EGRESS, frame, new Uint8Array(20) as unknown as Uint32Array, 1),
    ).toThrow(TypeError);
  });
});
