/**
 * A router in the middle with MTU 1400 on its far link, which neither end knows of: path MTU
 * discovery works for what travels in carriers, through NAT as well.
 */
import { describe, expect, it } from "vitest";
import {
  ALL_FLOWS,
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
  setMtu,
  sockets,
} from "../support/bulk.ts";
import { expectTransfers } from "../support/http.ts";
import { Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";

const NARROW = 1400;
const MB = 1_000_000;
const CARRIER_SIZE = { tcp: 20, udp: 8 } as const;
/** IP and UDP. */
const HEADERS = 28;

/** Both routers at the ends of the narrow link refuse what does not fit. */
function narrowLab(lab: Lab, nat = false): BulkLab {
  const hosts = bulkLab(lab, nat ? { nat: CARRIER_SERVICE } : {});
  setMtu(lab, hosts.router, "far", NARROW);
  setMtu(lab, hosts.node, "uplink", NARROW);
  return hosts;
}

/** What a socket finds out, with so many bytes of carrier on the way, and how it tries. */
function pathUnder(carrierSize: number) {
  const fits = NARROW - carrierSize - HEADERS;
  return {
    lengths: [1500 - carrierSize - HEADERS, fits + 1, fits],
    found: { after: NARROW - carrierSize, pending: "EMSGSIZE", errors: ["EMSGSIZE", null] },
    arrived: { seen: [[2, fits]] },
  };
}

async function discover(lab: Lab, { client, pod, address }: BulkLab, port: number, size: number) {
  const { lengths, found, arrived } = pathUnder(size);
  const drain = await sockets(lab, pod, "drain", { port, count: 1 }).ready();
  const probe = sockets(lab, client, "probe", { address, port, lengths });
  expect(await probe.event("discovered")).toMatchObject(found);
  expect(await drain.event("drained")).toMatchObject(arrived);
  await drain.end();
}

async function discoverBack(lab: Lab, hosts: BulkLab, port: number, size: number) {
  const { client, pod, address } = hosts;
  const { lengths, found, arrived } = pathUnder(size);
  const probe = await sockets(lab, pod, "probeBack", { port, lengths }).ready();
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
  { title: `funneled ${ON_CLIENT.title}`, place: ON_CLIENT, nat: false },
  ...PLACES.map((place) => ({ title: `funneled ${place.title}, with NAT`, place, nat: true })),
];

describe.skipIf(skipReason)(titled("a narrow link on the way"), () => {
  it("is found by what is not funneled", async () => {
    using lab = new Lab();
    const hosts = narrowLab(lab);
    await discover(lab, hosts, PORTS.tcp, 0);
    await discoverBack(lab, hosts, PORTS.tcp, 0);
    await transferBothWays(lab, hosts, PORTS.tcp);
  });

  it.each(CASES)("is found by TCP and UDP, $title", async ({ place, nat }) => {
    using lab = new Lab();
    const hosts = narrowLab(lab, nat);
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
