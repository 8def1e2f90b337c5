import { once } from "node:events";
import { readdirSync } from "node:fs";
import { afterEach, describe, expect, test } from "vitest";
import { Funnel } from "../../lib/index.ts";
import { binding } from "../../lib/native/binding.ts";
import { Foreign, hooksOf } from "../support/foreign.ts";
import {
  borrowFunnel,
  CLIENT_RULES,
  closeFunnels,
  countOf,
  kill,
  loadFunnel,
  NOTHING,
  on,
  onHooks,
  runChild,
  startChild,
} from "../support/funnels.ts";
import { Lab } from "../support/lab.ts";
import { collectGarbage, must, openDescriptors, skipReason, titled } from "../support/native.ts";
import { deleteNetns, makeNetns, type TestNetns } from "../support/netns.ts";

const WAYS = (["tcx", "clsact"] as const).flatMap((hook) =>
  (["process", "device"] as const).map((lifetime) => ({ hook, lifetime })),
);
const ONE_EACH = { tcx: [1, 1, 0, 0], clsact: [0, 0, 1, 1] };
const NONE = [0, 0, 0, 0];

/** What of ours is pinned in the bpffs that everybody shares. */
function pins(): string[] {
  return readdirSync("/sys/fs/bpf", { recursive: true, encoding: "utf8" }).filter((path) =>
    path.includes("sfunnel"),
  );
}

describe.skipIf(skipReason !== undefined)(titled("lifetime"), () => {
  const labs: Lab[] = [];

  afterEach(async () => {
    await closeFunnels();
    for (const lab of labs.splice(0)) lab[Symbol.dispose]();
    deleteNetns();
  });

  /** Two hosts, and a program that sees what arrives at the second one. */
  async function makeWire() {
    const lab = new Lab();
    labs.push(lab);
    const [client, server] = [lab.host("c"), lab.host("s")];
    lab.link(client, "eth0", "10.77.0.1/24", server, "eth0", "10.77.0.2/24");
    const wire = await Foreign.load();
    await wire.onTcx((await hooksOf(server.netns, "eth0")).ingress, true);
    return { lab, client, wire };
  }

  /** One Funnel on as many devices as there are ways, in a child that ends. */
  async function end(where: "process" | "worker", how: string): Promise<void> {
    const places = WAYS.map((way) => ({ netns: makeNetns(), way }));
    const [first, ...also] = places.map(({ netns, way }) => ({
      device: netns.device,
      options: { netns: netns.path, ...way },
    }));
    if (!first) throw new Error("no ways");
    const task = { where, how, ...first, also };
    if (where === "process") {
      const ended = runChild(task);
      expect({ status: ended.status, signal: ended.signal }).toEqual({
        status: how === "kill" ? null : how === "throw" ? 1 : 0,
        signal: how === "kill" ? "SIGKILL" : null,
      });
    } else {
      // The process around the worker lives on.
      await startChild(task);
    }
    for (const { netns, way } of places) {
      const { hook, lifetime } = way;
      const left = await on(netns);
      // Nobody can take a filter back from a process that was killed.
      const stays = lifetime === "device" || (hook === "clsact" && how === "kill");
      expect({ way, count: countOf(left) }).toEqual({ way, count: stays ? ONE_EACH[hook] : NONE });
      if (!stays) expect(left).toEqual(NOTHING);
    }
    expect(pins()).toEqual([]);
  }

  test.each(["close", "end", "exit", "throw", "kill"])("of a process, at: %s", (how) =>
    end("process", how),
  );

  test.each(["end", "exit", "throw", "terminate"])("of a worker, at: %s", (how) =>
    end("worker", how),
  );

  test.each([
    // In the middle of a load, and of what comes after it.
    { from: "start", delays: [20, 120, 240, 360] },
    { from: "ready", delays: [0, 2, 5, 9] },
  ] as const)("of a worker that is terminated at work, from its $from", async (when) => {
    const netns = makeNetns();
    const other = makeNetns();
    const child = await startChild({
      ...{ where: "worker", how: "churn", device: netns.device, options: { netns: netns.path } },
      also: [{ device: other.device, options: { netns: other.path, hook: "clsact" } }],
      ...when,
    });
    for (const { name, device } of [netns, other]) {
      expect(await onHooks(name, device)).toEqual(NOTHING);
    }
    child.stdin?.end();
    expect(await once(child, "exit")).toEqual([0, null]);
  });

  test("of device: goes with the device", async () => {
    const [one, two] = [makeNetns(), makeNetns()];
    const options = (hook: string, { path }: TestNetns) => ({
      netns: path,
      hook,
      lifetime: "device",
    });
    const ended = runChild({
      ...{ how: "exit", device: one.device, options: options("tcx", one) },
      also: [{ device: two.device, options: options("clsact", two) }],
    });
    expect(ended.status).toBe(0);
    const hooks = [(await on(one)).tcx, (await on(two)).clsact];
    const ids = new Set(hooks.flatMap(({ ingress, egress }) => [...ingress, ...egress]));
    expect(ids.size).toBe(2);
    for (const id of ids) must(await binding().program(id));
    for (const netns of [one, two]) netns.deleteDevices();
    for (const id of ids) {
      // The kernel frees it when no packet can be in it any more.
      await expect
        .poll(async () => "errno" in (await binding().program(id)), { timeout: 10_000 })
        .toBe(true);
    }
  });

  test.each(["tcx", "clsact"] as const)(
    "of device: goes on after close of its Funnel, which keeps nothing open: %s",
    async (hook) => {
      const { lab, client, wire } = await makeWire();
      const before = openDescriptors();
      const funnel = await Funnel.load(CLIENT_RULES);
      const options = { netns: client.netns, hook, lifetime: "device" } as const;
      const attachment = await funnel.attach("eth0", options);
      expect(attachment.lifetime).toBe("device");
      await funnel.close();
      await new Promise((resolve) => setImmediate(resolve));
      expect(openDescriptors()).toEqual(before);
      expect(attachment.attached).toBe(false);
      await attachment.close();
      const few = { address: "10.77.0.2", port: 2055, count: 3, echo: false };
      await lab.endpoint(client, "udpSend", few).end();
      await expect.poll(async () => (await wire.seen()).funneled, { interval: 1 }).toBe(few.count);
      wire.close();
    },
  );

  test("of device: goes when its attachment is closed", async () => {
    for (const hook of ["tcx", "clsact"] as const) {
      const netns = makeNetns();
      const funnel = await borrowFunnel();
      const options = { netns: netns.path, hook, lifetime: "device" } as const;
      const attachment = await funnel.attach(netns.device, options);
      await attachment.close();
      expect(await on(netns)).toEqual(NOTHING);
    }
  });

  test("closing what has gone with its device is no error", async () => {
    const funnel = await loadFunnel();
    for (const way of WAYS) {
      const netns = makeNetns();
      const attachment = await funnel.attach(netns.device, { netns: netns.path, ...way });
      netns.deleteDevices();
      await attachment.close();
    }
    await funnel.close();
  });

  test("funnels on after all handles have been collected", async () => {
    const { lab, client, wire } = await makeWire();
    const dropped = await (async () => {
      const funnel = await Funnel.load(CLIENT_RULES);
      return new WeakRef(await funnel.attach("eth0", { netns: client.netns, hook: "clsact" }));
    })();
    await expect
      .poll(async () => {
        await collectGarbage();
        return dropped.deref();
      })
      .toBeUndefined();
    const few = { address: "10.77.0.2", port: 2055, count: 3, echo: false };
    await lab.endpoint(client, "udpSend", few).end();
    await expect.poll(async () => (await wire.seen()).funneled, { interval: 1 }).toBe(few.count);
    wire.close();
  });

  test("a link that was taken over goes when both processes have gone", async () => {
    const netns = makeNetns();
    const task = { how: "hold", device: netns.device, options: { netns: netns.path } };
    const [maker, taker] = [await startChild(task), await startChild(task)];
    expect(countOf(await on(netns))).toEqual(ONE_EACH.tcx);
    await kill(taker);
    // What took it over stands there as long as there is who made it.
    expect(countOf(await on(netns))).toEqual(ONE_EACH.tcx);
    await kill(maker);
    expect(await on(netns)).toEqual(NOTHING);
  });
});
