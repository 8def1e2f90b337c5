/**
 * A socket of UDP that does not let its datagrams be cut up (IP_PMTUDISC_DO) finds out how much
 * room a carrier leaves, with every MTU at 1500.
 */
import { describe, expect, it } from "vitest";
import {
  ALL_FLOWS,
  AT_GATEWAYS_INGRESS,
  bulkLab,
  forgetPaths,
  OVER,
  outcome,
  PLACES,
  PORTS,
  Sides,
  seenIn,
} from "../support/bulk.ts";
import { FAMILIES, type Family } from "../support/family.ts";
import { Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import { sockets } from "../support/sockets.ts";

const CARRIER_SIZE = { tcp: 20, udp: 8 } as const;
/** Of a datagram behind IP and UDP. */
const LARGEST = { IPv4: 1500 - 28, IPv6: 1500 - 48 } as const;

/** What a socket is to find out, and how it tries. */
function pathUnder(over: "tcp" | "udp", family: Family) {
  const largest = LARGEST[family];
  const fits = largest - CARRIER_SIZE[over];
  return {
    lengths: [largest, largest, fits + 1, fits],
    found: {
      event: "discovered",
      before: 1500,
      after: 1500 - CARRIER_SIZE[over],
      pending: "EMSGSIZE",
      errors: ["EMSGSIZE", "EMSGSIZE", null],
    },
    // The first one was lost, two were never sent.
    arrived: { seen: [[3, fits]] },
  };
}

describe.skipIf(skipReason)(titled("a socket that does not fragment"), () => {
  it.each(FAMILIES)(
    "sends all that its device takes where nothing is funneled: %s",
    async (family) => {
      using lab = new Lab([family]);
      const { pod, client, address } = seenIn(family, bulkLab(lab));
      const port = PORTS.tcp;
      const drain = await sockets(lab, pod, "drain", { port, count: 2, family }).ready();
      const lengths = [LARGEST[family], LARGEST[family]];
      await sockets(lab, client, "unfragmented", { address, port, lengths }).end();
      expect(await drain.event("drained")).toMatchObject({
        seen: lengths.map((length, number) => [number, length]),
      });
    },
  );

  it.each(PLACES)("learns what fits, funneled $title", async (place) => {
    using lab = new Lab(FAMILIES);
    const hosts = bulkLab(lab);
    await using sides = await Sides.attach(hosts, place, ALL_FLOWS);
    const cases = FAMILIES.flatMap((family) => OVER.map((over) => ({ family, over })));
    for (const [index, { family, over }] of cases.entries()) {
      const { pod, client, address } = seenIn(family, hosts);
      const port = PORTS[over];
      const { lengths, found, arrived } = pathUnder(over, family);

      const drain = await sockets(lab, pod, "drain", { port, count: 1, family }).ready();
      const probe = sockets(lab, client, "probe", { address, port, lengths });
      expect(await probe.event("discovered")).toEqual(found);
      expect(await drain.event("drained")).toMatchObject(arrived);
      await drain.end();
      // Where it leaves we say so ourselves; else the kernel that forwards does, of a carrier.
      const ours = place !== AT_GATEWAYS_INGRESS;
      const [reported, turned] = ours ? [index + 1, 0] : [0, index + 1];
      expect(await outcome(sides.near, place.out, "too_big_reported")).toBe(reported);
      expect(await outcome(sides.near, place.back, "error_unfunneled")).toBe(turned);

      // The same for what the pod answers.
      const back = await sockets(lab, pod, "probeBack", { port, lengths, family }).ready();
      const greet = sockets(lab, client, "greet", { address, port, count: 1 });
      expect(await back.event("discovered")).toEqual(found);
      expect(await greet.event("drained")).toMatchObject(arrived);
      expect(await outcome(sides.far, "egress", "too_big_reported")).toBe(index + 1);

      forgetPaths(lab, hosts);
    }
  });

  it.each(PLACES.filter((place) => place !== AT_GATEWAYS_INGRESS))(
    "without it, what does not fit is lost and counted over IPv4, funneled $title",
    async (place) => {
      using lab = new Lab();
      const hosts = bulkLab(lab);
      const { pod, client, address } = hosts;
      await using sides = await Sides.attach(hosts, place, ALL_FLOWS);
      for (const [index, over] of OVER.entries()) {
        const port = PORTS[over];
        const fits = LARGEST.IPv4 - CARRIER_SIZE[over];
        const drain = await sockets(lab, pod, "drain", { port, count: 1 }).ready();
        const lengths = [LARGEST.IPv4, fits + 1, fits];
        await sockets(lab, client, "fragmentable", { address, port, lengths }).end();
        expect(await drain.event("drained")).toMatchObject({ seen: [[2, fits]] });
        expect(await outcome(sides.near, place.out, "too_big")).toBe(2 * (index + 1));
      }
      expect(await outcome(sides.near, place.out, "too_big_reported")).toBe(0);
    },
  );
});
