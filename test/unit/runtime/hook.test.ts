import { beforeEach, describe, expect, test, vi } from "vitest";
import { KernelError } from "../../../lib/errors.ts";
import type { NativeAttachment, NativeObject } from "../../../lib/native/binding.ts";
import { hookAll, unhook } from "../../../lib/runtime/hook.ts";
import { ETHERNET } from "../../../lib/runtime/link-type.ts";
import { resolveAttachOptions } from "../../../lib/runtime/options.ts";
import type { Place } from "../../../lib/runtime/place.ts";
import { lacksTcx } from "../../../lib/runtime/stand.ts";
import { fail, kernel, resetKernel } from "../../support/mock-kernel.ts";

vi.mock("../../../lib/native/binding.ts", async (original) => ({
  ...(await original<typeof import("../../../lib/native/binding.ts")>()),
  binding: () => kernel,
}));

function makeAttachment() {
  return {
    detach: vi.fn<NativeAttachment["detach"]>().mockResolvedValue(undefined),
    revert: vi.fn<NativeAttachment["revert"]>().mockResolvedValue(undefined),
    settle: vi.fn<NativeAttachment["settle"]>(),
    release: vi.fn<NativeAttachment["release"]>(),
  };
}

function makeObject() {
  const object = {
    programIds: () => [100, 101] as const,
    update: vi.fn<NativeObject["update"]>().mockResolvedValue(undefined),
    remove: vi.fn<NativeObject["remove"]>().mockResolvedValue(undefined),
    attachTcx: vi.fn<NativeObject["attachTcx"]>(),
    attachClsact: vi.fn<NativeObject["attachClsact"]>(),
  };
  return object as typeof object & NativeObject;
}

let nextDevice = 1;

/** A device of its own for each test, since what is attached is remembered. */
function makePlace(): Place {
  const ifindex = nextDevice++;
  return {
    netns: "",
    netnsInode: 1n,
    device: `dev${ifindex}`,
    ifindex,
    linkType: ETHERNET,
    mtu: 1500,
  };
}

const options = resolveAttachOptions({});

beforeEach(() => {
  resetKernel();
  kernel.program.mockResolvedValue({ name: "other", mapIds: [] });
});

describe("which hook", () => {
  test("tcx where the kernel takes it", async () => {
    const object = makeObject();
    object.attachTcx.mockResolvedValue(makeAttachment());
    const [hooked] = await hookAll(object, makePlace(), ["ingress"], options);
    expect(hooked?.hook).toBe("tcx");
    expect(object.attachClsact).not.toHaveBeenCalled();
  });

  test.each([
    ["asking for it", true],
    ["attaching to it", false],
  ])("clsact where the kernel knows no tcx, seen by %s", async (_, early) => {
    const object = makeObject();
    object.attachTcx.mockResolvedValue(fail("EINVAL"));
    object.attachClsact.mockResolvedValue(makeAttachment());
    kernel.tcxPrograms.mockResolvedValue(fail("EINVAL", "query tcx"));
    if (early) kernel.tcxRevision.mockResolvedValue(fail("EINVAL", "query tcx"));
    const hooked = await hookAll(object, makePlace(), ["ingress", "egress"], options);
    expect(hooked.map(({ hook }) => hook)).toEqual(["clsact", "clsact"]);
  });

  test.each([
    ["EPERM", "SFUNNEL_PERMISSION"],
    ["ENODEV", "SFUNNEL_DEVICE"],
    ["EBUSY", "SFUNNEL_SYSTEM"],
    ["ERANGE", "SFUNNEL_LIMIT"],
    ["ENOMEM", "SFUNNEL_LIMIT"],
    // Refused though the kernel knows tcx.
    ["EINVAL", "SFUNNEL_SYSTEM"],
  ] as const)("none, but an error, where tcx fails for another reason: %s", async (name, code) => {
    const object = makeObject();
    object.attachTcx.mockResolvedValue(fail(name));
    const attach = hookAll(object, makePlace(), ["ingress"], options);
    await expect(attach).rejects.toMatchObject({ code, errno: name });
    await expect(attach).rejects.toBeInstanceOf(KernelError);
    expect(object.attachClsact).not.toHaveBeenCalled();
    // Nor does the object claim a place that it has not got.
    expect(object.remove).toHaveBeenCalledTimes(1);
  });

  test.each(["EPERM", "ENODEV"] as const)("none where even asking fails: %s", async (name) => {
    const object = makeObject();
    kernel.tcxRevision.mockResolvedValue(fail(name, "query tcx"));
    const attach = hookAll(object, makePlace(), ["ingress"], options);
    await expect(attach).rejects.toMatchObject({ errno: name });
    expect(object.attachClsact).not.toHaveBeenCalled();
  });

  test("none where tcx alone is asked for", async () => {
    const object = makeObject();
    kernel.tcxRevision.mockResolvedValue(fail("EINVAL", "query tcx"));
    kernel.tcxPrograms.mockResolvedValue(fail("EINVAL", "query tcx"));
    const attach = hookAll(object, makePlace(), ["ingress"], { ...options, hook: "tcx" });
    await expect(attach).rejects.toMatchObject({ errno: "EINVAL" });
    expect(object.attachClsact).not.toHaveBeenCalled();
  });

  test.each([
    ["EINVAL", "EINVAL", true],
    ["EINVAL", undefined, false],
    ["EINVAL", "ENODEV", false],
    ["EPERM", "EINVAL", false],
    ["E2BIG", "EINVAL", false],
  ] as const)("attach %s and query %s: no tcx is %s", async (attach, query, expected) => {
    kernel.tcxPrograms.mockResolvedValue(query === undefined ? [] : fail(query));
    expect(await lacksTcx(fail(attach), makePlace(), "ingress")).toBe(expected);
  });
});

describe("a hook that others change at the same time", () => {
  test.each(["ESTALE", "ENOENT", "ENOLINK"] as const)("is looked at again: %s", async (name) => {
    const object = makeObject();
    object.attachTcx.mockResolvedValueOnce(fail(name)).mockResolvedValueOnce(makeAttachment());
    kernel.tcxRevision.mockResolvedValueOnce(5n).mockResolvedValueOnce(6n);
    await hookAll(object, makePlace(), ["ingress"], options);
    expect(object.attachTcx.mock.calls.map((call) => call[6])).toEqual([5n, 6n]);
  });

  test("is given up in the end", async () => {
    const object = makeObject();
    object.attachTcx.mockResolvedValue(fail("ESTALE"));
    const attach = hookAll(object, makePlace(), ["ingress"], options);
    await expect(attach).rejects.toMatchObject({ errno: "ESTALE" });
  });
});

describe("when something fails on the way", () => {
  test("what stands already is reverted, in turn, and nothing is remembered", async () => {
    const object = makeObject();
    const first = makeAttachment();
    object.attachTcx.mockResolvedValueOnce(first).mockResolvedValueOnce(fail("ERANGE"));
    const place = makePlace();
    const attach = hookAll(object, place, ["ingress", "egress"], options);
    await expect(attach).rejects.toMatchObject({ errno: "ERANGE" });
    expect(first.revert).toHaveBeenCalledTimes(1);
    expect(first.settle).not.toHaveBeenCalled();
    expect(object.remove).toHaveBeenCalledTimes(2);
  });

  test("what cannot be reverted is detached", async () => {
    const object = makeObject();
    const first = makeAttachment();
    first.revert.mockResolvedValue(fail("ENOMEM"));
    object.attachTcx.mockResolvedValueOnce(first).mockResolvedValueOnce(fail("ERANGE"));
    const attach = hookAll(object, makePlace(), ["ingress", "egress"], options);
    await expect(attach).rejects.toMatchObject({ errno: "ERANGE" });
    expect(first.detach).toHaveBeenCalledTimes(1);
  });

  test.each([1, 2])("an abort in front of hook %i or behind it leaves nothing", async (when) => {
    const object = makeObject();
    const controller = new AbortController();
    const made: ReturnType<typeof makeAttachment>[] = [];
    object.attachTcx.mockImplementation(async () => {
      const attachment = makeAttachment();
      made.push(attachment);
      if (made.length === when) controller.abort("enough");
      return attachment;
    });
    const aborting = { ...options, signal: controller.signal };
    const attach = hookAll(object, makePlace(), ["ingress", "egress"], aborting);
    await expect(attach).rejects.toMatchObject({ code: "SFUNNEL_ABORTED", cause: "enough" });
    expect(made).toHaveLength(when);
    for (const { revert } of made) expect(revert).toHaveBeenCalledTimes(1);
  });

  test("a detach that fails is told, and names what it takes", async () => {
    const object = makeObject();
    const attachment = makeAttachment();
    attachment.detach.mockResolvedValue(fail("ENOMEM", "detach tcx"));
    object.attachTcx.mockResolvedValue(attachment);
    const [hooked] = await hookAll(object, makePlace(), ["ingress"], options);
    if (!hooked) throw new Error("not hooked");
    await expect(unhook(hooked)).rejects.toMatchObject({ operation: "close", errno: "ENOMEM" });
    await unhook(hooked);
    expect(attachment.detach).toHaveBeenCalledTimes(1);
  });

  test("a Funnel on more hooks than it takes says so", async () => {
    const object = makeObject();
    object.update.mockResolvedValue(fail("E2BIG", "update map"));
    await expect(hookAll(object, makePlace(), ["ingress"], options)).rejects.toMatchObject({
      code: "SFUNNEL_LIMIT",
      message: expect.stringMatching(/as many hooks as it takes \(1024\).*another Funnel/),
    });
  });
});
