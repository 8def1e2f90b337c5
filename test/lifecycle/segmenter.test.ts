/** The veth pair that cuts up large packets: there while it is needed, and nobody's trouble. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, test } from "vitest";
import { Segmenter } from "../../lib/compile/abi.gen.ts";
import { binding } from "../../lib/native/binding.ts";
import { inspectSegmenter } from "../../lib/runtime/inspect-segmenter.ts";
import {
  borrowFunnel,
  closeFunnels,
  kill,
  loadFunnel,
  NOTHING,
  on,
  runChild,
  startChild,
} from "../support/funnels.ts";
import { eventually, type Host, Lab } from "../support/lab.ts";
import { must, skipReason, titled } from "../support/native.ts";
import { deleteNetns, makeNetns, type TestNetns } from "../support/netns.ts";
import { sendOddFrames } from "../support/odd-frames.ts";
import {
  NO_SEGMENTER,
  offloadsOf,
  RECEIVING,
  SENDING,
  segmenterFor,
  segmenterIn,
} from "../support/segmenter.ts";

const PROCESSES_KILLED = 100;
/** As many at a time: the processes share the segmenter, and the machine has few CPUs. */
const AT_A_TIME = 5;

const script = fileURLToPath(new URL("../support/light-process.mjs", import.meta.url));

const isThere = async ({ name }: TestNetns) => (await segmenterIn(name)).ends.length === 2;

/** See light-process.mjs. */
interface LightTask {
  readonly how: "hold" | "close" | "exit";
  readonly device: string;
  readonly options?: object;
}

/** Runs one to its end, in the namespace itself, under a command such as setpriv. */
function runLight(netns: string, under: readonly string[], task: LightTask) {
  const inside = ["netns", "exec", netns, ...under, process.execPath, script];
  const { status, stderr } = spawnSync("ip", [...inside, JSON.stringify(task)], {
    ...{ encoding: "utf8", timeout: 30_000 },
  });
  return { status, stderr };
}

const lights: ChildProcess[] = [];

/** Starts one; ready when it says so. */
async function startLight(task: LightTask): Promise<ChildProcess> {
  const child = spawn(process.execPath, [script, JSON.stringify(task)], {
    stdio: ["pipe", "pipe", "pipe"],
  });
  lights.push(child);
  let stderr = "";
  child.stderr.on("data", (data) => {
    stderr += data;
  });
  await Promise.race([
    once(child.stdout, "data"),
    once(child, "close").then((how) => {
      throw new Error(`child ended by ${how}: ${JSON.stringify(task)}: ${stderr}`);
    }),
  ]);
  return child;
}

/** All of the capabilities that are needed where nobody enters a namespace. */
const LIMITED = ["setpriv", "--bounding-set", "-all,+bpf,+net_admin"];

describe.skipIf(skipReason !== undefined)(titled("the segmenter"), () => {
  const labs: Lab[] = [];

  afterEach(async () => {
    for (const child of lights.splice(0)) child.kill("SIGKILL");
    await closeFunnels();
    for (const lab of labs.splice(0)) lab[Symbol.dispose]();
    deleteNetns();
  });

  test("counts what comes out of it and is not ours, for its owner and for everybody", async () => {
    const netns = makeNetns();
    expect(await inspectSegmenter(netns.name)).toBeUndefined();
    const funnel = await loadFunnel({});
    await funnel.attach(netns.device, { netns: netns.name });
    const frames = 3;
    sendOddFrames(netns, SENDING, frames);
    const counted = async () => (await funnel.stats()).segmenter;
    await eventually(async () => (await counted()).strays >= frames);
    expect(await counted()).toMatchObject({ strays: frames, dropped: 0 });
    expect(await inspectSegmenter(netns.name)).toEqual({ strays: frames, dropped: 0 });
  });

  test("is made on attach, whatever the rules, and goes with the last attachment", async () => {
    const netns = makeNetns();
    const funnel = await loadFunnel({});
    const first = await funnel.attach(netns.device, { netns: netns.name });
    expect(await segmenterIn(netns.name)).toEqual(segmenterFor(1));
    const second = await funnel.attach(netns.peer, { netns: netns.path });
    expect(await segmenterIn(netns.name)).toEqual(segmenterFor(1));
    await first.close();
    expect(await segmenterIn(netns.name)).toEqual(segmenterFor(1));
    await second.close();
    expect(await segmenterIn(netns.name)).toEqual(NO_SEGMENTER);
    expect((await funnel.stats()).segmenter).toEqual({
      ...{ repairs: 0, failedRepairs: 0, dropped: 0, strays: 0 },
    });
  });

  test("is one for each namespace, and shared there by Funnels and by processes", async () => {
    const [one, two] = [makeNetns(), makeNetns()];
    const [first, second] = [await loadFunnel(), await loadFunnel()];
    await first.attach(one.device, { netns: one.name });
    await first.attach(two.device, { netns: two.name });
    await second.attach(one.peer, { netns: one.name });
    const child = await startChild({
      ...{ how: "hold", device: one.device, options: { netns: one.path, name: "other" } },
    });
    expect(await segmenterIn(one.name)).toEqual(segmenterFor(3));
    expect(await segmenterIn(two.name)).toEqual(segmenterFor(1));
    await first.close();
    expect(await segmenterIn(one.name)).toEqual(segmenterFor(2));
    expect(await segmenterIn(two.name)).toEqual(NO_SEGMENTER);
    await second.close();
    expect(await segmenterIn(one.name)).toEqual(segmenterFor(1));
    await kill(child);
    // Nobody is left to take it away, until the next one comes.
    expect(await segmenterIn(one.name)).toEqual(segmenterFor(0));
    const third = await borrowFunnel();
    const attachment = await third.attach(one.device, { netns: one.name });
    expect(await segmenterIn(one.name)).toEqual(segmenterFor(1));
    await attachment.close();
    expect(await segmenterIn(one.name)).toEqual(NO_SEGMENTER);
  });

  test("of a Funnel that loses its name to another goes with it", async () => {
    const netns = makeNetns();
    const [old, young] = [await loadFunnel(), await loadFunnel()];
    await old.attach(netns.device, { netns: netns.name });
    await young.attach(netns.device, { netns: netns.name });
    expect(await segmenterIn(netns.name)).toEqual(segmenterFor(1));
    await old.close();
    expect(await segmenterIn(netns.name)).toEqual(segmenterFor(1));
    await young.close();
    expect(await segmenterIn(netns.name)).toEqual(NO_SEGMENTER);
  });

  test("is one after 100 processes were killed, and then none", async () => {
    const netns = makeNetns();
    for (let killed = 0; killed < PROCESSES_KILLED; killed += AT_A_TIME) {
      const children = await Promise.all(
        Array.from({ length: AT_A_TIME }, (_, index) =>
          startLight({
            ...{ how: "hold", device: netns.device },
            options: { netns: netns.path, name: `name ${index}` },
          }),
        ),
      );
      expect(await segmenterIn(netns.name)).toEqual(segmenterFor(AT_A_TIME));
      await Promise.all(children.map(kill));
    }
    const funnel = await borrowFunnel();
    const attachment = await funnel.attach(netns.device, { netns: netns.name });
    expect(await segmenterIn(netns.name)).toEqual(segmenterFor(1));
    await attachment.close();
    expect(await segmenterIn(netns.name)).toEqual(NO_SEGMENTER);
    expect(await on(netns)).toEqual(NOTHING);
  }, 120_000);

  test("survives processes that attach and detach at the same moment", async () => {
    const netns = makeNetns();
    const tasks = [netns.device, netns.peer].map((device, index) => ({
      ...{ how: "churn", device, options: { netns: netns.path, name: `churn ${index}` } },
    }));
    await Promise.all(tasks.map(startChild));
    const funnel = await borrowFunnel();
    for (let round = 0; round < 10; round++) {
      const attachment = await funnel.attach(netns.device, { netns: netns.name });
      const { ends, tcx } = await segmenterIn(netns.name);
      expect(ends).toHaveLength(2);
      expect(tcx).toBeGreaterThan(0);
      await attachment.close();
    }
    expect((await funnel.stats()).segmenter).toEqual({
      ...{ repairs: 0, failedRepairs: 0, dropped: 0, strays: 0 },
    });
    await closeFunnels();
    // Whatever the killed ones left is the next one's.
    const last = await borrowFunnel();
    await (await last.attach(netns.device, { netns: netns.name })).close();
    expect(await segmenterIn(netns.name)).toEqual(NO_SEGMENTER);
  });

  test("goes when the process ends by close, and stays for others when a worker ends", async () => {
    const netns = makeNetns();
    const task = { device: netns.device, options: { netns: netns.path } };
    expect(runChild({ ...task, how: "close" }).status).toBe(0);
    expect(await segmenterIn(netns.name)).toEqual(NO_SEGMENTER);
    const funnel = await borrowFunnel();
    const attachment = await funnel.attach(netns.peer, { netns: netns.name });
    const child = await startChild({ ...task, where: "worker", how: "terminate" });
    expect(await segmenterIn(netns.name)).toEqual(segmenterFor(1));
    await kill(child);
    await attachment.close();
    expect(await segmenterIn(netns.name)).toEqual(NO_SEGMENTER);
  });

  test.each(["tcx", "clsact"] as const)(
    "of lifetime device stays after the Funnel, and goes when nobody needs it: %s",
    async (hook) => {
      const netns = makeNetns();
      const options = { netns: netns.path, hook, lifetime: "device" } as const;
      const task = { how: "close", device: netns.device, options };
      expect(runChild(task).status).toBe(0);
      expect(await segmenterIn(netns.name)).toEqual(segmenterFor(0, 1));
      // Again, by its name: the filter of the one that gave way goes.
      expect(runChild(task).status).toBe(0);
      expect(await segmenterIn(netns.name)).toEqual(segmenterFor(0, 1));
      const funnel = await borrowFunnel();
      const other = await funnel.attach(netns.peer, { netns: netns.name, name: "other" });
      expect(await segmenterIn(netns.name)).toEqual(segmenterFor(1, 1));
      const taken = await funnel.attach(netns.device, options);
      // The filter of the one that gave way has gone, ours has taken the place of our link.
      expect(await segmenterIn(netns.name)).toEqual(segmenterFor(0, 1));
      await taken.close();
      await other.close();
      expect(await segmenterIn(netns.name)).toEqual(NO_SEGMENTER);
    },
  );

  test("of lifetime device goes after its interface, with the next one that comes by", async () => {
    const netns = makeNetns();
    netns.run("ip", "link", "add", "name", "lasting", "type", "veth", "peer", "name", "other");
    // Without CAP_SYS_ADMIN, in the process and in the one that finds what is left.
    const device = { lifetime: "device" };
    const run = (how: "close" | "exit", name: string, options = {}) =>
      runLight(netns.name, LIMITED, { how, device: name, options });
    expect(run("exit", "lasting", device)).toEqual({ status: 0, stderr: "" });
    expect(await segmenterIn(netns.name)).toEqual(segmenterFor(0, 1));
    expect(run("close", netns.device)).toEqual({ status: 0, stderr: "" });
    expect(await segmenterIn(netns.name)).toEqual(segmenterFor(0, 1));
    netns.run("ip", "link", "del", "lasting");
    expect(run("close", netns.device)).toEqual({ status: 0, stderr: "" });
    expect(await segmenterIn(netns.name)).toEqual(NO_SEGMENTER);
  });

  test("goes when the last interface that it served goes", async () => {
    const netns = makeNetns();
    const funnel = await borrowFunnel();
    const attachment = await funnel.attach(netns.device, { netns: netns.name });
    expect(await isThere(netns)).toBe(true);
    netns.deleteDevices();
    await eventually(async () => !(await isThere(netns)));
    await attachment.close();
    // The interface comes again, and so does the segmenter.
    netns.addDevices();
    await funnel.attach(netns.device, { netns: netns.name });
    expect(await segmenterIn(netns.name)).toEqual(segmenterFor(1));
  });

  test("closes well after its namespace has lost its name", async () => {
    const netns = makeNetns();
    const funnel = await loadFunnel();
    await funnel.attach(netns.device, { netns: netns.name });
    netns.delete();
    await funnel.close();
  });

  test("of lifetimes that are mixed lives as long as the longest", async () => {
    const netns = makeNetns();
    const funnel = await loadFunnel();
    await funnel.attach(netns.device, { netns: netns.name });
    await funnel.attach(netns.peer, { netns: netns.name, lifetime: "device" });
    expect(await segmenterIn(netns.name)).toEqual(segmenterFor(0, 1));
    await funnel.close();
    expect(await segmenterIn(netns.name)).toEqual(segmenterFor(0, 1));
    const next = await borrowFunnel();
    const attachment = await next.attach(netns.peer, { netns: netns.name, lifetime: "device" });
    await attachment.close();
    expect(await segmenterIn(netns.name)).toEqual(NO_SEGMENTER);
  });
});

describe.skipIf(skipReason !== undefined)(titled("a segmenter that somebody spoils"), () => {
  afterEach(async () => {
    await closeFunnels();
    deleteNetns();
  });

  test.each<[string, "process" | "device", (netns: TestNetns) => void]>([
    ["deleted", "process", ({ run }) => run("ip", "link", "del", SENDING)],
    ["deleted (lifetime device)", "device", ({ run }) => run("ip", "link", "del", RECEIVING)],
    ["set down", "process", ({ run }) => run("ip", "link", "set", RECEIVING, "down")],
    ["given offloads", "process", ({ run }) => run("ethtool", "-K", SENDING, "tso", "on")],
  ])("is put right where it is %s, for all who share it", async (_, lifetime, spoil) => {
    const netns = makeNetns();
    const run = netns.run.bind(netns);
    const [one, two] = [await loadFunnel(), await loadFunnel()];
    await one.attach(netns.device, { netns: netns.name, lifetime });
    await two.attach(netns.peer, { netns: netns.name, lifetime });
    const whole = lifetime === "process" ? segmenterFor(2) : segmenterFor(0, 2);
    expect(await segmenterIn(netns.name)).toEqual(whole);
    for (const repairs of [1, 2]) {
      spoil({ ...netns, run } as unknown as TestNetns);
      await eventually(async () => {
        const stats = [await one.stats(), await two.stats()];
        return stats.every(({ segmenter }) => segmenter.repairs >= repairs);
      });
      expect(await segmenterIn(netns.name)).toEqual(whole);
      expect(netns.run("ip", "link", "show", SENDING)).toContain("LOWER_UP");
      expect(offloadsOf(netns.name, SENDING)).not.toContain("tcp-segmentation-offload");
    }
    expect((await one.stats()).segmenter.failedRepairs).toBe(0);
    await one.close();
    await two.close();
    if (lifetime === "process") expect(await segmenterIn(netns.name)).toEqual(NO_SEGMENTER);
  });

  test("is put right by another process that shares it, for its own program", async () => {
    const netns = makeNetns();
    const options = { netns: netns.path, name: "other" };
    await startChild({ how: "hold", device: netns.peer, options });
    const funnel = await borrowFunnel();
    await funnel.attach(netns.device, { netns: netns.name });
    expect(await segmenterIn(netns.name)).toEqual(segmenterFor(2));
    netns.run("ip", "link", "del", SENDING);
    await eventually(async () => (await segmenterIn(netns.name)).tcx === 2);
  });

  test("counts repairs that fail, and comes back when what is in the way has gone", async () => {
    const netns = makeNetns();
    const funnel = await loadFunnel();
    await funnel.attach(netns.device, { netns: netns.name });
    // In one go, so that the name is taken before it can be made again.
    netns.run(
      ...(["sh", "-c", `ip link del ${SENDING}; ip link add name ${RECEIVING} type ifb`] as const),
    );
    const failed = async () => (await funnel.stats()).segmenter.failedRepairs > 0;
    // Whoever is faster: ours first, and theirs is refused.
    await eventually(async () => (await failed()) || (await isThere(netns)));
    if (await failed()) {
      netns.run("ip", "link", "del", RECEIVING);
      await eventually(async () => isThere(netns));
    }
    await eventually(async () => (await funnel.stats()).segmenter.repairs > 0);
  });

  test.each([
    ["a name", ["name", RECEIVING]],
    ["the index", ["name", "other", "index", `${Segmenter.SEGMENTER_IFINDEX}`]],
  ])("is not made where something else has %s, and says what", async (_, name) => {
    const netns = makeNetns();
    netns.run("ip", "link", "add", ...name, "type", "veth", "peer", "name", "peer");
    const before = netns.run("ip", "link", "show");
    const funnel = await borrowFunnel();
    await expect(funnel.attach(netns.device, { netns: netns.name })).rejects.toMatchObject({
      ...{ code: "SFUNNEL_SYSTEM", errno: "EEXIST" },
      message: expect.stringContaining(`attach: "${name[1]}" (index `),
      hint: expect.stringContaining(`${Segmenter.SEGMENTER_IFINDEX}`),
    });
    expect(netns.run("ip", "link", "show")).toBe(before);
    expect(await on(netns)).toEqual(NOTHING);
  });

  test("goes again where the attach fails after it was made, or is aborted", async () => {
    const netns = makeNetns();
    const options = { netns: netns.name, hook: "clsact" } as const;
    netns.run("tc", "qdisc", "add", "dev", netns.device, "ingress");
    const before = netns.run("ip", "link", "show");
    const funnel = await borrowFunnel();
    await expect(funnel.attach(netns.device, options)).rejects.toMatchObject({ errno: "EEXIST" });
    expect(netns.run("ip", "link", "show")).toBe(before);
    // One that was there stays as it was.
    const attachment = await funnel.attach(netns.peer, { netns: netns.name });
    await expect(
      funnel.attach(netns.device, { ...options, lifetime: "device" }),
    ).rejects.toMatchObject({ errno: "EEXIST" });
    expect(await segmenterIn(netns.name)).toEqual(segmenterFor(1));
    await attachment.close();
    // While another one has the lock of the namespace.
    const lock = must(await binding().lockNetns(netns.path));
    const abort = new AbortController();
    const attach = funnel.attach(netns.peer, { netns: netns.name, signal: abort.signal });
    abort.abort();
    await expect(attach).rejects.toMatchObject({ code: "SFUNNEL_ABORTED" });
    lock.release();
    expect(netns.run("ip", "link", "show")).toBe(before);
  });

  test("is nothing to attach to", async () => {
    const netns = makeNetns();
    const funnel = await borrowFunnel();
    await funnel.attach(netns.device, { netns: netns.name });
    for (const device of [SENDING, RECEIVING]) {
      await expect(funnel.attach(device, { netns: netns.name })).rejects.toMatchObject({
        code: "SFUNNEL_OPTION",
        option: "device",
      });
    }
    await expect(funnel.attach("none", { netns: netns.name })).rejects.toMatchObject({
      hint: "there are: lo, veth-b, veth-a",
    });
  });
});

/** A router advertisement: one prefix, from which hosts make themselves an address. */
function advertisement(): Uint8Array {
  const address = (start: string, end: number) => [
    ...Buffer.from(start.padEnd(28, "0"), "hex"),
    ...[0, end],
  ];
  const [router, nodes] = [address("fe80", 1), address("ff02", 1)];
  const option = [
    ...[3, 4, 64, 0xc0],
    ...[0, 0, 14, 16, 0, 0, 14, 16, 0, 0, 0, 0],
    ...address("20010db8", 0),
  ];
  const body = [134, 0, 0, 0, 64, 0, 14, 16, ...Array(8).fill(0), ...option];
  const pseudo = [...router, ...nodes, 0, 0, 0, body.length, 0, 0, 0, 58, ...body];
  let sum = 0;
  for (let at = 0; at < pseudo.length; at += 2) {
    sum += ((pseudo[at] ?? 0) << 8) | (pseudo[at + 1] ?? 0);
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  body[2] = (~sum >> 8) & 0xff;
  body[3] = ~sum & 0xff;
  return Uint8Array.from([
    ...[0x33, 0x33, 0, 0, 0, 1, 2, 0, 0, 0, 0, 1, 0x86, 0xdd],
    ...[0x60, 0, 0, 0, 0, body.length, 58, 255, ...router, ...nodes, ...body],
  ]);
}

describe.skipIf(skipReason !== undefined)(titled("invisible is the segmenter"), () => {
  const labs: Lab[] = [];

  afterEach(async () => {
    await closeFunnels();
    for (const lab of labs.splice(0)) lab[Symbol.dispose]();
  });

  function makeHost(): { lab: Lab; host: Host } {
    const lab = new Lab();
    labs.push(lab);
    const host = lab.host("a");
    lab.run(host, "ip", "link", "add", "name", "eth0", "type", "veth", "peer", "name", "far");
    for (const device of ["eth0", "far"]) lab.run(host, "ip", "link", "set", device, "up");
    return { lab, host };
  }

  /** What routing and autoconfiguration know; addresses of eth0 come in their own time. */
  function expectInvisible(lab: Lab, host: Host): void {
    const show = (...args: string[]) => lab.run(host, "ip", ...args);
    for (const family of ["-4", "-6"]) {
      expect(show(family, "route", "show", "table", "all")).not.toContain("sfunnel");
    }
    expect(show("-o", "address")).not.toContain("sfunnel");
    expect(show("neigh")).not.toContain("sfunnel");
  }

  test.each([
    ["", []],
    [
      ", where /proc/sys may not be written to",
      [
        ...["unshare", "--mount", "sh", "-c"],
        'mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys && exec "$@"',
        "sh",
      ],
    ],
  ])("to routing and router advertisements%s", async (_, under) => {
    const { lab, host } = makeHost();
    const options = { lifetime: "device" };
    const ended = runLight(
      host.netns,
      [...under, ...LIMITED.slice(0, under.length === 0 ? 0 : LIMITED.length)],
      { how: "exit", device: "eth0", options },
    );
    expect(ended).toEqual({ status: 0, stderr: "" });
    expect(await segmenterIn(host.netns)).toEqual(segmenterFor(0, 1));
    const disabled = `/proc/sys/net/ipv6/conf/${RECEIVING}/disable_ipv6`;
    expect(lab.run(host, "cat", disabled).trim()).toBe(under.length === 0 ? "1" : "0");
    expectInvisible(lab, host);
    for (const device of [SENDING, RECEIVING, "far"]) {
      lab.sendFrames(host, device, [advertisement()]);
    }
    // At an ordinary device it has its effect; by then the others would have had theirs.
    await eventually(() =>
      lab.run(host, "ip", "-6", "address", "show", "eth0").includes("2001:db8"),
    );
    expectInvisible(lab, host);
  });
});
