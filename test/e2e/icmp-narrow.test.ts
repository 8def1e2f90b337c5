/**
 * A router in the middle with MTU 1400 on its far link, which neither end knows of: path MTU
 * discovery works for what travels in carriers, through NAT as well.
 */
import { describe, expect, it } from "vitest";
import {
  ALL_FLOWS,
  AT_GATEWAYS_INGRESS,
  type BulkLab,
  bulkLab,
  CARRIER_SERVICE,
  forgetPaths,
  ON_CLIENT,
  OVER,
  outcome,
  PLACES,
  PORTS,
  Sides,
  seenIn,
  setMtu,
} from "../support/bulk.ts";
import { FAMILIES, type Family, IP_HEADER } from "../support/family.ts";
import { expectTransfers } from "../support/http.ts";
import { Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import { sockets } from "../support/sockets.ts";

const NARROW = 1400;
const MB = 1_000_000;
const CARRIER_SIZE = { tcp: 20, udp: 8 } as const;

/** Both routers at the ends of the narrow link refuse what does not fit. */
function narrowLab(lab: Lab, nat = false): BulkLab {
  const hosts = bulkLab(lab, nat ? { nat: CARRIER_SERVICE } : {});
  setMtu(lab, hosts.router, "far", NARROW);
  setMtu(lab, hosts.node, "uplink", NARROW);
  return hosts;
}

/** What a socket finds out, with so many bytes of carrier on the way, and how it tries. */
function pathUnder(family: Family, carrierSize: number) {
  const headers = IP_HEADER[family] + 8;
  const fits = NARROW - carrierSize - headers;
  return {
    lengths: [1500 - carrierSize - headers, fits + 1, fits],
    found: { after: NARROW - carrierSize, pending: "EMSGSIZE", errors: ["EMSGSIZE", null] },
    arrived: { seen: [[2, fits]] },
  };
}

async function discover(lab: Lab, hosts: BulkLab, port: number, size: number) {
  const { client, pod, family, address } = hosts;
  const { lengths, found, arrived } = pathUnder(family, size);
  const drain = await sockets(lab, pod, "drain", { port, count: 1, family }).ready();
  const probe = sockets(lab, client, "probe", { address, port, lengths });
  expect(await probe.event("discovered")).toMatchObject(found);
  expect(await drain.event("drained")).toMatchObject(arrived);
  await drain.end();
}

async function discoverBack(lab: Lab, hosts: BulkLab, port: number, size: number) {
  const { client, pod, family, address } = hosts;
  const { lengths, found, arrived } = pathUnder(family, size);
  const probe = await sockets(lab, pod, "probeBack", { port, lengths, family }).ready();
  const greet = sockets(lab, client, "greet", { address, port, count: 1 });
  expect(await probe.event("discovered")).toMatchObject(found);
  expect(await greet.event("drained")).toMatchObject(arrived);
}

/**
 * TCP in bulk, as if nobody had found out anything about the path before. Both ways at once: one
 * that knows would tell the other in the MSS of its SYN.
 */
async function transferBothWays(lab: Lab, hosts: BulkLab, port: number): Promise<void> {
  const { client, pod, address } = hosts;
  forgetPaths(lab, hosts);
  await expectTransfers(lab, pod, client, address, port, [
    { direction: "download", length: 3 * MB },
    { direction: "upload", length: 3 * MB },
  ]);
}

const CASES = [
  { place: ON_CLIENT, nat: false, family: "IPv4" },
  ...PLACES.map((place) => ({ place, nat: true, family: "IPv4" }) as const),
  // Where the ways differ most: without NAT, and with it where a gateway forwards carriers.
  { place: ON_CLIENT, nat: false, family: "IPv6" },
  { place: AT_GATEWAYS_INGRESS, nat: true, family: "IPv6" },
] as const;

/** Each with its name. */
const TITLED = CASES.map((row) => ({
  ...row,
  title: `${row.family}, funneled ${row.place.title}${row.nat ? ", with NAT" : ""}`,
}));

describe.skipIf(skipReason)(titled("a narrow link on the way"), () => {
  it.each(FAMILIES)("is found by what is not funneled: %s", async (family) => {
    using lab = new Lab([family]);
    const hosts = seenIn(family, narrowLab(lab));
    await discover(lab, hosts, PORTS.tcp, 0);
    await discoverBack(lab, hosts, PORTS.tcp, 0);
    await transferBothWays(lab, hosts, PORTS.tcp);
  });

  it.each(TITLED)("is found by TCP and UDP: $title", async ({ place, nat, family }) => {
    using lab = new Lab([family]);
    const hosts = seenIn(family, narrowLab(lab, nat));
    const { client, address } = hosts;
    await using sides = await Sides.attach(hosts, place, ALL_FLOWS);
    const turned = async () => ({
      near: await outcome(sides.near, place.back, "error_unfunneled"),
      far: await outcome(sides.far, "ingress", "error_unfunneled"),
    });
    for (const over of OVER) {
      const port = PORTS[over];
      const size = CARRIER_SIZE[over];
      const before = await turned();
      await discover(lab, hosts, port, size);
      expect(await turned()).toEqual({ near: before.near + 1, far: before.far });
      await discoverBack(lab, hosts, port, size);
      expect(await turned()).toEqual({ near: before.near + 1, far: before.far + 1 });

      await transferBothWays(lab, hosts, port);
      const after = await turned();
      expect(after.near).toBeGreaterThan(before.near + 1);
      expect(after.far).toBeGreaterThan(before.far + 1);
      expect(lab.ip(client, "route", "get", address)).toContain(`mtu ${NARROW - size} `);
      forgetPaths(lab, hosts);
    }
  });
});
