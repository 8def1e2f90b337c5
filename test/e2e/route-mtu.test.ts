/**
 * Of a client's routes one has an MTU of its own (`ip route add ... mtu 1400`): it counts for what
 * leaves by it, as long as it has it, and for nothing else.
 */
import { describe, expect, it } from "vitest";
import {
  type BulkLab,
  bulkLab,
  flowsOver,
  forgetPaths,
  ON_CLIENT,
  outcome,
  PORTS,
  Sides,
} from "../support/bulk.ts";
import { expectTransfers } from "../support/http.ts";
import { eventually, Lab } from "../support/lab.ts";
import { advertisedInCarriers } from "../support/mss.ts";
import { skipReason, titled } from "../support/native.ts";
import { sockets } from "../support/sockets.ts";
import { longestPacket, packetLength } from "../support/wire.ts";

const DEVICE = 1500;
const ROUTE = 1400;
const CARRIER = 20;
/** IP and UDP. */
const HEADERS = 28;
const PODS = "10.2.0.0/24";
const VIA = "10.1.0.1";
const MB = 1_000_000;
const flows = flowsOver("tcp");
const port = PORTS.tcp;

function route(lab: Lab, { client }: BulkLab, how: string, prefix: string, ...words: string[]) {
  lab.run(client, "ip", "route", how, prefix, "via", VIA, ...words);
}

/** What a socket of UDP that does not fragment finds out, by a datagram that is one byte too long. */
async function expectDiscovery(lab: Lab, hosts: BulkLab, mtu: number): Promise<void> {
  const { client, pod, address } = hosts;
  forgetPaths(lab, hosts);
  const fits = mtu - CARRIER - HEADERS;
  const drain = await sockets(lab, pod, "drain", { port, count: 1 }).ready();
  const probe = sockets(lab, client, "probe", {
    address,
    port,
    lengths: [fits + 1, fits + 1, fits],
  });
  expect(await probe.event("discovered")).toEqual({
    event: "discovered",
    before: mtu,
    after: mtu - CARRIER,
    pending: "EMSGSIZE",
    errors: ["EMSGSIZE", null],
  });
  expect(await drain.event("drained")).toMatchObject({ seen: [[2, fits]] });
  await drain.end();
}

/** Waits until a datagram that fits the device alone is reported as too large, or not any more. */
async function untilReported(
  lab: Lab,
  hosts: BulkLab,
  sides: Sides,
  reported: boolean,
): Promise<void> {
  const { client, address } = hosts;
  const lengths = [ROUTE - CARRIER - HEADERS + 1];
  const count = () => outcome(sides.near, "egress", "too_big_reported");
  await eventually(async () => {
    forgetPaths(lab, hosts);
    const before = await count();
    await sockets(lab, client, "unfragmented", { address, port, lengths }).end();
    return (await count()) > before === reported;
  });
}

describe.skipIf(skipReason)(titled("the MTU of one of the client's routes"), () => {
  it("is kept to by what TCP sends by it, and is sent", async () => {
    using lab = new Lab();
    const hosts = bulkLab(lab);
    const { client, pod, router, address } = hosts;
    route(lab, hosts, "add", PODS, "mtu", `${ROUTE}`);
    await using sides = await Sides.attach(hosts, ON_CLIENT, flows);
    const wire = await lab.capture(router, "near");
    for (const direction of ["upload", "download"] as const) {
      await expectTransfers(lab, pod, client, address, port, [{ direction, length: MB }]);
    }
    const frames = await wire.stop();
    expect(advertisedInCarriers(frames, flows[0]).toServer).toEqual([ROUTE - 40 - CARRIER]);
    expect(longestPacket(frames)).toBeLessThanOrEqual(ROUTE);
    // Each side found out how much is left for it, and used that.
    for (const byte of [1, 2]) {
      const sent = frames.filter((frame) => frame[26] === 10 && frame[27] === byte);
      expect(Math.max(...sent.map(packetLength))).toBeGreaterThan(ROUTE - 20);
    }
    await sides.expectAllFunneled();
  });

  it("is found out by a socket of UDP when it comes, and so is its end", async () => {
    using lab = new Lab();
    const hosts = bulkLab(lab);
    await using sides = await Sides.attach(hosts, ON_CLIENT, flows);
    await expectDiscovery(lab, hosts, DEVICE);
    route(lab, hosts, "add", PODS, "mtu", `${ROUTE}`);
    await untilReported(lab, hosts, sides, true);
    await expectDiscovery(lab, hosts, ROUTE);
    route(lab, hosts, "change", PODS);
    await untilReported(lab, hosts, sides, false);
    await expectDiscovery(lab, hosts, DEVICE);
  });

  it("does not count for a route inside it without, as long as that is there", async () => {
    using lab = new Lab();
    const hosts = bulkLab(lab);
    route(lab, hosts, "add", PODS, "mtu", `${ROUTE}`);
    route(lab, hosts, "add", hosts.address);
    await using sides = await Sides.attach(hosts, ON_CLIENT, flows);
    await expectDiscovery(lab, hosts, DEVICE);
    route(lab, hosts, "del", hosts.address);
    await untilReported(lab, hosts, sides, true);
    await expectDiscovery(lab, hosts, ROUTE);
  });
});
