import { readdirSync } from "node:fs";
import { afterEach, describe, expect, test } from "vitest";
import { Segmenter } from "../../../lib/compile/abi.gen.ts";
import { binding, type NativeLock, type NativeWatch } from "../../../lib/native/binding.ts";
import { errnoName } from "../../../lib/native/errno.ts";
import { eventually } from "../../support/lab.ts";
import { must, mustFail, openDescriptors, skipReason, titled } from "../../support/native.ts";
import { deleteNetns, makeNetns, type TestNetns } from "../../support/netns.ts";
import { sendOddFrames } from "../../support/odd-frames.ts";
import { offloadsOf, RECEIVING, SENDING } from "../../support/segmenter.ts";

const IFINDEX = Segmenter.SEGMENTER_IFINDEX;
const PAIR = [IFINDEX, SENDING, RECEIVING] as const;

const make = ({ path }: TestNetns) => binding().makeSegmenter(path, ...PAIR);
const remove = ({ path }: TestNetns) => binding().removeSegmenter(path, ...PAIR);

interface LinkSeen {
  readonly ifname: string;
  readonly flags: readonly string[];
  readonly mtu: number;
  readonly operstate: string;
}

function linksOf(netns: TestNetns): LinkSeen[] {
  return JSON.parse(netns.run("ip", "-j", "link", "show")) as LinkSeen[];
}

const namesOf = (netns: TestNetns) => linksOf(netns).map(({ ifname }) => ifname);

const disabled = (netns: TestNetns) =>
  netns.run("cat", `/proc/sys/net/ipv6/conf/${SENDING}/disable_ipv6`).trim();

describe.skipIf(skipReason !== undefined)(titled("the segmenter"), () => {
  const watches: NativeWatch[] = [];
  const locks: NativeLock[] = [];

  afterEach(() => {
    for (const watch of watches.splice(0)) watch.close();
    for (const lock of locks.splice(0)) lock.release();
    deleteNetns();
  });

  test("is made once, found again, and removed", async () => {
    const netns = makeNetns();
    const before = namesOf(netns);
    const made = must(await make(netns));
    expect(made).toMatchObject({ made: true, repaired: false });
    expect(must(await make(netns))).toEqual({ ...made, made: false });
    for (const name of [SENDING, RECEIVING]) {
      const link = linksOf(netns).find(({ ifname }) => ifname === name);
      expect(link).toMatchObject({ mtu: 65535, operstate: "UP" });
      expect(link?.flags).toEqual(expect.arrayContaining(["UP", "NOARP"]));
    }
    const { ifindex } = must(await binding().device(netns.path, SENDING));
    expect(ifindex).toBe(IFINDEX);
    expect(must(await binding().device(netns.path, RECEIVING)).ifindex).toBe(made.receiver);
    for (const _ of [1, 2]) {
      expect(await remove(netns)).toBeUndefined();
      expect(namesOf(netns)).toEqual(before);
    }
  });

  test("sends nothing that is not cut up and complete", async () => {
    const netns = makeNetns();
    must(await make(netns));
    // A plain veth has them.
    const inTheWay = /^tx-.*(segmentation|checksum|scatter|gso|udp)|^(tcp|generic)-seg|^scatter/;
    expect(offloadsOf(netns.name, netns.device).filter((name) => inTheWay.test(name))).not.toEqual(
      [],
    );
    expect(offloadsOf(netns.name, SENDING).filter((name) => inTheWay.test(name))).toEqual([]);
  });

  test.each<[string, (netns: TestNetns) => void]>([
    ["down", (netns) => netns.run("ip", "link", "set", SENDING, "down")],
    ["down at the other end", (netns) => netns.run("ip", "link", "set", RECEIVING, "down")],
    ["with ARP", (netns) => netns.run("ip", "link", "set", RECEIVING, "arp", "on")],
    ["with a small MTU", (netns) => netns.run("ip", "link", "set", SENDING, "mtu", "1500")],
    [
      "with addresses that make themselves",
      (netns) => netns.run("ip", "link", "set", RECEIVING, "addrgenmode", "eui64"),
    ],
    ["with offloads", (netns) => netns.run("ethtool", "-K", SENDING, "tso", "on", "tx", "on")],
    ["with GRO", (netns) => netns.run("ethtool", "-K", RECEIVING, "gro", "on")],
  ])("is put right where it is %s", async (_, spoil) => {
    const netns = makeNetns();
    const made = must(await make(netns));
    spoil(netns);
    expect(must(await make(netns))).toEqual({ ...made, made: false, repaired: true });
    expect(must(await make(netns))).toEqual({ ...made, made: false, repaired: false });
  });

  test("counts what it was given and has lost", async () => {
    const netns = makeNetns();
    expect(errnoName(mustFail(await binding().lost(netns.path, IFINDEX)).errno)).toBe("ENODEV");
    must(await make(netns));
    expect(await binding().lost(netns.path, IFINDEX)).toBe(0);
    netns.run("ip", "link", "set", RECEIVING, "down");
    const frames = 3;
    sendOddFrames(netns, SENDING, frames);
    expect(await binding().lost(netns.path, IFINDEX)).toBe(frames);
  });

  test("is made anew where half of it has gone", async () => {
    const [netns, other] = [makeNetns(), makeNetns()];
    must(await make(netns));
    netns.run("ip", "link", "set", RECEIVING, "netns", other.name);
    expect(must(await make(netns))).toMatchObject({ made: true });
    expect(namesOf(netns).filter((name) => name.startsWith("sfunnel"))).toHaveLength(2);
    expect(namesOf(other)).not.toContain(RECEIVING);
  });

  test.each([
    ["the sending end", ["name", SENDING]],
    ["the receiving end", ["name", RECEIVING]],
    ["nothing, but the index", ["name", "other", "index", `${IFINDEX}`]],
  ])("leaves a device alone that has the name of %s", async (_, name) => {
    const netns = makeNetns();
    netns.run("ip", "link", "add", ...name, "type", "veth", "peer", "name", "peer");
    const before = linksOf(netns);
    expect(errnoName(mustFail(await make(netns)).errno)).toBe("EEXIST");
    expect(await remove(netns)).toBeUndefined();
    expect(linksOf(netns)).toEqual(before);
  });

  test("has neither address nor route, also where IPv6 cannot be turned off", async () => {
    const netns = makeNetns();
    const routes = () => netns.run("ip", "-6", "route", "show", "table", "all");
    must(await make(netns));
    expect(disabled(netns)).toBe("1");
    expect(routes()).not.toContain("sfunnel");
    // As it is where /proc/sys may not be written to.
    netns.run("sh", "-c", `echo 0 > /proc/sys/net/ipv6/conf/${SENDING}/disable_ipv6`);
    expect(routes()).toContain(`ff00::/8 dev ${SENDING}`);
    must(await make(netns));
    expect(disabled(netns)).toBe("0");
    expect(routes()).not.toContain("sfunnel");
    expect(netns.run("ip", "-o", "address")).not.toContain("sfunnel");
  });

  test("fails where the namespace is none", async () => {
    expect(mustFail(await binding().makeSegmenter("/proc/self/exe", ...PAIR)).errno).toBe(22);
    expect(() => binding().makeSegmenter("", IFINDEX, "a-name-too-long-for-it", "b")).toThrow(
      RangeError,
    );
  });

  test("has a lock that one at a time gets, by whatever path", async () => {
    const [netns, other] = [makeNetns(), makeNetns()];
    const lock = must(await binding().lockNetns(netns.path));
    locks.push(lock);
    expect(errnoName(mustFail(await binding().lockNetns(netns.path)).errno)).toBe("EAGAIN");
    locks.push(must(await binding().lockNetns(other.path)));
    const before = readdirSync("/proc/self/fd").length;
    lock.release();
    lock.release();
    expect(readdirSync("/proc/self/fd")).toHaveLength(before - 1);
    locks.push(must(await binding().lockNetns(netns.path)));
  });

  test("is watched: what changes at it is heard, and nothing after close", async () => {
    const netns = makeNetns();
    must(await make(netns));
    const before = openDescriptors();
    const watch = must(await binding().watchLinks(netns.path, IFINDEX));
    watches.push(watch);
    let heard = 0;
    expect(watch.start(() => heard++)).toBeUndefined();
    expect(mustFail(watch.start(() => undefined)).errno).toBe(9);
    const changes = [
      () => netns.run("ip", "link", "set", RECEIVING, "down"),
      () => netns.run("ip", "link", "set", RECEIVING, "up"),
      () => netns.run("ethtool", "-K", SENDING, "tso", "on"),
      () => netns.deleteDevices(),
      () => netns.run("ip", "link", "del", SENDING),
    ];
    for (const change of changes) {
      heard = 0;
      change();
      await eventually(() => heard > 0);
    }
    watch.close();
    watch.close();
    heard = 0;
    must(await make(netns));
    expect(openDescriptors()).toEqual(before);
    await new Promise((resolve) => setImmediate(resolve));
    expect(heard).toBe(0);
  });
});
