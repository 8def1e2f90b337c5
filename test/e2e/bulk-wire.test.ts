/** What is on the wire while traffic in bulk is funneled: whole carriers, no longer than the MTU. */
import { describe, expect, it } from "vitest";
import {
  ALL_FLOWS,
  type BulkLab,
  bulkLab,
  isCarrier,
  ON_CLIENT,
  outcome,
  PLACES,
  PORTS,
  Sides,
  seenIn,
} from "../support/bulk.ts";
import { expectTransfers } from "../support/http.ts";
import { iperf } from "../support/iperf.ts";
import { Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import { ALL_RIGHT, checksumStates, longestPacket, portsOf } from "../support/wire.ts";

const MTU = 1500;
/** So much that there are super-packets, and so little that a capture has room for all frames. */
const LENGTH = 1_500_000;

async function traffic(lab: Lab, hosts: BulkLab): Promise<void> {
  const { client, pod, address } = hosts;
  for (const port of Object.values(PORTS)) {
    await expectTransfers(lab, pod, client, address, port, [
      { direction: "upload", length: LENGTH },
      { direction: "download", length: LENGTH },
    ]);
    const udp = { rate: "20M", length: 1200 };
    await iperf(lab, pod, client, address, { port, bytes: "500K", udp });
  }
}

describe.skipIf(skipReason)(titled("frames of traffic in bulk"), () => {
  it("are super-packets on a veth pair, and nothing is funneled without rules", async () => {
    using lab = new Lab();
    const hosts = bulkLab(lab);
    const wire = await lab.capture(hosts.pod, "eth0");
    await traffic(lab, hosts);
    const frames = await wire.stop();
    expect(longestPacket(frames)).toBeGreaterThan(MTU);
    for (const flow of ALL_FLOWS) {
      expect(frames.some((frame) => isCarrier(frame, flow))).toBe(false);
    }
  });

  // Of IPv6 at one place alone: where things are in a frame is all that differs.
  it.each([
    ...PLACES.map((place) => ({ family: "IPv4", title: place.title, place }) as const),
    { family: "IPv6", title: ON_CLIENT.title, place: ON_CLIENT } as const,
  ])("are whole carriers of $family that fit, funneled $title", async ({ family, place }) => {
    using lab = new Lab([family]);
    const hosts = seenIn(family, bulkLab(lab));
    await using sides = await Sides.attach(hosts, place, ALL_FLOWS);
    const wires = [await lab.capture(hosts.pod, "eth0"), await lab.capture(hosts.router, "near")];
    await traffic(lab, hosts);
    await sides.expectAllFunneled();
    expect(await outcome(sides.near, place.out, "segmented")).toBeGreaterThan(0);
    expect(await outcome(sides.far, "egress", "segmented")).toBeGreaterThan(0);

    const sent = await outcome(sides.near, place.out, "funneled");
    const answered = await outcome(sides.far, "egress", "reply_funneled");
    for (const wire of wires) {
      await wire.until((frames) => frames.filter(isTransport).length === sent + answered);
      const frames = (await wire.stop()).filter(isTransport);
      expect(longestPacket(frames)).toBeLessThanOrEqual(MTU);
      let seen = 0;
      for (const flow of ALL_FLOWS) {
        const ofFlow = frames.filter((frame) => isCarrier(frame, flow));
        seen += ofFlow.length;
        expect(checksumStates(ofFlow, flow.inner)).toEqual(ALL_RIGHT[family]);
        // Full ones among them: nobody made room by sending less than fits.
        if (flow.inner === "tcp") expect(longestPacket(ofFlow)).toBe(MTU);
      }
      expect(seen).toBe(frames.length);
    }
  });
});

/** No ICMP, that is. */
function isTransport(frame: Uint8Array): boolean {
  return portsOf(frame) !== undefined;
}
