import { afterEach, describe, expect, test } from "vitest";
import {
  binding,
  type NativeFailure,
  type NativeRoutes,
  type NativeRouteWatch,
} from "../../../lib/native/binding.ts";
import { errnoName } from "../../../lib/native/errno.ts";
import { formatAddress } from "../../../lib/rules/address.ts";
import { eventually } from "../../support/lab.ts";
import { must, mustFail, openDescriptors, skipReason, titled } from "../../support/native.ts";
import { deleteNetns, makeNetns, type TestNetns } from "../../support/netns.ts";
import { PYTHON } from "../../support/python.ts";

const MANY = 1000;

/** Two devices with an address each, and a way to either. */
function makeRouted(): TestNetns {
  const netns = makeNetns();
  netns.run("ip", "link", "set", "lo", "up");
  netns.run("ip", "address", "add", "10.9.0.1/24", "dev", netns.device);
  netns.run("ip", "address", "add", "10.8.0.1/24", "dev", netns.peer);
  return netns;
}

/** Words of `ip route`, e.g. "10.2.0.0/24 via 10.9.0.2 mtu 1400". */
function route(netns: TestNetns, how: string, words: string): void {
  const family = words.includes("::") ? ["-6"] : [];
  netns.run("ip", ...family, "route", how, ...words.split(" "));
}

function add(netns: TestNetns, ...routes: string[]): void {
  for (const words of routes) route(netns, "add", words);
}

async function indexOf({ path }: TestNetns, device: string): Promise<number> {
  return must(await binding().device(path, device)).ifindex;
}

/** As text: "10.2.0.0/24 1400". */
function shown(result: NativeRoutes | NativeFailure): string[] {
  return must(result).routes.map(({ family, destination, prefixLength, mtu }) => {
    expect(destination).toHaveLength(family === 4 ? 4 : 16);
    return `${formatAddress(destination)}/${prefixLength} ${mtu}`;
  });
}

async function over(netns: TestNetns, device = netns.device, most = MANY): Promise<string[]> {
  return shown(await binding().routes(netns.path, await indexOf(netns, device), most));
}

describe.skipIf(skipReason !== undefined)(titled("routes"), () => {
  const watches: NativeRouteWatch[] = [];

  afterEach(() => {
    for (const watch of watches.splice(0)) watch.close();
    deleteNetns();
  });

  test("are none where none has an MTU", async () => {
    const netns = makeRouted();
    add(netns, "default via 10.9.0.2", "10.2.0.0/24 via 10.9.0.2", `2001:db8::/32 dev veth-a`);
    expect(await over(netns)).toEqual([]);
  });

  test("with an MTU are given, locked or not, each for its own device", async () => {
    const netns = makeRouted();
    add(
      netns,
      "10.2.0.0/24 via 10.9.0.2 mtu 1400",
      "10.3.0.0/16 via 10.9.0.2 mtu lock 1300",
      "10.4.7.8 via 10.9.0.2 mtu 1200",
      "10.5.0.0/24 via 10.8.0.2 mtu 1100",
    );
    expect(await over(netns)).toEqual(["10.2.0.0/24 1400", "10.3.0.0/16 1300", "10.4.7.8/32 1200"]);
    expect(await over(netns, netns.peer)).toEqual(["10.5.0.0/24 1100"]);
  });

  test("are of both families, the default ones too", async () => {
    const netns = makeRouted();
    add(
      netns,
      "default via 10.9.0.2 mtu 1400",
      "default via fe80::1 dev veth-a mtu 1380",
      "2001:db8:1::/48 dev veth-a mtu 1290",
    );
    const seen = await over(netns);
    expect(seen.filter((text) => !/ 0$/.test(text))).toEqual([
      "0.0.0.0/0 1400",
      "::/0 1380",
      "2001:db8:1::/48 1290",
    ]);
    // What the kernel has made with the device and its address.
    expect(seen).toEqual(expect.arrayContaining(["10.9.0.0/24 0", "fe80::/64 0"]));
  });

  test("of IPv6 that the kernel has learned, or that lead here, do not count", async () => {
    const netns = makeRouted();
    netns.run("ip", "address", "add", "2001:db8:9::1/64", "dev", netns.device, "nodad");
    add(
      netns,
      "2001:db8::/32 via 2001:db8:9::2 mtu 1400",
      "local 2001:db8:7::/48 dev veth-a table 100 mtu 1300",
    );
    // A path MTU from an ICMPv6 error about an echo reply of ours; the kernel adds the checksum.
    const probe = [
      "import socket, struct",
      "s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)",
      "ends = [socket.inet_pton(socket.AF_INET6, end) for end in ('2001:db8:9::1', '2001:db8:66::1')]",
      "quote = struct.pack('!IHBB', 6 << 28, 8, 58, 64) + b''.join(ends) + bytes([129]) + bytes(7)",
      "s.sendto(struct.pack('!BBHI', 2, 0, 0, 1290) + quote, ('2001:db8:9::1', 0))",
    ].join("\n");
    netns.run(PYTHON, "-c", probe);
    expect(netns.run("ip", "route", "get", "2001:db8:66::1")).toContain("mtu 1290");
    const seen = await over(netns);
    expect(seen.filter((text) => !text.startsWith("2001:db8:9:"))).toEqual(["2001:db8::/32 1400"]);
  });

  test("with several hops are over the device of each", async () => {
    const netns = makeRouted();
    const hops = "nexthop via 10.9.0.2 weight 3 nexthop via 10.8.0.2";
    add(
      netns,
      `10.2.0.0/24 mtu 1400 ${hops}`,
      "2001:db8::/32 mtu 1350 nexthop via fe80::1 dev veth-a nexthop via fe80::2 dev veth-b",
    );
    for (const device of [netns.device, netns.peer]) {
      expect(await over(netns, device)).toEqual(["10.2.0.0/24 1400", "2001:db8::/32 1350"]);
    }
  });

  test.each(["1", "0"])("with next hops of their own count, compat mode %s", async (mode) => {
    const netns = makeRouted();
    netns.run("sh", "-c", `echo ${mode} > /proc/sys/net/ipv4/nexthop_compat_mode`);
    netns.run("ip", "nexthop", "add", "id", "5", "via", "10.9.0.2", "dev", netns.device);
    netns.run("ip", "nexthop", "add", "id", "6", "via", "10.8.0.2", "dev", netns.peer);
    netns.run("ip", "nexthop", "add", "id", "7", "group", "5/6");
    add(netns, "10.2.0.0/24 nhid 5 mtu 1400", "10.3.0.0/24 nhid 7 mtu 1300");
    expect(await over(netns)).toEqual(["10.2.0.0/24 1400", "10.3.0.0/24 1300"]);
    expect(await over(netns, netns.peer)).toEqual(["10.3.0.0/24 1300"]);
  });

  test("are of all tables; a prefix that is there twice has the smallest MTU", async () => {
    const netns = makeRouted();
    add(
      netns,
      "10.2.0.0/24 via 10.9.0.2 mtu 1400",
      "10.2.0.0/24 via 10.9.0.2 metric 5 mtu 1350",
      "10.2.0.0/24 via 10.9.0.2 metric 6",
      "10.2.0.0/24 via 10.9.0.2 mtu 1380 table 100",
      "10.3.0.0/24 via 10.9.0.2 table 1000 mtu 1300",
    );
    expect(await over(netns)).toEqual(["10.2.0.0/24 1350", "10.3.0.0/24 1300"]);
  });

  test("without an MTU are given inside one that has it, and only there", async () => {
    const netns = makeRouted();
    add(
      netns,
      "10.0.0.0/8 via 10.9.0.2 mtu 1400",
      "10.2.0.0/16 via 10.9.0.2",
      "10.2.3.0/24 via 10.9.0.2",
      "10.2.4.0/24 via 10.9.0.2 mtu 1300",
      "10.2.4.128/25 via 10.9.0.2 mtu 1300",
      "10.2.4.192/26 via 10.9.0.2",
      "10.3.0.0/16 via 10.9.0.2 mtu 1400",
      // Elsewhere, and over another device.
      "11.0.0.0/8 via 10.9.0.2",
      "10.4.0.0/16 via 10.8.0.2",
    );
    expect((await over(netns)).filter((text) => !text.startsWith("10.9.0."))).toEqual([
      "10.0.0.0/8 1400",
      // Not 10.2.3.0/24, which says the same as the one around it; nor 10.3.0.0/16.
      "10.2.0.0/16 0",
      "10.2.4.0/24 1300",
      "10.2.4.192/26 0",
    ]);
  });

  test("that lead to this host itself, or that the kernel has learned, do not count", async () => {
    const netns = makeRouted();
    add(netns, "default via 10.9.0.2 mtu 1400", "local 10.7.0.0/16 dev veth-a table 100 mtu 1300");
    // A path MTU that is smaller than the route's, from an ICMP error about an echo reply of ours.
    const probe = [
      "import socket, struct",
      "s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)",
      "quote = bytes.fromhex('45000514000040004001') + b'\\0\\0' + socket.inet_aton('10.9.0.1')" +
        " + socket.inet_aton('10.66.0.1') + bytes(8)",
      "body = struct.pack('!BBHHH', 3, 4, 0, 0, 1000) + quote",
      "total = sum(struct.unpack('!%dH' % (len(body) // 2), body))",
      "total = (total & 0xffff) + (total >> 16); total = (total & 0xffff) + (total >> 16)",
      "s.sendto(body[:2] + struct.pack('!H', 0xffff - total) + body[4:], ('10.9.0.1', 0))",
    ].join("\n");
    netns.run(PYTHON, "-c", probe);
    expect(netns.run("ip", "route", "get", "10.66.0.1")).toContain("mtu 1000");
    expect((await over(netns)).filter((text) => !text.startsWith("10.9.0."))).toEqual([
      "0.0.0.0/0 1400",
    ]);
  });

  test("are cut where there are too many: those without MTU go first, then the longest", async () => {
    const netns = makeRouted();
    add(
      netns,
      "10.2.0.0/16 via 10.9.0.2 mtu 1400",
      "10.2.1.0/24 via 10.9.0.2",
      "10.2.2.0/28 via 10.9.0.2 mtu 1300",
      "10.2.3.0/26 via 10.9.0.2 mtu 1200",
    );
    const all = ["10.2.0.0/16 1400", "10.2.1.0/24 0", "10.2.2.0/28 1300", "10.2.3.0/26 1200"];
    const ifindex = await indexOf(netns, netns.device);
    const given = async (most: number) => {
      const result = must(await binding().routes(netns.path, ifindex, most));
      expect(result.leftOut).toBe(4 - result.routes.length);
      return shown(result);
    };
    expect(await given(4)).toEqual(all);
    expect(await given(3)).toEqual(all.filter((text) => !text.endsWith(" 0")));
    expect(await given(2)).toEqual(["10.2.0.0/16 1400", "10.2.3.0/26 1200"]);
    expect(await given(1)).toEqual(["10.2.0.0/16 1400"]);
  });

  test("of many hosts in one prefix are read to the end", async () => {
    const netns = makeRouted();
    const hosts = Array.from({ length: 3000 }, (_, i) => `10.2.${i >> 8}.${i & 255}`);
    const batch = hosts.map(
      (address, i) => `route add ${address} via 10.9.0.2 mtu ${1000 + (i % 2)}`,
    );
    netns.run("sh", "-c", `ip -batch - <<'END'\n${batch.join("\n")}\nEND`);
    const seen = await over(netns, netns.device, 5000);
    expect(seen).toEqual(hosts.map((address, i) => `${address}/32 ${1000 + (i % 2)}`));
  });

  test("fail where device or namespace is none, and refuse what is no number", async () => {
    const netns = makeRouted();
    const native = binding();
    expect(errnoName(mustFail(await native.routes(netns.path, 9999, MANY)).errno)).toBe("ENODEV");
    for (const ask of [
      () => native.routes("/proc/self/exe", 1, MANY),
      () => native.watchRoutes("/proc/self/exe", 1),
    ]) {
      expect(errnoName(mustFail(await ask()).errno)).toBe("EINVAL");
    }
    expect(() => native.routes("", 1, 0)).toThrow(RangeError);
    expect(() => native.watchRoutes("", -1)).toThrow(RangeError);
  });

  /** A watch of the routes over the first device, which counts its calls. */
  async function watched(netns: TestNetns) {
    const ifindex = await indexOf(netns, netns.device);
    const watch = must(await binding().watchRoutes(netns.path, ifindex));
    watches.push(watch);
    const heard = { calls: 0 };
    const read = async () => shown(await watch.routes(MANY));
    const first = await read();
    expect(watch.start(() => heard.calls++)).toBeUndefined();
    return { watch, heard, read, first };
  }

  test("are watched: each change that matters is heard", async () => {
    const netns = makeRouted();
    const { heard, read, first } = await watched(netns);
    expect(first).toEqual([]);
    const steps: [string, string, readonly string[]][] = [
      ["add", "10.2.0.0/16 via 10.9.0.2 mtu 1400", ["10.2.0.0/16 1400"]],
      ["add", "10.2.3.0/24 via 10.9.0.2", ["10.2.0.0/16 1400", "10.2.3.0/24 0"]],
      ["del", "10.2.3.0/24 via 10.9.0.2", ["10.2.0.0/16 1400"]],
      ["change", "10.2.0.0/16 via 10.9.0.2 mtu 1300", ["10.2.0.0/16 1300"]],
      // To another device, of which only the new route tells.
      ["replace", "10.2.0.0/16 via 10.8.0.2", []],
      [
        "add",
        "2001:db8::/32 mtu 1350 nexthop via fe80::1 dev veth-a nexthop via fe80::2 dev veth-b",
        ["2001:db8::/32 1350"],
      ],
      ["del", "2001:db8::/32 dev veth-a", []],
      ["add", "2001:db8:2::/48 dev veth-a mtu 1300", ["2001:db8:2::/48 1300"]],
      ["replace", "2001:db8:2::/48 dev veth-a mtu 1290", ["2001:db8:2::/48 1290"]],
      ["del", "2001:db8:2::/48 dev veth-a", []],
      ["add", "10.7.0.0/16 via 10.9.0.2 table 100 mtu 1200", ["10.7.0.0/16 1200"]],
    ];
    for (const [how, words, after] of steps) {
      heard.calls = 0;
      route(netns, how, words);
      await eventually(() => heard.calls > 0);
      expect(await read(), `${how} ${words}`).toEqual(after);
    }
  });

  test.each<[string, string, (netns: TestNetns) => void]>([
    ["the link", "via 10.9.0.2", (netns) => netns.run("ip", "link", "set", netns.device, "down")],
    [
      "the address",
      "via 10.9.0.3 src 10.9.0.7",
      (netns) => netns.run("ip", "address", "del", "10.9.0.7/24", "dev", netns.device),
    ],
    ["the next hop", "nhid 5", (netns) => netns.run("ip", "nexthop", "del", "id", "5")],
  ])("are watched: those that go with %s are missed", async (_, way, spoil) => {
    const netns = makeRouted();
    netns.run("ip", "address", "add", "10.9.0.7/24", "dev", netns.device);
    netns.run("ip", "nexthop", "add", "id", "5", "via", "10.9.0.2", "dev", netns.device);
    add(netns, `10.2.0.0/16 ${way} mtu 1400`);
    const { heard, read, first } = await watched(netns);
    expect(first).toEqual(["10.2.0.0/16 1400"]);
    spoil(netns);
    await eventually(() => heard.calls > 0);
    expect(await read()).toEqual([]);
  });

  test("are watched: those of IPv6 that go with the link are missed", async () => {
    const netns = makeRouted();
    add(netns, "2001:db8:2::/48 dev veth-a mtu 1300");
    const { heard, read, first } = await watched(netns);
    expect(first).toEqual(["2001:db8:2::/48 1300"]);
    netns.run("ip", "link", "set", netns.device, "down");
    await eventually(() => heard.calls > 0);
    expect(await read()).toEqual([]);
  });

  test("are watched: what does not matter is not told", async () => {
    const netns = makeRouted();
    add(netns, "10.2.0.0/16 via 10.9.0.2 mtu 1400");
    // The kernel is late to say that a link is up, and changes of the link matter.
    const state = ["cat", `/sys/class/net/${netns.device}/operstate`] as const;
    await eventually(() => netns.run(...state).trim() === "up");
    const { heard } = await watched(netns);
    // All of it without MTU, outside the prefix or over the other device.
    for (const words of [
      "10.3.0.0/16 via 10.9.0.2",
      "10.2.1.0/24 via 10.8.0.2",
      "default via 10.9.0.2",
    ]) {
      add(netns, words);
      route(netns, "del", words);
    }
    add(netns, "10.2.2.0/24 via 10.8.0.2 mtu 1300", "2001:db8::/32 dev veth-a");
    // The watch reads in order: when it tells of this one, it has passed over all of the above.
    add(netns, "10.2.9.0/24 via 10.9.0.2");
    await eventually(() => heard.calls > 0);
    expect(heard.calls).toBe(1);
  });

  test("are watched: a burst is told in few calls, the last of which is not too early", async () => {
    const netns = makeRouted();
    const ifindex = await indexOf(netns, netns.device);
    const watch = must(await binding().watchRoutes(netns.path, ifindex));
    watches.push(watch);
    const hosts = Array.from({ length: 2000 }, (_, i) => `10.2.${i >> 8}.${i & 255}`);
    const reads: Promise<number>[] = [];
    const count = async () => must(await watch.routes(hosts.length)).routes.length;
    expect(watch.start(() => reads.push(count()))).toBeUndefined();
    const batch = hosts.map((address) => `route add ${address} via 10.9.0.2 mtu 1400`);
    netns.run("sh", "-c", `ip -batch - <<'END'\n${batch.join("\n")}\nEND`);
    await eventually(async () => (await reads.at(-1)) === hosts.length);
    expect(reads.length).toBeLessThan(hosts.length / 10);
  });

  test("are heard of no more after close, and the descriptors are given back", async () => {
    const netns = makeRouted();
    const before = openDescriptors();
    const { watch, heard } = await watched(netns);
    expect(mustFail(watch.start(() => undefined)).errno).toBe(9);
    watch.close();
    watch.close();
    expect(openDescriptors()).toEqual(before);
    expect(errnoName(mustFail(await watch.routes(MANY)).errno)).toBe("EBADF");
    add(netns, "10.2.0.0/16 via 10.9.0.2 mtu 1400");
    await new Promise((resolve) => setImmediate(resolve));
    expect(heard.calls).toBe(0);
  });

  test("are read where the name of the namespace has gone", async () => {
    const netns = makeRouted();
    add(netns, "10.2.0.0/16 via 10.9.0.2 mtu 1400");
    const { read } = await watched(netns);
    netns.delete();
    expect(await read()).toEqual(["10.2.0.0/16 1400"]);
  });
});
