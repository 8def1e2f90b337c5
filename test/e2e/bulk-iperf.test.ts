/**
 * iperf3 with nothing tuned: TCP under two congestion controls, both ways, and UDP, funneled on the
 * client itself or on a gateway that forwards for it.
 */
import { describe, expect, it } from "vitest";
import {
  type BulkLab,
  bulkLab,
  counter,
  flowsOver,
  outcome,
  PLACES,
  PORTS,
  Sides,
} from "../support/bulk.ts";
import { iperf } from "../support/iperf.ts";
import { Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";

const BYTES = 20 * 1024 * 1024;

/** One connection in bulk, to its end. */
async function tcpInBulk(
  lab: Lab,
  { client, pod, address }: BulkLab,
  way: { readonly congestion: "cubic" | "bbr"; readonly reverse: boolean },
): Promise<void> {
  const options = { port: PORTS.tcp, bytes: `${BYTES}`, ...way };
  const { sentBytes, receivedBytes } = await iperf(lab, pod, client, address, options);
  // iperf3 ends when the last byte is written, and does not wait for what is in buffers and on its
  // way, which on a busy machine is most of it; that everything arrives is for the tests over HTTP to say.
  expect(sentBytes).toBeGreaterThanOrEqual(BYTES);
  expect(receivedBytes).toBeGreaterThan(0);
}

/** Datagrams at a rate that everything here can follow: none is lost, none overtakes another. */
async function udpInBulk(lab: Lab, { client, pod, address }: BulkLab) {
  const full = counter(lab, pod, "Udp", "RcvbufErrors");
  const result = await iperf(lab, pod, client, address, {
    port: PORTS.tcp,
    bytes: "4M",
    udp: { rate: "60M", length: 1200 },
  });
  expect(result.packets).toBeGreaterThan(3000);
  // A busy machine may let the receiving program wait for longer than its socket has room for. What
  // is lost of the very end, iperf3 does not count: no datagram follows that would show the gap.
  expect(result.lost).toBeLessThanOrEqual(counter(lab, pod, "Udp", "RcvbufErrors") - full);
  expect(result.outOfOrder).toBe(0);
}

const WAYS = (["cubic", "bbr"] as const).flatMap((congestion) =>
  [false, true].map((reverse) => ({ congestion, reverse })),
);

describe.skipIf(skipReason)(titled("iperf3"), () => {
  it("runs where nothing is funneled", async () => {
    using lab = new Lab();
    const hosts = bulkLab(lab);
    for (const way of WAYS) await tcpInBulk(lab, hosts, way);
    await udpInBulk(lab, hosts);
  });

  it.each(PLACES)("runs over TCP, funneled $title", async (place) => {
    using lab = new Lab();
    const hosts = bulkLab(lab);
    await using sides = await Sides.attach(hosts, place, flowsOver("tcp"));
    for (const way of WAYS) await tcpInBulk(lab, hosts, way);
    await udpInBulk(lab, hosts);
    await sides.expectAllFunneled();
    expect(await outcome(sides.near, place.out, "segmented")).toBeGreaterThan(0);
  });
});
