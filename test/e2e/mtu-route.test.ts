/** A route with an MTU of its own, smaller than the device's: what leaves through it fits it. */
import { describe, expect, it } from "vitest";
import {
  AT_GATEWAYS_INGRESS,
  bulkLab,
  flowsOver,
  forgetPaths,
  longestPacket,
  ON_CLIENT,
  PLACES,
  type Place,
  PORTS,
  packetLength,
  Sides,
  sockets,
} from "../support/bulk.ts";
import { expectTransfers } from "../support/http.ts";
import { Lab } from "../support/lab.ts";
import { advertisedInCarriers } from "../support/mss.ts";
import { skipReason, titled } from "../support/native.ts";

const ROUTE = 1400;
const CARRIER = 20;
const MB = 1_000_000;

function narrowRoute(lab: Lab, hosts: ReturnType<typeof bulkLab>, place: Place): void {
  const via = place === ON_CLIENT ? "10.1.0.1" : "172.16.5.1";
  const route = ["route", "replace", "default", "via", via, "mtu", `${ROUTE}`];
  lab.ip(hosts[place.host], ...route);
}

describe.skipIf(skipReason)(titled("a route with an MTU"), () => {
  it.each(PLACES)("is kept to by UDP and TCP, funneled $title", async (place) => {
    using lab = new Lab();
    const hosts = bulkLab(lab);
    const { pod, client, router, address } = hosts;
    narrowRoute(lab, hosts, place);
    const flows = flowsOver("tcp");
    await using _sides = await Sides.attach(hosts, place, flows);

    const fits = ROUTE - CARRIER - 28;
    const port = PORTS.tcp;
    const drain = await sockets(lab, pod, "drain", { port, count: 1 }).ready();
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
    const sent = frames.filter(fromClient);
    expect(longestPacket(sent)).toBeLessThanOrEqual(ROUTE);
    // The sender found out how much is left for it, and used that.
    expect(Math.max(...sent.map(packetLength))).toBeGreaterThan(ROUTE - 20);
    const { toServer } = advertisedInCarriers(frames, flows[0]);
    // Which way a packet will take is known where it leaves. Later ones know more.
    const mtu = place === AT_GATEWAYS_INGRESS ? 1500 : ROUTE;
    expect(toServer[0]).toBe(mtu - 40 - CARRIER);
  });
});

/** Whether the frame goes towards the pod. */
function fromClient(frame: Uint8Array): boolean {
  return frame[26] === 10 && frame[27] === 1;
}
