/** Kernels and hosts that are not at hand: without tcx, without veth, with a full hook. */
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type {
  NativeAttachment,
  NativeFilter,
  NativeObject,
  NativeWatch,
} from "../../../lib/native/binding.ts";
import { inNamespace } from "../../../lib/runtime/namespace-lock.ts";
import type { Place } from "../../../lib/runtime/place.ts";
import { cleanSegmenter, withSegmenter } from "../../../lib/runtime/segmenter.ts";
import { fail, kernel, resetKernel } from "../../support/mock-kernel.ts";

vi.mock("../../../lib/native/binding.ts", async (original) => ({
  ...(await original<typeof import("../../../lib/native/binding.ts")>()),
  binding: () => kernel,
}));

const IFINDEX = 0x5346554e;
const RECEIVER = 7;
const PAIR = [
  { ifindex: IFINDEX, name: "sfunnel.seg", mtu: 65535, type: 1 },
  { ifindex: RECEIVER, name: "sfunnel.ret", mtu: 65535, type: 1 },
];
const ETH0 = { ifindex: 2, name: "eth0", mtu: 1500, type: 1 };
const PLACE: Place = {
  netns: "",
  netnsInode: 1n,
  device: "eth0",
  ifindex: 2,
  linkType: 1,
  mtu: 1500,
};

function makeObject() {
  const detach = vi.fn<NativeAttachment["detach"]>().mockResolvedValue(undefined);
  const attachment = { detach } as unknown as NativeAttachment;
  const object = {
    programIds: () => [100, 101] as const,
    segmenterProgramId: () => 102,
    attachTcx: vi.fn<NativeObject["attachTcx"]>().mockResolvedValue(attachment),
    attachClsact: vi.fn<NativeObject["attachClsact"]>().mockResolvedValue(attachment),
  };
  return Object.assign(object as typeof object & NativeObject, { detach });
}

const filter = (programId: number, handle: number): NativeFilter => ({
  ...{ direction: 0, kind: "bpf", chain: 0, protocol: 3, priority: 2 },
  ...{ name: `sfunnel_return:[${programId}]`, programId, handle },
});

const attach = (object: NativeObject, lifetime: "process" | "device" = "process") =>
  withSegmenter(
    object,
    PLACE,
    lifetime,
    async () => "done",
    () => undefined,
  );

const release = vi.fn();

beforeEach(() => {
  resetKernel();
  release.mockReset();
  kernel.lockNetns.mockResolvedValue({ release });
  kernel.watchLinks.mockResolvedValue({
    start: () => undefined,
    close: () => undefined,
  } satisfies NativeWatch);
  kernel.makeSegmenter.mockResolvedValue({ receiver: RECEIVER, made: true, repaired: false });
  kernel.removeSegmenter.mockResolvedValue(undefined);
  kernel.devices.mockResolvedValue([ETH0, ...PAIR]);
  kernel.qdisc.mockResolvedValue({ kind: "clsact", filters: [] });
  kernel.program.mockResolvedValue({ name: "sfunnel_return", mapIds: [] });
});

afterEach(() => {
  vi.useRealTimers();
});

describe("the program at the receiving end", () => {
  test("is held by a link where it goes with the process", async () => {
    const object = makeObject();
    expect(await attach(object)).toBe("done");
    expect(object.attachTcx.mock.calls).toEqual([["", RECEIVER, 0, true, true, 0, undefined, 2]]);
    expect(object.attachClsact).not.toHaveBeenCalled();
  });

  test.each([
    ["the kernel has no tcx", "EINVAL", fail("EINVAL")],
    ["the hook is full", "ERANGE", []],
  ] as const)("is a filter where %s", async (_, errno, listed) => {
    const object = makeObject();
    object.attachTcx.mockResolvedValue(fail(errno));
    kernel.tcxPrograms.mockResolvedValue(listed);
    await attach(object);
    expect(object.attachClsact.mock.calls).toEqual([["", RECEIVER, 0, 1, 100, false, 0, 2]]);
  });

  test("is a filter that stays, with the id of the Funnel's program, where the device lives longer", async () => {
    const object = makeObject();
    await attach(object, "device");
    expect(object.attachTcx).not.toHaveBeenCalled();
    expect(object.attachClsact.mock.calls).toEqual([["", RECEIVER, 0, 2, 100, true, 0, 2]]);
  });

  test("is none, and nothing is attached, where tcx fails for another reason", async () => {
    const object = makeObject();
    object.attachTcx.mockResolvedValue(fail("EPERM"));
    const work = vi.fn();
    await expect(
      withSegmenter(object, PLACE, "process", work, () => undefined),
    ).rejects.toMatchObject({ errno: "EPERM" });
    expect(work).not.toHaveBeenCalled();
    expect(kernel.removeSegmenter).toHaveBeenCalledTimes(1);
    expect(release).toHaveBeenCalledTimes(1);
  });

  test("goes, and the pair with it, where the work throws", async () => {
    const object = makeObject();
    const error = new Error("on purpose");
    const work = () => Promise.reject(error);
    await expect(withSegmenter(object, PLACE, "process", work, () => undefined)).rejects.toBe(
      error,
    );
    expect(object.detach).toHaveBeenCalledTimes(1);
    expect(kernel.removeSegmenter).toHaveBeenCalledTimes(1);
  });
});

test.each([
  ["EOPNOTSUPP", "SFUNNEL_KERNEL", /no veth/],
  ["EPERM", "SFUNNEL_PERMISSION", /not permitted \(make segmenter\)/],
  ["ENOMEM", "SFUNNEL_LIMIT", /no room/],
] as const)("a pair that cannot be made fails the attach: %s", async (errno, code, message) => {
  kernel.makeSegmenter.mockResolvedValue(fail(errno, "make segmenter"));
  kernel.devices.mockResolvedValue([ETH0]);
  const attached = attach(makeObject());
  await expect(attached).rejects.toMatchObject({ code, errno });
  await expect(attached).rejects.toThrow(message);
  expect(kernel.removeSegmenter).not.toHaveBeenCalled();
});

describe("what others left behind", () => {
  /** Programs of one Funnel that is attached to eth0, with ids of 200 and up. */
  const standsOn = (ids: readonly number[]) =>
    kernel.tcxPrograms.mockImplementation(async (_, ifindex) => (ifindex === 2 ? ids : []));

  const filtersAre = (filters: readonly NativeFilter[]) =>
    kernel.qdisc.mockImplementation(async (_, ifindex) => ({
      kind: "clsact",
      filters: ifindex === RECEIVER ? filters : [],
    }));

  test("goes where their Funnel is attached to nothing", async () => {
    filtersAre([filter(302, 300), filter(202, 200)]);
    standsOn([200, 201]);
    expect(await cleanSegmenter("")).toBe(false);
    expect(kernel.detachClsact.mock.calls).toEqual([["", RECEIVER, 0, 2, 300]]);
    standsOn([]);
    expect(await cleanSegmenter("")).toBe(true);
    expect(kernel.detachClsact.mock.calls.slice(1).map((call) => call[4])).toEqual([300, 200]);
    expect(kernel.removeSegmenter).toHaveBeenCalledTimes(1);
  });

  test("stays where a device cannot be looked at", async () => {
    filtersAre([filter(302, 300)]);
    kernel.tcxPrograms.mockImplementation(async (_, ifindex) =>
      ifindex === 2 ? fail("EPERM") : [],
    );
    expect(await cleanSegmenter("")).toBe(false);
    expect(kernel.detachClsact).not.toHaveBeenCalled();
    expect(kernel.removeSegmenter).not.toHaveBeenCalled();
  });

  test.each([
    ["one of ours", { name: "sfunnel_return", mapIds: [] }, false],
    ["one that we may not look at", fail("EPERM"), false],
    ["somebody else's", { name: "watcher", mapIds: [] }, true],
    ["one that has gone meanwhile", fail("ENOENT"), true],
  ] as const)("a program on tcx keeps it if it is %s", async (_, program, removed) => {
    kernel.tcxPrograms.mockResolvedValue([900]);
    kernel.program.mockResolvedValue(program);
    expect(await cleanSegmenter("")).toBe(removed);
    expect(kernel.removeSegmenter).toHaveBeenCalledTimes(removed ? 1 : 0);
  });

  test("a foreign device of the name is nothing of ours", async () => {
    kernel.devices.mockResolvedValue([{ ...ETH0, name: "sfunnel.seg" }]);
    expect(await cleanSegmenter("")).toBe(false);
    expect(kernel.removeSegmenter).not.toHaveBeenCalled();
  });
});

describe("the lock of a namespace", () => {
  const namespace = { path: "", inode: 1n };

  test("is waited for, and given back, also when the work fails", async () => {
    kernel.lockNetns.mockResolvedValueOnce(fail("EAGAIN", "lock")).mockResolvedValue({ release });
    expect(await inNamespace(namespace, "attach", async () => 5)).toBe(5);
    const error = new Error("on purpose");
    await expect(inNamespace(namespace, "attach", () => Promise.reject(error))).rejects.toBe(error);
    expect(release).toHaveBeenCalledTimes(2);
    expect(kernel.lockNetns).toHaveBeenCalledTimes(3);
  });

  test("is for one at a time here, too", async () => {
    const [events, work] = [[] as string[], [1, 2, 3]];
    await Promise.all(
      work.map((number) =>
        inNamespace(namespace, "attach", async () => {
          events.push(`begin ${number}`);
          await new Promise((resolve) => setImmediate(resolve));
          events.push(`end ${number}`);
        }),
      ),
    );
    expect(events).toEqual(work.flatMap((number) => [`begin ${number}`, `end ${number}`]));
  });

  test("is given up where somebody keeps it, or nobody wants to wait any more", async () => {
    vi.useFakeTimers({ toFake: ["performance"] });
    kernel.lockNetns.mockImplementation(async () => {
      vi.advanceTimersByTime(1000);
      return fail("EAGAIN", "lock");
    });
    await expect(inNamespace(namespace, "attach", async () => 5)).rejects.toMatchObject({
      ...{ code: "SFUNNEL_SYSTEM", errno: "EBUSY", operation: "attach" },
    });
    const enough = new Error("enough");
    let asked = 0;
    const mayWait = () => {
      if (++asked > 2) throw enough;
    };
    await expect(inNamespace(namespace, "attach", async () => 5, mayWait)).rejects.toBe(enough);
  });

  test.each(["EPERM", "ENOENT"] as const)("may fail: %s", async (errno) => {
    kernel.lockNetns.mockResolvedValue(fail(errno, "lock network namespace"));
    await expect(inNamespace(namespace, "close", async () => 5)).rejects.toMatchObject({ errno });
  });
});
