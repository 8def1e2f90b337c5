/** What is on the wire while traffic in bulk is funneled: whole carriers, no longer than the MTU. */
import { describe, expect, it } from "vitest";
import {
  ALL_FLOWS,
  type BulkLab,
  bulkLab,
  isCarrier,
  longestPacket,
  outcome,
  PLACES,
  PORTS,
  Sides,
} from "../support/bulk.ts";
import { checksumStates } from "../support/flows.ts";
import { expectTransfers } from "../support/http.ts";
import { iperf } from "../support/iperf.ts";
import { Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";

const MTU = 1500;
/** So much that there are super-packets, and so little that a capture has room for all frames. */
const LENGTH = 1_500_000;

async function traffic(lab: Lab, { client, pod, address }: BulkLab): Promise<void> {
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

  it.each(PLACES)("are whole carriers that fit, funneled $title", async (place) => {
    using lab = new Lab();
    const hosts = bulkLab(lab);
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
        expect(checksumStates(ofFlow, flow.inner)).toEqual(["right right right"]);
        // Full ones among them: nobody made room by sending less than fits.
        if (flow.inner === "tcp") expect(longestPacket(ofFlow)).toBe(MTU);
      }
      expect(seen).toBe(frames.length);
    }
  });
});

/** No ICMP, that is. */
function isTransport(frame: Uint8Array): boolean {
  return frame[23] === 6 || frame[23] === 17;
}
