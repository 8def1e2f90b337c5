/**
 * A hop on the way whose MTU is smaller: its errors quote the service port, and reach the sender as
 * errors about its own connection. So transfers go on, in either direction, at the size that fits.
 */
import { describe, expect, it } from "vitest";
import { bulkLab, CLIENT, forgetPaths, POD, seenIn, setMtu } from "../support/bulk.ts";
import { FAMILIES, inFamily } from "../support/family.ts";
import { expectTransfers } from "../support/http.ts";
import type { Host, Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import { type Stand, useSides, WANTED } from "../support/translating.ts";

const NARROW = 1400;
const LENGTH = 3_000_000;

/** client - gateway - router - node - pod, narrow between router and node. */
function narrowLab(lab: Lab) {
  const hosts = bulkLab(lab);
  setMtu(lab, hosts.router, "far", NARROW);
  setMtu(lab, hosts.node, "uplink", NARROW);
  return hosts;
}

type Hosts = ReturnType<typeof narrowLab>;

const PLACES = [
  {
    title: "on the client",
    families: FAMILIES,
    near: ({ client }: Hosts): Stand => ({ host: client, device: "eth0", out: "egress" }),
  },
  {
    title: "at a gateway's ingress",
    families: ["IPv4"] as const,
    near: ({ gateway }: Hosts): Stand => ({ host: gateway, device: "clients", out: "ingress" }),
  },
] as const;

describe.skipIf(skipReason).each(PLACES)(titled("a narrow hop, translated $title"), (place) => {
  const shared = useSides(narrowLab, place.near);

  /** What a host has learned of the path to an address. */
  function learned(host: Host, address: string): string | undefined {
    const [, mtu] = /\bmtu (\d+)/.exec(shared().lab.ip(host, "route", "get", address)) ?? [];
    return mtu;
  }

  describe.each(place.families)("%s", (family) => {
    it.each(["upload", "download"] as const)("%s", async (direction) => {
      const { lab, hosts: inBoth, sides } = shared();
      const hosts = seenIn(family, inBoth);
      forgetPaths(lab, hosts);
      await sides.begin();
      const { client, pod, address } = hosts;
      expect(learned(client, address)).toBeUndefined();
      await expectTransfers(lab, pod, client, address, WANTED, [{ direction, length: LENGTH }]);

      const { out, arrived, answered, back } = await sides.counts();
      const errors = { error_unfunneled: expect.any(Number) };
      const [ofClient, ofPod] = direction === "upload" ? [errors, {}] : [{}, errors];
      const some = expect.any(Number);
      expect({ out, arrived, answered, back }).toEqual({
        out: { funneled: some },
        arrived: { unfunneled: some, ...ofPod },
        answered: { reply_funneled: some },
        back: { reply_unfunneled: some, ...ofClient },
      });
      const [sender, receiver] = direction === "upload" ? [client, POD] : [pod, CLIENT];
      expect(learned(sender, inFamily(family, receiver))).toBe(`${NARROW}`);
    });
  });
});
