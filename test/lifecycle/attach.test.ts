import { afterEach, describe, expect, test } from "vitest";
import { Foreign, hooksOf, NOTHING_SEEN, type Seen } from "../support/foreign.ts";
import {
  borrowFunnel,
  CLIENT_RULES,
  closeFunnels,
  countOf,
  loadFunnel,
  NOTHING,
  on,
  onHooks,
  SERVER_RULES,
} from "../support/funnels.ts";
import { type Host, Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import { deleteNetns, makeNetns } from "../support/netns.ts";

const DATAGRAMS = 20;
const DEVICE = "eth0";
/** Foreign filters: one that was there before us, one that came later and goes ahead of us. */
const EARLY_PRIORITY = 100;
const LATE_PRIORITY = 5;

/** Two hosts, and a way to send datagrams from one to the other and back. */
function makeLab() {
  const lab = new Lab();
  const client = lab.host("c");
  const server = lab.host("s");
  lab.link(client, DEVICE, "10.77.0.1/24", server, DEVICE, "10.77.0.2/24");
  lab.endpoint(server, "udpEcho", { port: 2055 });
  const exchange = async () => {
    const sender = lab.endpoint(client, "udpSend", {
      ...{ address: "10.77.0.2", port: 2055, count: DATAGRAMS },
    });
    const echoes = (await sender.end()).filter(({ event }) => event === "echo");
    expect(echoes).toHaveLength(DATAGRAMS);
  };
  return { lab, client, server, exchange };
}

const seenAs = (kind: "plain" | "funneled"): Seen => ({
  ...{ all: DATAGRAMS, plain: 0, funneled: 0, twice: 0 },
  [kind]: DATAGRAMS,
});

/** Foreign programs on one hook of a host. */
async function foreigners(host: Host, direction: "ingress" | "egress", hook: "tcx" | "clsact") {
  const place = (await hooksOf(host.netns, DEVICE))[direction];
  const [early, late] = [await Foreign.load(), await Foreign.load()];
  return {
    early,
    late,
    arriveEarly: () =>
      hook === "tcx" ? early.onTcx(place, true) : early.onClsact(place, EARLY_PRIORITY),
    arriveLate: () =>
      hook === "tcx" ? late.onTcx(place, true) : late.onClsact(place, LATE_PRIORITY),
    close: () => {
      early.close();
      late.close();
    },
  };
}

describe.skipIf(skipReason !== undefined)(titled("attach"), () => {
  const labs: Lab[] = [];

  afterEach(async () => {
    await closeFunnels();
    for (const lab of labs.splice(0)) lab[Symbol.dispose]();
    deleteNetns();
  });

  test("takes tcx on this kernel, in both directions, and gives it back", async () => {
    const netns = makeNetns();
    const funnel = await borrowFunnel();
    const attachment = await funnel.attach(netns.device, { netns: netns.name });
    expect(attachment).toMatchObject({
      device: netns.device,
      netns: netns.path,
      name: "default",
      hook: "tcx",
      directions: ["ingress", "egress"],
      lifetime: "process",
      attached: true,
    });
    expect(countOf(await on(netns))).toEqual([1, 1, 0, 0]);
    await attachment.close();
    await attachment.close();
    expect(attachment.attached).toBe(false);
    expect(await on(netns)).toEqual(NOTHING);
  });

  test("takes clsact where it is asked to, and gives the qdisc back", async () => {
    const netns = makeNetns();
    const funnel = await borrowFunnel();
    const attachment = await funnel.attach(netns.device, { netns: netns.path, hook: "clsact" });
    expect(attachment.hook).toBe("clsact");
    expect(countOf(await on(netns))).toEqual([0, 0, 1, 1]);
    await attachment.close();
    expect(await on(netns)).toEqual(NOTHING);
  });

  test("attaches in our own namespace and in others, several at once", async () => {
    const [one, two] = [makeNetns(), makeNetns()];
    // Without rules: our own loopback is everybody's.
    const funnel = await loadFunnel({});
    const attachments = await Promise.all(
      [one, two].flatMap(({ name }) =>
        ["veth-a", "veth-b"].map((device) => funnel.attach(device, { netns: name })),
      ),
    );
    for (const netns of [one, two]) expect(countOf(await on(netns))).toEqual([1, 1, 0, 0]);
    const loopback = await funnel.attach("lo", { name: `sft-${process.pid}`, hook: "tcx" });
    expect(loopback.netns).toBe("");
    await loopback.close();
    expect(attachments.map(({ attached }) => attached)).toEqual([true, true, true, true]);
    await funnel.close();
    expect(attachments.map(({ attached }) => attached)).toEqual([false, false, false, false]);
    for (const netns of [one, two]) expect(await on(netns)).toEqual(NOTHING);
  });

  test.each([
    ["tcx", "first"],
    ["tcx", "last"],
    ["clsact", "first"],
    ["clsact", "last"],
  ] as const)("leaves foreign programs on %s their packets, with order %s", async (hook, order) => {
    const { lab, client, server, exchange } = makeLab();
    labs.push(lab);
    const out = await foreigners(client, "egress", hook);
    const into = await foreigners(server, "ingress", hook);
    await out.arriveEarly();
    await into.arriveEarly();
    const before = [await onHooks(client.netns, DEVICE), await onHooks(server.netns, DEVICE)];

    const clientSide = await loadFunnel(CLIENT_RULES);
    const serverSide = await loadFunnel(SERVER_RULES);
    const attachments = [
      await clientSide.attach(DEVICE, { netns: client.netns, hook, order, direction: "egress" }),
      await serverSide.attach(DEVICE, { netns: server.netns, hook, order, direction: "ingress" }),
    ];
    await out.arriveLate();
    await into.arriveLate();
    await exchange();
    expect((await clientSide.stats()).egress.rules[0]?.packets).toBe(DATAGRAMS);
    expect((await serverSide.stats()).ingress.rules[0]?.packets).toBe(DATAGRAMS);
    // Ahead of us and behind us it looks different, and everybody sees every packet.
    expect(await out.late.seen()).toEqual(seenAs("plain"));
    expect(await out.early.seen()).toEqual(seenAs(order === "first" ? "funneled" : "plain"));
    expect(await into.late.seen()).toEqual(seenAs("funneled"));
    expect(await into.early.seen()).toEqual(seenAs(order === "first" ? "plain" : "funneled"));

    const seen = await Promise.all([out.early.seen(), into.early.seen()]);
    for (const attachment of attachments) await attachment.close();
    const after = [await onHooks(client.netns, DEVICE), await onHooks(server.netns, DEVICE)];
    expect(after[0]?.[hook].egress).toEqual([
      out.late.programIds[1],
      ...(before[0]?.[hook].egress ?? []),
    ]);
    expect(after[1]?.[hook].ingress).toEqual([
      into.late.programIds[0],
      ...(before[1]?.[hook].ingress ?? []),
    ]);
    await exchange();
    for (const [index, early] of [out.early, into.early].entries()) {
      const { all, plain } = seen[index] ?? NOTHING_SEEN;
      expect(await early.seen()).toMatchObject({
        all: all + DATAGRAMS,
        plain: plain + DATAGRAMS,
      });
    }
    out.close();
    into.close();
  });

  test.each(["first", "last"] as const)(
    "goes ahead of or behind foreign u32 filters on clsact, and leaves them: %s",
    async (order) => {
      const { lab, client, exchange } = makeLab();
      labs.push(lab);
      // With a class u32 ends the chain: who stands behind it sees nothing.
      const everything = ["u32", "match", "u32", "0", "0", "flowid", "1:1"];
      const tc = (...args: string[]) => lab.run(client, "tc", ...args);
      tc("qdisc", "add", "dev", DEVICE, "clsact");
      tc("filter", "add", "dev", DEVICE, "egress", "pref", "1", ...everything);
      tc("filter", "add", "dev", DEVICE, "egress", "pref", "65535", ...everything);
      const show = () => tc("filter", "show", "dev", DEVICE, "egress");
      const before = show();
      const funnel = await loadFunnel({ egress: "udp dport 2055 actions accept" });
      const options = { netns: client.netns, hook: "clsact", order, direction: "egress" } as const;
      const attachment = await funnel.attach(DEVICE, options);
      await exchange();
      // Priority 1 is taken by another kind, so that there is no way ahead of it.
      expect((await funnel.stats()).egress.rules[0]?.packets).toBe(0);
      tc("filter", "del", "dev", DEVICE, "egress", "pref", "1");
      await exchange();
      expect((await funnel.stats()).egress.rules[0]?.packets).toBe(DATAGRAMS);
      tc("filter", "add", "dev", DEVICE, "egress", "pref", "1", ...everything);
      await attachment.close();
      // The numbers of hash tables differ, kinds and places do not.
      const places = (text: string) => text.replace(/(fh|ht) [0-9a-f:]+/g, "");
      expect(places(show())).toBe(places(before));
      await exchange();
    },
  );

  test("runs first although a foreign program that ends the chain has priority 1", async () => {
    const { lab, client, exchange } = makeLab();
    labs.push(lab);
    const foreign = await Foreign.load(true);
    await foreign.onClsact((await hooksOf(client.netns, DEVICE)).egress, 1);
    const funnel = await loadFunnel({ egress: "udp dport 2055 actions accept" });
    await funnel.attach(DEVICE, { netns: client.netns, hook: "clsact" });
    await exchange();
    expect((await funnel.stats()).egress.rules[0]?.packets).toBe(DATAGRAMS);
    expect((await foreign.seen()).plain).toBe(DATAGRAMS);
    foreign.close();
  });

  test.each(["ingress", "egress"] as const)(
    "never removes a qdisc that others use at %s",
    async (direction) => {
      const netns = makeNetns();
      const { name, device } = netns;
      const funnel = await borrowFunnel();
      // Ours, until somebody else puts a filter on it.
      const attachment = await funnel.attach(device, { netns: name, hook: "clsact" });
      const match = ["u32", "match", "u32", "0", "0"];
      netns.run("tc", "filter", "add", "dev", device, direction, "pref", "7", ...match);
      await attachment.close();
      expect(await on(netns)).toEqual({ ...NOTHING, qdisc: "clsact" });
      expect(netns.run("tc", "filter", "show", "dev", device, direction)).toContain("u32");
    },
  );

  test("never removes a qdisc that was there before, though it is empty", async () => {
    const netns = makeNetns();
    netns.run("tc", "qdisc", "add", "dev", netns.device, "clsact");
    const funnel = await borrowFunnel();
    const attachment = await funnel.attach(netns.device, { netns: netns.name, hook: "clsact" });
    await attachment.close();
    expect(await on(netns)).toEqual({ ...NOTHING, qdisc: "clsact" });
  });

  test("says what is wrong where a qdisc ingress is in the way, and changes nothing", async () => {
    const netns = makeNetns();
    const options = { netns: netns.name, hook: "clsact" } as const;
    netns.run("tc", "qdisc", "add", "dev", netns.device, "ingress");
    const old = await borrowFunnel();
    // Refused if this takes the egress hook as well; else it must survive what follows.
    await old.attach(netns.device, { ...options, direction: "ingress" }).catch(() => undefined);
    const before = await on(netns);
    expect(before.qdisc).toBe("ingress");
    const funnel = await borrowFunnel();
    for (const direction of ["both", "egress"] as const) {
      await expect(funnel.attach(netns.device, { ...options, direction })).rejects.toMatchObject({
        code: "SFUNNEL_SYSTEM",
        errno: "EEXIST",
        message: expect.stringMatching(/veth-a has a qdisc "ingress".*hook "tcx".*tc filter show/),
      });
    }
    expect(await on(netns)).toEqual(before);
    expect((await funnel.attach(netns.device, { netns: netns.name })).hook).toBe("tcx");
  });
});
