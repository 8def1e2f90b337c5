import { afterEach, describe, expect, test } from "vitest";
import { binding, type NativeObject } from "../../../lib/native/binding.ts";
import { errnoName } from "../../../lib/native/errno.ts";
import {
  attached,
  EGRESS,
  fixturePath,
  INGRESS,
  loadFixture,
  must,
  mustFail,
  releaseAll,
  skipReason,
  titled,
} from "../../support/native.ts";
import { deleteNetns, makeNetns } from "../../support/netns.ts";

const PRIORITY = 49;
const HANDLE = 0x5f;
const NONE = { kind: "", filters: [] };

/** A filter that is not ours, of the one other kind that this kernel is sure to have. */
const FOREIGN = ["u32", "match", "u32", "0", "0"];

/** A namespace with a device, and what stands on its clsact. */
async function place() {
  const netns = makeNetns();
  const { ifindex } = must(await binding().device(netns.path, netns.device));
  return {
    netns,
    path: netns.path,
    ifindex,
    tc: (...args: string[]) => netns.run("tc", ...args),
    qdisc: async () => must(await binding().qdisc(netns.path, ifindex)),
    attach: (object: NativeObject, direction: 0 | 1, persist = false, handle = HANDLE) =>
      object.attachClsact(netns.path, ifindex, direction, PRIORITY, handle, persist),
    detach: (direction: 0 | 1, priority = PRIORITY, handle = HANDLE) =>
      binding().detachClsact(netns.path, ifindex, direction, priority, handle),
  };
}

function ours(object: NativeObject, direction: 0 | 1, handle = HANDLE) {
  const programId = object.programIds()[direction];
  const name = `sfunnel_${direction === 0 ? "ingress" : "egress"}:[${programId}]`;
  return {
    direction,
    kind: "bpf",
    chain: 0,
    protocol: 3,
    priority: PRIORITY,
    handle,
    name,
    programId,
  };
}

describe.skipIf(skipReason !== undefined)(titled("clsact"), () => {
  afterEach(async () => {
    await releaseAll();
    deleteNetns();
  });

  test("makes the qdisc, attaches, detaches, and takes the qdisc away", async () => {
    const { qdisc, attach } = await place();
    const object = await loadFixture();
    expect(await qdisc()).toEqual(NONE);
    const ingress = attached(await attach(object, INGRESS));
    const egress = attached(await attach(object, EGRESS));
    expect(await qdisc()).toEqual({
      kind: "clsact",
      filters: [ours(object, INGRESS), ours(object, EGRESS)],
    });
    expect(await egress.detach()).toBeUndefined();
    expect((await qdisc()).filters).toEqual([ours(object, INGRESS)]);
    expect(await ingress.detach()).toBeUndefined();
    expect(await qdisc()).toEqual(NONE);
    expect(await ingress.detach()).toBeUndefined();
  });

  test("is direct action and works without its object", async () => {
    const { attach, tc, netns } = await place();
    const object = await loadFixture();
    attached(await attach(object, EGRESS));
    object.close();
    expect(tc("filter", "show", "dev", netns.device, "egress")).toContain("direct-action");
  });

  test("takes the qdisc away with the last filter, in whatever order they go", async () => {
    const { qdisc, attach } = await place();
    const object = await loadFixture();
    for (const order of [
      [0, 1, 2],
      [2, 1, 0],
      [1, 0, 2],
    ]) {
      const attachments = [
        attached(await attach(object, INGRESS)),
        attached(await attach(object, EGRESS)),
        attached(await attach(object, EGRESS, true, HANDLE + 1)),
      ];
      for (const i of order) {
        expect((await qdisc()).kind).toBe("clsact");
        expect(await attachments[i]?.detach()).toBeUndefined();
      }
      expect(await qdisc()).toEqual(NONE);
    }
  });

  test("keeps calls apart that make and take away the qdisc at the same time", async () => {
    const { qdisc, attach } = await place();
    const object = await loadFixture();
    const cycles = Array.from({ length: 8 }, async (_, i) => {
      for (let round = 0; round < 10; round++) {
        const attachment = must(await attach(object, i % 2 === 0 ? INGRESS : EGRESS, false, i + 1));
        expect(await attachment.detach()).toBeUndefined();
      }
    });
    await Promise.all(cycles);
    expect(await qdisc()).toEqual(NONE);
  });

  test("leaves a qdisc alone that it did not make", async () => {
    const { qdisc, attach, tc, netns } = await place();
    tc("qdisc", "add", "dev", netns.device, "clsact");
    const attachment = attached(await attach(await loadFixture(), INGRESS));
    expect(await attachment.detach()).toBeUndefined();
    expect(await qdisc()).toEqual({ kind: "clsact", filters: [] });
  });

  test.each(["ingress", "egress"])("leaves the qdisc to a foreign filter at %s", async (where) => {
    const { qdisc, attach, tc, netns } = await place();
    const attachment = attached(await attach(await loadFixture(), INGRESS));
    tc("filter", "add", "dev", netns.device, where, "pref", "7", ...FOREIGN);
    expect(await attachment.detach()).toBeUndefined();
    const { kind, filters } = await qdisc();
    expect(kind).toBe("clsact");
    // A hash table and the filter in it.
    expect(filters.map(({ handle }) => handle)).toEqual([0x80000000, 0x80000800]);
    const direction = where === "ingress" ? INGRESS : EGRESS;
    const foreign = {
      direction,
      kind: "u32",
      chain: 0,
      protocol: 3,
      priority: 7,
      name: "",
      programId: 0,
    };
    for (const filter of filters) expect(filter).toEqual({ ...foreign, handle: filter.handle });
  });

  test("leaves the qdisc to a foreign filter in another chain", async () => {
    const { qdisc, attach, tc, netns } = await place();
    const attachment = attached(await attach(await loadFixture(), INGRESS));
    const filter = ["pref", `${PRIORITY}`, "handle", `${HANDLE}`, "bpf", "da"];
    const program = ["obj", fixturePath("half"), "sec", "tc"];
    const chain = ["filter", "add", "dev", netns.device, "ingress", "chain", "3"];
    tc(...chain, ...filter, ...program);
    expect(await attachment.detach()).toBeUndefined();
    expect((await qdisc()).filters.map(({ chain }) => chain)).toEqual([3]);
  });

  test("replaces the filter at its place in one step", async () => {
    const { qdisc, attach } = await place();
    const [a, b] = await Promise.all([loadFixture(), loadFixture()]);
    const old = attached(await attach(a, INGRESS));
    const young = attached(await attach(b, INGRESS));
    expect((await qdisc()).filters).toEqual([ours(b, INGRESS)]);
    // The old one is not ours to remove any more.
    expect(await old.detach()).toBeUndefined();
    expect((await qdisc()).filters).toEqual([ours(b, INGRESS)]);
    expect(await young.detach()).toBeUndefined();
    expect(await qdisc()).toEqual(NONE);
  });

  test.each(["handle", "id"])("puts back who gave way, by %s, until settled", async (how) => {
    const { qdisc, path, ifindex, attach } = await place();
    const [a, b] = await Promise.all([loadFixture(), loadFixture()]);
    const old = attached(await attach(a, INGRESS));
    const replace = async () => {
      const gave = how === "handle" ? old : a.programIds()[INGRESS];
      const place = [path, ifindex, INGRESS, PRIORITY, HANDLE, false, gave] as const;
      return attached(await b.attachClsact(...place));
    };
    const first = await replace();
    expect((await qdisc()).filters).toEqual([ours(b, INGRESS)]);
    expect(await first.revert()).toBeUndefined();
    expect((await qdisc()).filters).toEqual([ours(a, INGRESS)]);
    const second = await replace();
    second.settle();
    expect(await second.revert()).toBeUndefined();
    expect((await qdisc()).filters).toEqual([]);
    await old.detach();
    expect(await qdisc()).toEqual(NONE);
  });

  test("keeps filters with other handles apart", async () => {
    const { qdisc, attach, detach } = await place();
    const object = await loadFixture();
    const one = attached(await attach(object, INGRESS, true, 1));
    attached(await attach(object, INGRESS, true, 2));
    await one.detach();
    expect((await qdisc()).filters).toEqual([ours(object, INGRESS, 2)]);
    expect(await detach(INGRESS, PRIORITY, 2)).toBeUndefined();
    expect((await qdisc()).filters).toEqual([]);
  });

  test("works at ingress of a qdisc ingress, and refuses egress there", async () => {
    const { qdisc, attach, detach, tc, netns } = await place();
    const object = await loadFixture();
    tc("qdisc", "add", "dev", netns.device, "ingress");
    expect(mustFail(await attach(object, EGRESS))).toEqual({
      errno: 17,
      step: "create clsact: an ingress qdisc is in the way",
    });
    const attachment = attached(await attach(object, INGRESS));
    expect(await qdisc()).toEqual({ kind: "ingress", filters: [ours(object, INGRESS)] });
    expect(errnoName(mustFail(await detach(EGRESS)).errno)).toBe("ENOENT");
    expect(await attachment.detach()).toBeUndefined();
    expect(await qdisc()).toEqual({ kind: "ingress", filters: [] });
  });

  test("fails where a filter of another kind has the priority, and cleans up", async () => {
    const { qdisc, attach, tc, netns } = await place();
    tc("qdisc", "add", "dev", netns.device, "clsact");
    const pref = ["pref", `${PRIORITY}`];
    tc("filter", "add", "dev", netns.device, "ingress", ...pref, ...FOREIGN);
    const failure = mustFail(await attach(await loadFixture(), INGRESS));
    expect([errnoName(failure.errno), failure.step]).toEqual(["EINVAL", "attach clsact filter"]);
    expect((await qdisc()).filters.map(({ kind }) => kind)).toEqual(["u32", "u32"]);
  });

  test("is no failure to detach when device, qdisc or filter have gone", async () => {
    const object = await loadFixture();
    const ways: ((netns: ReturnType<typeof makeNetns>) => unknown)[] = [
      (netns) => netns.deleteDevices(),
      (netns) => netns.run("tc", "qdisc", "del", "dev", netns.device, "clsact"),
      (netns) => netns.run("tc", "filter", "del", "dev", netns.device, "ingress"),
      (netns) => netns.delete(),
    ];
    for (const goAway of ways) {
      const { netns, attach } = await place();
      const attachment = attached(await attach(object, INGRESS));
      goAway(netns);
      expect(await attachment.detach()).toBeUndefined();
    }
  });

  test("removes by place what an earlier process left", async () => {
    const { qdisc, attach, detach } = await place();
    const object = await loadFixture();
    must(await attach(object, EGRESS, true));
    expect(errnoName(mustFail(await detach(INGRESS)).errno)).toBe("ENOENT");
    expect(errnoName(mustFail(await detach(EGRESS, PRIORITY + 1)).errno)).toBe("ENOENT");
    expect(errnoName(mustFail(await detach(EGRESS, PRIORITY, HANDLE + 1)).errno)).toBe("ENOENT");
    expect((await qdisc()).filters).toHaveLength(1);
    expect(await detach(EGRESS)).toBeUndefined();
    expect(await qdisc()).toEqual({ kind: "clsact", filters: [] });
    expect(errnoName(mustFail(await detach(EGRESS)).errno)).toBe("ENOENT");
  });

  test("lists more filters than one message of the kernel holds", async () => {
    const { qdisc, tc, netns } = await place();
    tc("qdisc", "add", "dev", netns.device, "clsact");
    for (let pref = 1; pref <= 100; pref++) {
      tc("filter", "add", "dev", netns.device, "egress", "pref", `${pref}`, ...FOREIGN);
    }
    const { filters } = await qdisc();
    const priorities = [...new Set(filters.map(({ priority }) => priority))];
    expect(priorities).toEqual(Array.from({ length: 100 }, (_, i) => i + 1));
  });

  test("fails on a device that is not there", async () => {
    const { path } = await place();
    const object = await loadFixture();
    for (const result of [
      object.attachClsact(path, 9999, INGRESS, 1, 1, false),
      binding().qdisc(path, 9999),
      binding().detachClsact(path, 9999, INGRESS, 1, 1),
    ]) {
      expect(mustFail(await result)).toEqual({ errno: 19, step: "find device" });
    }
  });

  test("refuses a priority or handle that tc has not", async () => {
    const object = await loadFixture();
    for (const [priority, handle] of [
      [0, 1],
      [0x10000, 1],
      [1, 0],
      [1, 2 ** 32],
    ] as const) {
      const attach = () => object.attachClsact("", 1, INGRESS, priority, handle, false);
      expect(attach).toThrow(RangeError);
      expect(() => binding().detachClsact("", 1, INGRESS, priority, handle)).toThrow(RangeError);
    }
  });
});
