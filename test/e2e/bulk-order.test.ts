/**
 * Super-packets of UDP (UDP_SEGMENT) and of TCP with small packets between them: everything arrives
 * in its size and in its order, although the large ones take another way through the kernel.
 */
import { describe, expect, it } from "vitest";
import {
  ALL_FLOWS,
  type BulkLab,
  bulkLab,
  counter,
  flowsOver,
  outcome,
  PLACES,
  PORTS,
  Sides,
  seenIn,
} from "../support/bulk.ts";
import { FAMILIES, IP_HEADER } from "../support/family.ts";
import { expectTransfers } from "../support/http.ts";
import { type Host, Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import { arp } from "../support/packet.ts";
import { sockets } from "../support/sockets.ts";
import { longestPacket } from "../support/wire.ts";

const SIZE = 1200;
const REST = 77;
const EACH = 30;
const BURSTS = 20;

/** Of the receiver, so small that it holds up the sender: it then sends large and small at once. */
const BUFFER = 100_000;

/** Length of each datagram of a burst, the one that is sent alone included. */
const BURST = [...Array.from({ length: EACH }, () => SIZE), REST, REST];

function dam(lab: Lab, host: Host, rate: readonly string[]): void {
  lab.run(host, "tc", "qdisc", "replace", "dev", "eth0", "root", "tbf", ...rate, "limit", "10m");
}

/** Datagrams of UDP_SEGMENT, each burst with a datagram behind it. */
async function segmentedDatagrams(
  lab: Lab,
  { client, pod, family, address }: BulkLab,
  port: number,
): Promise<void> {
  const expected = Array.from({ length: BURSTS }, () => BURST).flat();
  const drain = await sockets(lab, pod, "drain", { port, count: expected.length, family }).ready();
  const options = { address, port, size: SIZE, each: EACH, rest: REST, bursts: BURSTS };
  // They gather behind a dam and pass it all at once. A gateway then has all of them in its queue,
  // which takes 1000 packets, before it looks at the first.
  dam(lab, client, ["rate", "8kbit", "burst", "64k"]);
  await sockets(lab, client, "bursts", options).end();
  dam(lab, client, ["rate", "10gbit", "burst", "4m"]);
  // It looks at what has gathered when another packet comes.
  lab.sendFrames(client, "eth0", [arp()]);
  const { seen } = await drain.event("drained");
  expect(seen).toEqual(expected.map((length, number) => [number, length]));
  lab.run(client, "tc", "qdisc", "delete", "dev", "eth0", "root");
}

/**
 * Connections with large and small writes in turn, to a receiver that takes all at once and to one
 * that does not; how many segments came out of turn.
 */
async function mixedWrites(
  lab: Lab,
  { client, pod, family, address }: BulkLab,
  port: number,
): Promise<number> {
  const before = counter(lab, pod, "TcpExt", "TCPOFOQueue");
  for (const receiver of [{}, { buffer: BUFFER }]) {
    const sink = await sockets(lab, pod, "sink", { port, family, ...receiver }).ready();
    const options = { address, port, lengths: [20_000, 50, 3000, 1], times: 200 };
    const [sent] = await sockets(lab, client, "pour", options).end();
    expect(await sink.event("received")).toMatchObject({ bytes: sent?.bytes });
    await sink.end();
  }
  return counter(lab, pod, "TcpExt", "TCPOFOQueue") - before;
}

describe.skipIf(skipReason)(titled("super-packets and small ones"), () => {
  it.each(FAMILIES)("arrive in order where nothing is funneled: %s", async (family) => {
    using lab = new Lab([family]);
    const hosts = seenIn(family, bulkLab(lab));
    // First what is sent again when it is lost: neighbours who do not know each other yet keep few packets.
    expect(await mixedWrites(lab, hosts, PORTS.tcp)).toBe(0);
    const wire = await lab.capture(hosts.pod, "eth0");
    await segmentedDatagrams(lab, hosts, PORTS.tcp);
    // They do come as super-packets.
    expect(longestPacket(await wire.stop())).toBe(IP_HEADER[family] + 8 + EACH * SIZE + REST);
  });

  it.each(PLACES)("arrive in order, funneled $title", async (place) => {
    using lab = new Lab(FAMILIES);
    const both = bulkLab(lab);
    await using sides = await Sides.attach(both, place, ALL_FLOWS);
    const cases = [
      ...Object.values(PORTS).map((port) => ({ hosts: both, port })),
      { hosts: seenIn("IPv6", both), port: PORTS.tcp },
    ];
    for (const { hosts, port } of cases) {
      expect(await mixedWrites(lab, hosts, port)).toBe(0);
      const before = await outcome(sides.near, place.out, "segmented");
      await segmentedDatagrams(lab, hosts, port);
      const segmented = await outcome(sides.near, place.out, "segmented");
      expect(segmented - before).toBeGreaterThanOrEqual(BURSTS);
    }
    await sides.expectAllFunneled();
  });

  it("are merged as they come in where nothing is funneled", async () => {
    using lab = new Lab();
    const hosts = bulkLab(lab, { merging: true });
    await uploadMerged(lab, hosts);
  });

  it.each(PLACES.filter(({ host }) => host === "gateway"))(
    "arrive over tcp, funneled $title, where they are merged as they come in",
    async (place) => {
      using lab = new Lab();
      const hosts = bulkLab(lab, { merging: true });
      await using sides = await Sides.attach(hosts, place, flowsOver("tcp"));
      await uploadMerged(lab, hosts);
      await sides.expectAllFunneled();
      expect(await outcome(sides.near, place.out, "segmented")).toBeGreaterThan(0);
    },
  );
});

/** An upload whose segments travel one by one to the gateway, and come in several in a packet. */
async function uploadMerged(lab: Lab, { client, gateway, pod, address }: BulkLab): Promise<void> {
  const underlay = await lab.capture(gateway, "wire");
  const merged = await lab.capture(gateway, "clients");
  await expectTransfers(lab, pod, client, address, PORTS.tcp, [
    { direction: "upload", length: 3_000_000 },
  ]);
  expect(longestPacket(await underlay.stop())).toBeLessThanOrEqual(1570);
  expect(longestPacket(await merged.stop())).toBeGreaterThan(1500);
}
