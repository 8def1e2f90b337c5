import { once } from "node:events";
import { afterEach, describe, expect, test } from "vitest";
import type { Attachment, AttachOptions } from "../../lib/index.ts";
import { Foreign, type HookPlace, hooksOf } from "../support/foreign.ts";
import {
  borrowFunnel,
  closeFunnels,
  countOf,
  kill,
  NOTHING,
  type OnHooks,
  on,
  onHooks,
  runChild,
  startChild,
} from "../support/funnels.ts";
import { Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import { deleteNetns, makeNetns, type TestNetns } from "../support/netns.ts";

const HOOKS = ["tcx", "clsact"] as const;
const LIFETIMES = ["process", "device"] as const;
const WAYS = HOOKS.flatMap((hook) => LIFETIMES.map((lifetime) => ({ hook, lifetime })));

/** Nothing but one program of each direction on this hook. */
const ONE_EACH = { tcx: [1, 1, 0, 0], clsact: [0, 0, 1, 1] };

function optionsFor(netns: TestNetns, options: AttachOptions = {}): AttachOptions {
  return { netns: netns.path, ...options };
}

/** Puts as many programs on a hook as the kernel takes. */
async function fill(place: HookPlace): Promise<void> {
  for (;;) {
    const foreign = await Foreign.load();
    const failure = await foreign.onTcx(place, true).catch((error: Error) => error);
    foreign.close();
    if (failure) return expect(failure.message).toContain("errno 34");
  }
}

describe.skipIf(skipReason !== undefined)(titled("names"), () => {
  const labs: Lab[] = [];

  afterEach(async () => {
    await closeFunnels();
    for (const lab of labs.splice(0)) lab[Symbol.dispose]();
    deleteNetns();
  });

  test("one Funnel does not mix up interfaces of one index in two namespaces", async () => {
    const [here, there] = [makeNetns(), makeNetns()];
    const funnel = await borrowFunnel();
    await funnel.attach(here.device, optionsFor(here));
    const before = await on(here);
    const attach = funnel.attach(there.device, optionsFor(there, { direction: "ingress" }));
    await expect(attach).rejects.toThrow(/for direction "both" to veth-a of another namespace/);
    expect([await on(here), await on(there)]).toEqual([before, NOTHING]);
    // For the same directions there is nothing to mix up.
    await funnel.attach(there.device, optionsFor(there));
    expect(await on(there)).toEqual(before);
  });

  test.each(WAYS)("the same Funnel again stays as it is: $hook, $lifetime", async (way) => {
    const netns = makeNetns();
    const funnel = await borrowFunnel();
    const first = await funnel.attach(netns.device, optionsFor(netns, way));
    const before = await on(netns);
    const second = await funnel.attach(netns.device, optionsFor(netns, { ...way, hook: "auto" }));
    expect(await on(netns)).toEqual(before);
    expect([first.attached, second.attached, second.hook]).toEqual([false, true, way.hook]);
    // The name is the second's now.
    await first.close();
    expect(await on(netns)).toEqual(before);
    await second.close();
    expect(await on(netns)).toEqual(NOTHING);
  });

  test.each(WAYS)("another Funnel takes its place: $hook, $lifetime", async (way) => {
    const netns = makeNetns();
    const [one, two] = [await borrowFunnel(), await borrowFunnel()];
    // Somebody on either side, so that a new place would be seen.
    const neighbours = [await borrowFunnel(), await borrowFunnel()];
    await neighbours[0]?.attach(netns.device, optionsFor(netns, { ...way, name: "behind" }));
    const old = await one.attach(netns.device, optionsFor(netns, way));
    await neighbours[1]?.attach(netns.device, optionsFor(netns, { ...way, name: "ahead" }));
    const before = (await on(netns))[way.hook];
    const young = await two.attach(netns.device, optionsFor(netns, way));
    const after = (await on(netns))[way.hook];
    for (const direction of ["ingress", "egress"] as const) {
      expect(after[direction]).toHaveLength(3);
      expect(after[direction][0]).toBe(before[direction][0]);
      expect(after[direction][1]).not.toBe(before[direction][1]);
      expect(after[direction][2]).toBe(before[direction][2]);
    }
    expect([old.attached, young.attached]).toEqual([false, true]);
    await old.close();
    expect((await on(netns))[way.hook]).toEqual(after);
    await young.close();
    expect((await on(netns))[way.hook].egress).toEqual([before.egress[0], before.egress[2]]);
  });

  test.each([
    [
      { hook: "tcx", lifetime: "process" },
      { hook: "tcx", lifetime: "device" },
    ],
    [
      { hook: "tcx", lifetime: "device" },
      { hook: "tcx", lifetime: "process" },
    ],
    [
      { hook: "clsact", lifetime: "process" },
      { hook: "clsact", lifetime: "device" },
    ],
    [
      { hook: "clsact", lifetime: "device" },
      { hook: "clsact", lifetime: "process" },
    ],
    [
      { hook: "tcx", lifetime: "process" },
      { hook: "clsact", lifetime: "process" },
    ],
    [
      { hook: "clsact", lifetime: "device" },
      { hook: "tcx", lifetime: "device" },
    ],
  ] as const)("changes over from %o to %o", async (from, to) => {
    const netns = makeNetns();
    const [one, two] = [await borrowFunnel(), await borrowFunnel()];
    const old = await one.attach(netns.device, optionsFor(netns, from));
    const young = await two.attach(netns.device, optionsFor(netns, to));
    expect(countOf(await on(netns))).toEqual(ONE_EACH[to.hook]);
    await old.close();
    expect(countOf(await on(netns))).toEqual(ONE_EACH[to.hook]);
    await young.close();
    expect(countOf(await on(netns))).toEqual([0, 0, 0, 0]);
  });

  test("the same Funnel changes hooks, and its name goes with it", async () => {
    const netns = makeNetns();
    const funnel = await borrowFunnel();
    let attachment: Attachment | undefined;
    for (const hook of ["tcx", "clsact", "tcx"] as const) {
      attachment = await funnel.attach(netns.device, optionsFor(netns, { hook }));
      expect(countOf(await on(netns))).toEqual(ONE_EACH[hook]);
    }
    // Still found by its name, by a process that knows nothing else of it.
    const task = { how: "kill", device: netns.device, options: { netns: netns.path } };
    expect(runChild(task).signal).toBe("SIGKILL");
    await attachment?.close();
    expect(await on(netns)).toEqual(NOTHING);
  });

  test.each(HOOKS)("leaves other names alone on %s", async (hook) => {
    const netns = makeNetns();
    const attachments: Attachment[] = [];
    for (const name of ["a", "b", "ä".repeat(26), "default"]) {
      const funnel = await borrowFunnel();
      const attachment = await funnel.attach(netns.device, optionsFor(netns, { hook, name }));
      attachments.push(attachment);
    }
    expect((await on(netns))[hook].ingress).toHaveLength(4);
    for (const [index, attachment] of attachments.entries()) {
      expect(attachment.attached).toBe(true);
      await attachment.close();
      expect((await on(netns))[hook].ingress).toHaveLength(3 - index);
    }
    expect(await on(netns)).toEqual(NOTHING);
  });

  test.each(HOOKS)("the same name on another device or direction is another: %s", async (hook) => {
    const netns = makeNetns();
    const [one, two, three] = [await borrowFunnel(), await borrowFunnel(), await borrowFunnel()];
    const at = (device: string, direction: "ingress" | "egress") =>
      [device, optionsFor(netns, { hook, direction })] as const;
    const attachments = [
      await one.attach(...at("veth-a", "ingress")),
      await two.attach(...at("veth-b", "egress")),
      await three.attach(...at("veth-b", "ingress")),
    ];
    expect(attachments[0]?.attached).toBe(true);
    expect((await on(netns))[hook].ingress).toHaveLength(1);
    // Each of the two sees to its replies at the hook where the other one asks its rules.
    expect((await onHooks(netns.name, "veth-b"))[hook].ingress).toHaveLength(2);
    expect((await onHooks(netns.name, "veth-b"))[hook].egress).toHaveLength(2);
    await attachments[1]?.close();
    expect(attachments.map(({ attached }) => attached)).toEqual([true, false, true]);
    expect((await onHooks(netns.name, "veth-b"))[hook].egress).toHaveLength(1);
  });

  test.each([
    ["under two names", { name: "other" }, /already, as "default"/],
    ["with two lifetimes", { lifetime: "device" }, /already, with lifetime "process"/],
  ] as const)("refuses the same Funnel %s on one hook", async (_, other, message) => {
    const netns = makeNetns();
    const funnel = await borrowFunnel();
    for (const hook of HOOKS) {
      const attachment = await funnel.attach(netns.device, optionsFor(netns, { hook }));
      const before = await on(netns);
      await expect(
        funnel.attach(netns.device, optionsFor(netns, { hook, ...other })),
      ).rejects.toMatchObject({
        code: "SFUNNEL_OPTION",
        message: expect.stringMatching(message),
        hint: expect.stringContaining("load another Funnel"),
      });
      expect(await on(netns)).toEqual(before);
      expect(attachment.attached).toBe(true);
      await attachment.close();
    }
  });

  test("notices that the device it was attached to has been replaced", async () => {
    const netns = makeNetns();
    const [one, two] = [await borrowFunnel(), await borrowFunnel()];
    for (const hook of HOOKS) {
      netns.run("ip", "link", "add", "dev-c", "index", "77", "type", "veth", "peer", "dev-d");
      await one.attach("dev-c", optionsFor(netns, { hook }));
      netns.run("ip", "link", "del", "dev-c");
      netns.run("ip", "link", "add", "dev-c", "index", "77", "type", "veth", "peer", "dev-d");
      // The same Funnel under the same name on the same number of a device.
      await one.attach("dev-c", optionsFor(netns, { hook }));
      expect(countOf(await onHooks(netns.name, "dev-c"))).toEqual(ONE_EACH[hook]);
      netns.run("ip", "link", "del", "dev-c");
      netns.run("ip", "link", "add", "dev-c", "index", "77", "type", "veth", "peer", "dev-d");
      await two.attach("dev-c", optionsFor(netns, { hook }));
      expect(countOf(await onHooks(netns.name, "dev-c"))).toEqual(ONE_EACH[hook]);
      netns.run("ip", "link", "del", "dev-c");
    }
  });

  /** A place for each way, and what a child is to do to attach to all of them. */
  function placeEach() {
    const places = WAYS.map((way) => {
      const netns = makeNetns();
      return { way, netns, options: optionsFor(netns, way) };
    });
    const [first, ...also] = places.map(({ netns, options }) => ({
      device: netns.device,
      options: { ...options },
    }));
    if (!first) throw new Error("no ways");
    return { places, task: { ...first, also } };
  }

  test("takes over from another process that lives", async () => {
    const { places, task } = placeEach();
    const child = await startChild({ how: "hold", ...task });
    const after: OnHooks[] = [];
    for (const { way, netns, options } of places) {
      const before = await on(netns);
      expect(countOf(before)).toEqual(ONE_EACH[way.hook]);
      const funnel = await borrowFunnel();
      await funnel.attach(netns.device, options);
      const now = await on(netns);
      expect(countOf(now)).toEqual(ONE_EACH[way.hook]);
      expect(now).not.toEqual(before);
      after.push(now);
    }
    // In peace, with all that it does at its end.
    child.stdin?.end();
    await once(child, "exit");
    for (const [index, { netns }] of places.entries())
      expect(await on(netns)).toEqual(after[index]);
  });

  test("takes what it took over away again, though the maker of the link lives", async () => {
    const netns = makeNetns();
    const options = { netns: netns.path };
    const child = await startChild({ how: "hold", device: netns.device, options });
    const funnel = await borrowFunnel();
    const attachment = await funnel.attach(netns.device, options);
    await attachment.close();
    expect(await on(netns)).toEqual(NOTHING);
    await kill(child);
  });

  test.each(["kill", "exit"])("takes over what a process left behind by %s", async (how) => {
    const { places, task } = placeEach();
    const ended = runChild({ how, ...task });
    expect([ended.signal, ended.status]).toEqual(how === "kill" ? ["SIGKILL", null] : [null, 0]);
    for (const { way, netns, options } of places) {
      const left = await on(netns);
      const stays = way.lifetime === "device" || (how === "kill" && way.hook === "clsact");
      expect(countOf(left)).toEqual(stays ? ONE_EACH[way.hook] : [0, 0, 0, 0]);
      const funnel = await borrowFunnel();
      const attachment = await funnel.attach(netns.device, options);
      const after = await on(netns);
      expect(countOf(after)).toEqual(ONE_EACH[way.hook]);
      expect(after[way.hook].egress).not.toEqual(left[way.hook].egress);
      await attachment.close();
      expect(countOf(await on(netns))).toEqual([0, 0, 0, 0]);
    }
  });

  test.each(LIFETIMES)(
    "puts back whom it replaced when another hook fails: %s",
    async (lifetime) => {
      const netns = makeNetns();
      const options = optionsFor(netns, { lifetime, direction: "ingress" });
      const [one, two] = [await borrowFunnel(), await borrowFunnel()];
      const old = await one.attach(netns.device, { ...options, name: "full" });
      const before = (await on(netns)).tcx.ingress;
      await fill((await hooksOf(netns.name, netns.device)).egress);
      const full = await on(netns);
      const attach = two.attach(netns.device, { ...options, direction: "both", name: "full" });
      await expect(attach).rejects.toMatchObject({ errno: "ERANGE", code: "SFUNNEL_LIMIT" });
      expect(await on(netns)).toEqual(full);
      expect([old.attached, (await on(netns)).tcx.ingress]).toEqual([true, before]);
      await old.close();
      expect((await on(netns)).tcx.ingress).toEqual([]);
    },
  );

  test.each(WAYS)("no packet goes unfunneled or twice through: $hook, $lifetime", async (way) => {
    const lab = new Lab();
    labs.push(lab);
    const [client, server] = [lab.host("c"), lab.host("s")];
    lab.link(client, "eth0", "10.77.0.1/24", server, "eth0", "10.77.0.2/24");
    const wire = await Foreign.load();
    await wire.onTcx((await hooksOf(server.netns, "eth0")).ingress, true);
    const options = { netns: client.netns, direction: "egress", ...way } as const;
    // What the observer sees where nothing is attached.
    const few = { address: "10.77.0.2", port: 2055, count: 3, echo: false };
    await lab.endpoint(client, "udpSend", few).end();
    await expect.poll(async () => (await wire.seen()).plain, { interval: 1 }).toBe(few.count);
    const funnels = [await borrowFunnel(), await borrowFunnel()];
    const attachments = [await funnels[0]?.attach("eth0", options)];
    lab.endpoint(client, "udpSend", {
      ...{ address: "10.77.0.2", port: 2055, count: 1e9, echo: false, seconds: 30 },
    });
    const moreThan = async (packets: number) =>
      expect
        .poll(async () => (await wire.seen()).funneled, { interval: 1, timeout: 20_000 })
        .toBeGreaterThan(packets);
    for (let round = 1; round <= 30; round++) {
      await moreThan((await wire.seen()).funneled);
      attachments.push(await funnels[round % 2]?.attach("eth0", options));
    }
    // And on to other processes, where both live for a while.
    const children = [
      await startChild({ how: "hold", device: "eth0", options }),
      await startChild({ how: "hold", device: "eth0", options }),
    ];
    for (const attachment of attachments) await attachment?.close();
    children[0]?.stdin?.end();
    if (children[0]) await once(children[0], "exit");
    await moreThan((await wire.seen()).funneled + 100);
    const { plain, twice } = await wire.seen();
    expect({ plain, twice }).toEqual({ plain: few.count, twice: 0 });
    // And what it would have seen of two of them.
    await funnels[0]?.attach("eth0", { ...options, name: "other" });
    await expect.poll(async () => (await wire.seen()).twice, { interval: 1 }).toBeGreaterThan(0);
    wire.close();
  });
});
