/** Bodies over HTTP, byte for byte, both ways, with nothing tuned. */
import { describe, expect, it } from "vitest";
import {
  bulkLab,
  flowsOver,
  IN_FRONT_OF_PODS,
  ON_CLIENT,
  outcome,
  PLACES,
  PORTS,
  Sides,
  seenIn,
} from "../support/bulk.ts";
import { FAMILIES } from "../support/family.ts";
import { expectTransfers, type Transfer } from "../support/http.ts";
import { Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";

const MB = 1_000_000;
const CONNECTIONS = 64;

const both = (length: number): Transfer[] => [
  { direction: "upload", length },
  { direction: "download", length },
];

/** Some up, some down; of the lengths none is like another. */
const many = Array.from(
  { length: CONNECTIONS },
  (_, index): Transfer => ({
    direction: index % 2 === 0 ? "upload" : "download",
    length: 200_000 + index * 1777,
  }),
);

describe.skipIf(skipReason)(titled("HTTP"), () => {
  it("transfers where nothing is funneled", async () => {
    using lab = new Lab();
    const { pod, client, address } = bulkLab(lab);
    await expectTransfers(lab, pod, client, address, PORTS.tcp, both(20 * MB));
  });

  it.each(PLACES)("transfers over TCP, funneled $title", async (place) => {
    using lab = new Lab(FAMILIES);
    const hosts = bulkLab(lab);
    await using sides = await Sides.attach(hosts, place, flowsOver("tcp"));
    const { pod, client, address } = hosts;
    const length = place === ON_CLIENT ? 100 * MB : 20 * MB;
    await expectTransfers(lab, pod, client, address, PORTS.tcp, both(length));
    await expectTransfers(lab, pod, client, address, PORTS.tcp, many);
    const overIpv6 = seenIn("IPv6", hosts).address;
    await expectTransfers(lab, pod, client, overIpv6, PORTS.tcp, both(10 * MB));
    await sides.expectAllFunneled();
  });

  it.each(IN_FRONT_OF_PODS)("transfers over TCP, unfunneled $title", async (farPlace) => {
    using lab = new Lab(FAMILIES);
    const hosts = bulkLab(lab);
    await using sides = await Sides.attach(hosts, ON_CLIENT, flowsOver("tcp"), farPlace);
    const { pod, client } = hosts;
    for (const family of FAMILIES) {
      const { address } = seenIn(family, hosts);
      await expectTransfers(lab, pod, client, address, PORTS.tcp, both(10 * MB));
    }
    await sides.expectAllFunneled();
    // What the node forwards of the pod's answers comes to it as the pod's stack left it.
    expect(await outcome(sides.far, farPlace.back, "segmented")).toBeGreaterThan(0);
  });
});
