/**
 * Much at a time, with nothing tuned: both ways at once, under either congestion control, and what a
 * client still hears when it has said that nothing more comes.
 */
import { describe, expect, it } from "vitest";
import { type BulkLab, bulkLab } from "../support/bulk.ts";
import { FAMILIES, inFamily } from "../support/family.ts";
import { expectTransfers, type Transfer } from "../support/http.ts";
import { skipReason, titled } from "../support/native.ts";
import { SERVICE, type Stand, useSides, WANTED } from "../support/translating.ts";

const MB = 1_000_000;

const PLACES = [
  {
    title: "on the client",
    near: ({ client }: BulkLab): Stand => ({ host: client, device: "eth0", out: "egress" }),
    merging: false,
  },
  {
    title: "at a gateway's egress",
    near: ({ gateway }: BulkLab): Stand => ({ host: gateway, device: "uplink", out: "egress" }),
    merging: false,
  },
  {
    title: "at the ingress of a gateway that merges what it receives",
    near: ({ gateway }: BulkLab): Stand => ({ host: gateway, device: "clients", out: "ingress" }),
    merging: true,
  },
] as const;

const BOTH: readonly Transfer[] = [
  { direction: "upload", length: 20 * MB },
  { direction: "download", length: 20 * MB },
];

describe.skipIf(skipReason).each(PLACES)(
  titled("in bulk, translated $title"),
  ({ near, merging }) => {
    const shared = useSides((lab) => bulkLab(lab, { merging }), near);

    it.each(["cubic", "bbr"])("both ways at once with %s", async (congestion) => {
      const { lab, hosts, sides } = shared();
      const { client, pod } = hosts;
      // What a namespace may choose for all of its sockets is not all that there is.
      const gateways = [
        { host: client, via: "10.1.0.1" },
        { host: pod, via: "10.2.0.254" },
      ];
      for (const { host, via } of gateways) {
        lab.ip(host, "route", "replace", "default", "via", via, "congctl", congestion);
      }
      await sides.begin();
      await expectTransfers(lab, pod, client, hosts.address, WANTED, BOTH);
      // Super-packets too were but given other ports: none was cut up.
      await sides.expectAllTranslated();
      const { near } = sides;
      const { out } = await sides.counts();
      const { bytes, packets } = (await near.end.funnel.stats())[near.stand.out].outcomes.funneled;
      expect(out.funneled).toBeGreaterThan(0);
      expect(bytes / packets).toBeGreaterThan(1500);
    });

    // What follows does not depend on the place.
    if (near !== PLACES[0].near) return;

    it.each(FAMILIES)("where one way is closed before the other: %s", async (family) => {
      const { hosts, sides, talk } = shared();
      await sides.begin();
      const { client } = await talk();
      const address = inFamily(family, hosts.address);
      for (const port of [WANTED, SERVICE]) {
        await client.open({ key: `${port}`, address, port });
        // Nothing is answered before the end of the stream.
        const poured = await client.pour(`${port}`, 2 * MB);
        expect(await client.finish(`${port}`)).toEqual(poured);
      }
      expect(await sides.near.connections()).toMatchObject({ added: 2, remapped: 0 });
    });
  },
);
