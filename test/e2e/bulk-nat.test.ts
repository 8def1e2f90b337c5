/**
 * Traffic in bulk through a masquerade and the DNAT that kube-proxy writes, both of which drop what
 * conntrack finds INVALID. The service has the carriers' ports alone.
 */
import { describe, expect, it } from "vitest";
import {
  ALL_FLOWS,
  bulkLab,
  CARRIER_SERVICE,
  PLACES,
  PORTS,
  Sides,
  seenIn,
} from "../support/bulk.ts";
import { FAMILIES } from "../support/family.ts";
import { expectTransfers } from "../support/http.ts";
import { iperf } from "../support/iperf.ts";
import { type Host, Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";

const LENGTH = 5_000_000;
const CONNECTIONS = 16;

const transfers = Array.from({ length: CONNECTIONS }, (_, index) => ({
  direction: index % 2 === 0 ? ("upload" as const) : ("download" as const),
  length: LENGTH / CONNECTIONS + index,
}));

/** Packets that were dropped as INVALID. */
function invalid(lab: Lab, routers: readonly Host[]): number {
  const counts = routers.flatMap((router) =>
    lab.iptables.map((iptables) => {
      const rules = lab.run(router, `${iptables}-save`, "-c", "-t", "filter");
      const [, count] = /^\[(\d+):\d+\] .*INVALID/m.exec(rules) ?? [];
      if (count === undefined) throw new Error(`no such rule:\n${rules}`);
      return Number(count);
    }),
  );
  return counts.reduce((sum, count) => sum + count, 0);
}

describe.skipIf(skipReason)(titled("NAT on the way of traffic in bulk"), () => {
  it("translates what is not funneled, for a service with the flow's port", async () => {
    using lab = new Lab(FAMILIES);
    const hosts = bulkLab(lab, { nat: [{ transport: "tcp", port: PORTS.tcp }] });
    const { pod, client, gateway, node } = hosts;
    for (const family of FAMILIES) {
      const { address } = seenIn(family, hosts);
      await expectTransfers(lab, pod, client, address, PORTS.tcp, transfers);
    }
    expect(invalid(lab, [gateway, node])).toBe(0);
  });

  it.each(PLACES)("translates carriers, funneled $title", async (place) => {
    using lab = new Lab(FAMILIES);
    const hosts = bulkLab(lab, { nat: CARRIER_SERVICE });
    const { pod, client, gateway, node } = hosts;
    await using sides = await Sides.attach(hosts, place, ALL_FLOWS);
    for (const family of FAMILIES) {
      const { address } = seenIn(family, hosts);
      for (const port of Object.values(PORTS)) {
        await expectTransfers(lab, pod, client, address, port, transfers);
        const udp = { rate: "40M", length: 1200 };
        await iperf(lab, pod, client, address, { port, bytes: "1M", udp });
      }
    }
    await sides.expectAllFunneled();
    expect(invalid(lab, [gateway, node])).toBe(0);
  });
});
