import { closeSync, openSync } from "node:fs";
import { afterEach, describe, expect, test } from "vitest";
import { binding, type NativeAttachment } from "../../../lib/native/binding.ts";
import { errnoName } from "../../../lib/native/errno.ts";
import {
  attached,
  EGRESS,
  INGRESS,
  loadFixture,
  must,
  mustFail,
  releaseAll,
  skipReason,
  titled,
} from "../../support/native.ts";
import { deleteNetns, makeNetns } from "../../support/netns.ts";

/** A namespace with a device, and what runs on its hooks. */
async function place() {
  const netns = makeNetns();
  const { ifindex } = must(await binding().device(netns.path, netns.device));
  const programs = async (direction: 0 | 1) =>
    must(await binding().tcxPrograms(netns.path, ifindex, direction));
  return { netns, path: netns.path, ifindex, programs };
}

describe.skipIf(skipReason !== undefined)(titled("tcx"), () => {
  afterEach(async () => {
    await releaseAll();
    deleteNetns();
  });

  test.each([
    ["link", true],
    ["program", false],
  ])("attaches by %s and detaches, in both directions", async (_, link) => {
    const { path, ifindex, programs } = await place();
    const object = await loadFixture();
    for (const direction of [INGRESS, EGRESS] as const) {
      const attachment = attached(await object.attachTcx(path, ifindex, direction, true, link, 0));
      expect(await programs(direction)).toEqual([object.programIds()[direction]]);
      expect(await attachment.detach()).toBeUndefined();
      expect(await programs(direction)).toEqual([]);
      expect(await attachment.detach()).toBeUndefined();
    }
  });

  test.each([
    ["link", true],
    ["program", false],
  ])("goes to the head or to the tail by %s", async (_, link) => {
    const { path, ifindex, programs } = await place();
    const objects = await Promise.all([1, 2, 3, 4].map(() => loadFixture()));
    const [a, b, c, d] = objects.map((object) => object.programIds()[INGRESS]);
    const first = [true, true, false, true];
    for (const [i, object] of objects.entries()) {
      attached(await object.attachTcx(path, ifindex, INGRESS, first[i] ?? true, link, 0));
    }
    expect(await programs(INGRESS)).toEqual([d, b, a, c]);
  });

  test("replaces a program in its place", async () => {
    const { path, ifindex, programs } = await place();
    const [a, b, c] = await Promise.all([loadFixture(), loadFixture(), loadFixture()]);
    const idOf = (object: typeof a) => object.programIds()[EGRESS];
    const old = attached(await a.attachTcx(path, ifindex, EGRESS, false, false, 0));
    attached(await b.attachTcx(path, ifindex, EGRESS, false, false, 0));
    attached(await c.attachTcx(path, ifindex, EGRESS, false, false, idOf(a)));
    expect(await programs(EGRESS)).toEqual([idOf(c), idOf(b)]);
    // What was replaced is gone: no failure, and nobody else's program goes.
    expect(await old.detach()).toBeUndefined();
    expect(await programs(EGRESS)).toEqual([idOf(c), idOf(b)]);
  });

  test("fails to replace what is not there, or what a link holds", async () => {
    const { path, ifindex, programs } = await place();
    const [a, b] = await Promise.all([loadFixture(), loadFixture()]);
    const idOf = (object: typeof a) => object.programIds()[EGRESS];
    const replace = () => b.attachTcx(path, ifindex, EGRESS, true, false, idOf(a));
    expect(errnoName(mustFail(await replace()).errno)).toBe("ENOENT");
    attached(await a.attachTcx(path, ifindex, EGRESS, true, true, 0));
    expect(errnoName(mustFail(await replace()).errno)).toBe("EBUSY");
    expect(await programs(EGRESS)).toEqual([idOf(a)]);
  });

  test("takes over a link by id or by handle, without touching its position", async () => {
    const { path, ifindex, programs } = await place();
    const [a, b, c, d] = await Promise.all([1, 2, 3, 4].map(() => loadFixture()));
    if (!a || !b || !c || !d) throw new Error("not loaded");
    const idOf = (object: typeof a) => object.programIds()[EGRESS];
    const link = async (object: typeof a, replace: NativeAttachment | number) =>
      attached(await object.attachTcx(path, ifindex, EGRESS, false, true, replace));
    const first = await link(a, 0);
    await link(d, 0);
    const second = await link(b, idOf(a));
    expect(await programs(EGRESS)).toEqual([idOf(b), idOf(d)]);
    // Who made the link lets go of it, no more.
    expect(await first.detach()).toBeUndefined();
    expect(await programs(EGRESS)).toEqual([idOf(b), idOf(d)]);
    const third = await link(c, second);
    // Overtaken: not its own any more.
    expect(await second.detach()).toBeUndefined();
    expect(await programs(EGRESS)).toEqual([idOf(c), idOf(d)]);
    expect(await third.detach()).toBeUndefined();
    expect(await programs(EGRESS)).toEqual([idOf(d)]);
    expect(
      errnoName(mustFail(await b.attachTcx(path, ifindex, EGRESS, true, true, third)).errno),
    ).toBe("ENOENT");
  });

  test("goes with who took the link over, though its maker holds it", async () => {
    const { path, ifindex, programs } = await place();
    const [a, b] = await Promise.all([loadFixture(), loadFixture()]);
    const made = attached(await a.attachTcx(path, ifindex, INGRESS, true, true, 0));
    const taken = attached(await b.attachTcx(path, ifindex, INGRESS, true, true, made));
    expect(await taken.detach()).toBeUndefined();
    expect(await programs(INGRESS)).toEqual([]);
    expect(await made.detach()).toBeUndefined();
  });

  test.each([
    ["link", true],
    ["program", false],
  ])("puts back who gave way, until settled, by %s", async (_, link) => {
    const { path, ifindex, programs } = await place();
    const [a, b] = await Promise.all([loadFixture(), loadFixture()]);
    const [idA, idB] = [a.programIds()[INGRESS], b.programIds()[INGRESS]];
    const old = attached(await a.attachTcx(path, ifindex, INGRESS, true, link, 0));
    const replace = async () =>
      attached(await b.attachTcx(path, ifindex, INGRESS, true, link, old));
    const first = await replace();
    expect(await programs(INGRESS)).toEqual([idB]);
    expect(await first.revert()).toBeUndefined();
    expect(await first.revert()).toBeUndefined();
    expect(await programs(INGRESS)).toEqual([idA]);
    const second = await replace();
    second.settle();
    expect(await second.revert()).toBeUndefined();
    expect(await programs(INGRESS)).toEqual([]);
  });

  test.each([
    ["link", true],
    ["program", false],
  ])("fails with ESTALE when the hook has changed meanwhile, by %s", async (_, link) => {
    const { path, ifindex, programs } = await place();
    const [a, b] = await Promise.all([loadFixture(), loadFixture()]);
    const revision = must(await binding().tcxRevision(path, ifindex, EGRESS));
    const attach = (object: typeof a) =>
      object.attachTcx(path, ifindex, EGRESS, true, link, 0, revision);
    attached(await attach(a));
    expect(errnoName(mustFail(await attach(b)).errno)).toBe("ESTALE");
    expect(await programs(EGRESS)).toEqual([a.programIds()[EGRESS]]);
  });

  test.each([
    ["link", true],
    ["program", false],
  ])("detaches by id what was attached by %s, and that alone", async (_, link) => {
    const { path, ifindex, programs } = await place();
    const other = await place();
    const [a, b] = await Promise.all([loadFixture(), loadFixture()]);
    const [idA, idB] = [a.programIds()[INGRESS], b.programIds()[INGRESS]];
    // The same program on the device with the same number in another namespace stays.
    attached(await a.attachTcx(other.path, other.ifindex, INGRESS, true, link, 0));
    const ours = attached(await a.attachTcx(path, ifindex, INGRESS, true, link, 0));
    attached(await b.attachTcx(path, ifindex, INGRESS, true, link, 0));
    expect(other.ifindex).toBe(ifindex);
    const detach = () => binding().detachTcx(path, ifindex, INGRESS, idA);
    expect(await detach()).toBeUndefined();
    expect(await programs(INGRESS)).toEqual([idB]);
    expect(await other.programs(INGRESS)).toEqual([idA]);
    expect(errnoName(mustFail(await detach()).errno)).toBe("ENOENT");
    expect(await ours.detach()).toBeUndefined();
  });

  test("stays with the device by program, goes with its object by link", async () => {
    const { path, ifindex, programs } = await place();
    const object = await loadFixture();
    const link = attached(await object.attachTcx(path, ifindex, INGRESS, true, true, 0));
    const program = attached(await object.attachTcx(path, ifindex, EGRESS, true, false, 0));
    const ids = object.programIds();
    object.close();
    expect([await programs(INGRESS), await programs(EGRESS)]).toEqual([[ids[0]], [ids[1]]]);
    expect([await link.detach(), await program.detach()]).toEqual([undefined, undefined]);
    expect([await programs(INGRESS), await programs(EGRESS)]).toEqual([[], []]);
  });

  test.each([
    ["link", true],
    ["program", false],
  ])("takes a device that has gone for detached, by %s", async (_, link) => {
    const { netns, path, ifindex } = await place();
    const object = await loadFixture();
    const attachment = attached(await object.attachTcx(path, ifindex, INGRESS, true, link, 0));
    netns.deleteDevices();
    expect(await attachment.detach()).toBeUndefined();
  });

  test("detaches when the namespace has lost its name", async () => {
    const { netns, ifindex, path } = await place();
    const object = await loadFixture();
    const attachment = attached(await object.attachTcx(path, ifindex, EGRESS, true, false, 0));
    const kept = openSync(path, "r");
    try {
      netns.delete();
      const nameless = `/proc/${process.pid}/fd/${kept}`;
      const programs = () => binding().tcxPrograms(nameless, ifindex, EGRESS);
      expect(must(await programs())).toHaveLength(1);
      expect(await attachment.detach()).toBeUndefined();
      expect(must(await programs())).toEqual([]);
    } finally {
      closeSync(kept);
    }
  });

  test("fails on a device or a namespace that is not there", async () => {
    const object = await loadFixture();
    const { path } = await place();
    for (const link of [true, false]) {
      expect(
        errnoName(mustFail(await object.attachTcx(path, 9999, INGRESS, true, link, 0)).errno),
      ).toBe("ENODEV");
      expect(
        mustFail(await object.attachTcx("/run/netns/none", 1, INGRESS, true, link, 0)),
      ).toEqual({ errno: 2, step: "open network namespace" });
    }
    for (const call of [
      () => binding().tcxPrograms(path, 9999, INGRESS),
      () => binding().detachTcx(path, 9999, INGRESS, 1),
    ]) {
      expect(errnoName(mustFail(await call()).errno)).toBe("ENODEV");
    }
  });

  test("refuses bad arguments", async () => {
    const object = await loadFixture();
    for (const ifindex of [0, -1, 2 ** 31, 1.5]) {
      expect(() => object.attachTcx("", ifindex, INGRESS, true, true, 0)).toThrow(RangeError);
      expect(() => binding().tcxPrograms("", ifindex, INGRESS)).toThrow(RangeError);
    }
    expect(() => object.attachTcx("", 1, INGRESS, 1 as unknown as boolean, true, 0)).toThrow(
      TypeError,
    );
    expect(() => binding().detachTcx("", 1, INGRESS, 0)).toThrow(RangeError);
  });
});
