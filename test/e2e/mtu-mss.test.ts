/**
 * TCP makes room for carriers by itself: its segments are as large as the smallest MTU allows, in
 * both directions, and none is too large.
 */
import { describe, expect, it } from "vitest";
import {
  ALL_FLOWS,
  AT_GATEWAYS_EGRESS,
  type BulkLab,
  bulkLab,
  counter,
  flowsOver,
  ON_CLIENT,
  OVER,
  outcome,
  PLACES,
  PORTS,
  Sides,
  seenIn,
  setMtu,
} from "../support/bulk.ts";
import { FAMILIES, type Family } from "../support/family.ts";
import { expectTransfers, type Transfer } from "../support/http.ts";
import { Lab } from "../support/lab.ts";
import { advertised, advertisedInCarriers } from "../support/mss.ts";
import { skipReason, titled } from "../support/native.ts";
import { sockets } from "../support/sockets.ts";
import { longestPacket } from "../support/wire.ts";

/** IP and TCP, without options; the timestamps that the kernel sends in every segment. */
const HEADERS = { IPv4: 40, IPv6: 60 } as const;
const TIMESTAMPS = 12;
const MB = 1_000_000;

/** What a segment may hold in a carrier, where packets may be so long. */
function sizeIn(mtu: number, family: Family, over: "tcp" | "udp"): number {
  return mtu - HEADERS[family] - (over === "tcp" ? 20 : 8);
}

/** A connection of a few bytes; the size of the segments that both ends decided on. */
async function segments(lab: Lab, { client, pod, family, address }: BulkLab, port: number) {
  const sink = await sockets(lab, pod, "sink", { port, family }).ready();
  const [sent] = await sockets(lab, client, "pour", {
    address,
    port,
    lengths: [10],
    times: 1,
  }).end();
  const received = await sink.event("received");
  return { client: sent?.segment, pod: received.segment };
}

const both = (length: number): Transfer[] => [
  { direction: "upload", length },
  { direction: "download", length },
];

/** One place is enough for IPv6: the MTUs are of devices, and they are no concern of its. */
const SMALLER = [
  ...PLACES.map((place) => ({ family: "IPv4", title: place.title, place }) as const),
  { family: "IPv6", title: ON_CLIENT.title, place: ON_CLIENT } as const,
];

function retransmitted(lab: Lab, { client, pod }: BulkLab): number {
  return counter(lab, client, "Tcp", "RetransSegs") + counter(lab, pod, "Tcp", "RetransSegs");
}

describe.skipIf(skipReason)(titled("the MSS of funneled connections"), () => {
  it.each(FAMILIES)("is left alone where nothing is funneled: %s", async (family) => {
    using lab = new Lab([family]);
    const hosts = seenIn(family, bulkLab(lab));
    const wire = await lab.capture(hosts.router, "near");
    const [flow] = flowsOver("tcp");
    const size = 1500 - HEADERS[family];
    expect(await segments(lab, hosts, PORTS.tcp)).toEqual({
      client: size - TIMESTAMPS,
      pod: size - TIMESTAMPS,
    });
    await wire.atLeast(6);
    expect(advertised(await wire.stop(), flow)).toEqual({ toServer: [size], toClient: [size] });
  });

  it.each(PLACES)("leaves room for the carrier, funneled $title", async (place) => {
    using lab = new Lab(FAMILIES);
    const inBoth = bulkLab(lab);
    await using sides = await Sides.attach(inBoth, place, ALL_FLOWS);
    const { near, far } = sides;
    const clamped = () =>
      Promise.all([near, far].map(async (funnel) => (await funnel.stats()).flows.mssClamped));
    const passed = async () =>
      (await outcome(near, place.out, "funneled")) +
      (await outcome(near, place.back, "reply_unfunneled"));
    for (const family of FAMILIES) {
      const hosts = seenIn(family, inBoth);
      const { client, pod, router, address } = hosts;
      const before = { clamped: await clamped(), passed: await passed() };
      const wire = await lab.capture(router, "near", [family]);
      const clients = await lab.capture(client, "eth0", [family]);
      for (const over of OVER) {
        const size = sizeIn(1500, family, over) - TIMESTAMPS;
        expect(await segments(lab, hosts, PORTS[over])).toEqual({ client: size, pod: size });
      }
      for (const [index, count] of (await clamped()).entries()) {
        expect(count).toBeGreaterThan(before.clamped[index] ?? 0);
      }
      for (const capture of [wire, clients]) {
        await capture.atLeast((await passed()) - before.passed);
        const seen = await capture.stop();
        for (const over of OVER) {
          const [flow] = flowsOver(over);
          const size = sizeIn(1500, family, over);
          const carriers = capture === wire || place === ON_CLIENT;
          expect((carriers ? advertisedInCarriers : advertised)(seen, flow)).toEqual({
            // The gateway's client says what it would say to anybody.
            toServer: [carriers ? size : 1500 - HEADERS[family]],
            toClient: [size],
          });
        }
      }

      const options = { pinned: true };
      await expectTransfers(lab, pod, client, address, PORTS.tcp, both(10 * MB), options);
    }
    // Nothing was too big, and next to nothing was sent twice: 28,000 segments at the least.
    await sides.expectAllFunneled();
    expect(retransmitted(lab, inBoth)).toBeLessThan(280);
  });

  it.each(SMALLER)("follows the smaller of two MTUs of $family, funneled $title", async (row) => {
    const { family, place } = row;
    using lab = new Lab([family]);
    const hosts = seenIn(family, bulkLab(lab));
    const { client, gateway, router, node, pod, address } = hosts;
    const flows = flowsOver("tcp");
    await using sides = await Sides.attach(hosts, place, flows);
    // One end has more than the other, which the SYN of one end says before it is clamped.
    const cases = [
      {
        wide: [
          [node, "pod"],
          [pod, "eth0"],
        ],
        link: "far",
        advertised: {
          toServer: [sizeIn(1500, family, "tcp")],
          toClient: [sizeIn(9000, family, "tcp")],
        },
      },
      {
        wide: [
          [gateway, "clients"],
          [client, "eth0"],
        ],
        link: "near",
        advertised: {
          // At a gateway's egress, its own device comes first.
          toServer: [sizeIn(place === AT_GATEWAYS_EGRESS ? 1500 : 9000, family, "tcp")],
          toClient: [sizeIn(1500, family, "tcp")],
        },
      },
    ] as const;
    for (const { wide, link, advertised } of cases) {
      for (const [host, device] of wide) setMtu(lab, host, device, 9000);
      const wire = await lab.capture(router, link);
      const size = sizeIn(1500, family, "tcp") - TIMESTAMPS;
      expect(await segments(lab, hosts, PORTS.tcp)).toEqual({ client: size, pod: size });
      await expectTransfers(lab, pod, client, address, PORTS.tcp, both(2 * MB));
      const frames = await wire.stop();
      expect(longestPacket(frames)).toBe(1500);
      expect(advertisedInCarriers(frames, flows[0])).toEqual(advertised);
      for (const [host, device] of wide) setMtu(lab, host, device, 1500);
    }
    await sides.expectAllFunneled();
  });
});
