/** A route with an MTU of its own, smaller than the device's: what leaves through it fits it. */
import { describe, expect, it } from "vitest";
import {
  AT_GATEWAYS_INGRESS,
  bulkLab,
  CLIENT,
  flowsOver,
  forgetPaths,
  ON_CLIENT,
  PLACES,
  type Place,
  PORTS,
  Sides,
  seenIn,
} from "../support/bulk.ts";
import { IP_HEADER, inFamily } from "../support/family.ts";
import { expectTransfers } from "../support/http.ts";
import { Lab } from "../support/lab.ts";
import { advertisedInCarriers } from "../support/mss.ts";
import { skipReason, titled } from "../support/native.ts";
import { address as addressBytes, hex } from "../support/packet.ts";
import { sockets } from "../support/sockets.ts";
import { ipHeader, longestPacket, packetLength } from "../support/wire.ts";

const ROUTE = 1400;
const CARRIER = 20;
const MB = 1_000_000;

function narrowRoute(lab: Lab, hosts: ReturnType<typeof bulkLab>, place: Place): void {
  const via = inFamily(hosts.family, place === ON_CLIENT ? "10.1.0.1" : "172.16.5.1");
  const route = ["route", "replace", "default", "via", via, "mtu", `${ROUTE}`];
  lab.ip(hosts[place.host], ...route);
}

/** Whose route it is: of IPv6 at one place alone. */
const CASES = [
  ...PLACES.map((place) => ({ family: "IPv4", title: place.title, place }) as const),
  { family: "IPv6", title: ON_CLIENT.title, place: ON_CLIENT } as const,
];

describe.skipIf(skipReason)(titled("a route with an MTU"), () => {
  it.each(CASES)("of $family is kept to by UDP and TCP, funneled $title", async (row) => {
    const { family, place } = row;
    using lab = new Lab([family]);
    const hosts = seenIn(family, bulkLab(lab));
    const { pod, client, router, address } = hosts;
    narrowRoute(lab, hosts, place);
    const flows = flowsOver("tcp");
    await using _sides = await Sides.attach(hosts, place, flows);

    const fits = ROUTE - CARRIER - IP_HEADER[family] - 8;
    const port = PORTS.tcp;
    const drain = await sockets(lab, pod, "drain", { port, count: 1, family }).ready();
    const lengths = [fits + 1, fits + 1, fits];
    const probe = sockets(lab, client, "probe", { address, port, lengths });
    expect(await probe.event("discovered")).toMatchObject({
      after: ROUTE - CARRIER,
      pending: "EMSGSIZE",
      errors: ["EMSGSIZE", null],
    });
    expect(await drain.event("drained")).toMatchObject({ seen: [[2, fits]] });

    forgetPaths(lab, hosts);
    const wire = await lab.capture(router, "near");
    for (const direction of ["upload", "download"] as const) {
      await expectTransfers(lab, pod, client, address, PORTS.tcp, [{ direction, length: 2 * MB }]);
    }
    const frames = await wire.stop();
    const ofClient = hex(addressBytes(inFamily(family, CLIENT)));
    const sent = frames.filter((frame) => ipHeader(frame)?.source === ofClient);
    expect(longestPacket(sent)).toBeLessThanOrEqual(ROUTE);
    // The sender found out how much is left for it, and used that.
    expect(Math.max(...sent.map(packetLength))).toBeGreaterThan(ROUTE - 20);
    const { toServer } = advertisedInCarriers(frames, flows[0]);
    // Which way a packet will take is known where it leaves. Later ones know more.
    const mtu = place === AT_GATEWAYS_INGRESS ? 1500 : ROUTE;
    expect(toServer[0]).toBe(mtu - IP_HEADER[family] - 20 - CARRIER);
  });
});
