/**
 * What is on the wire between the two sides: the service port alone, a mark in each SYN and its
 * confirmation, and otherwise what would be there without them, super-packets included.
 */
import { describe, expect, it } from "vitest";
import { FAMILIES, IP_HEADER } from "../support/family.ts";
import { expectTransfers } from "../support/http.ts";
import { eventually } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import {
  onClient,
  onGateway,
  podIn,
  SERVICE,
  threeHosts,
  useSides,
  WANTED,
} from "../support/translating.ts";
import { markFor, segments, synAcksOf, synsOf } from "../support/translating-wire.ts";

const MTU = 1500;
const TCP_HEADER = 20;
/** So much that there are super-packets, and so little that a capture has room for all frames. */
const LENGTH = 1_500_000;

const ON = { offload: "on", checksum: "seed", longest: "more" } as const;
const OFF = { offload: "off", checksum: "right", longest: "full" } as const;

/** A gateway is of interest where what it forwards differs from what it would send itself. */
const PLACES = [
  { title: "on the client, at egress", near: onClient, offloads: [ON, OFF] },
  { title: "on a gateway, at ingress", near: onGateway, offloads: [OFF] },
] as const;

describe.skipIf(skipReason).each(PLACES)(
  titled("the wire, translated $title"),
  ({ near, offloads }) => {
    const shared = useSides(threeHosts, near);

    describe.each(FAMILIES)("%s", (family) => {
      const address = podIn(family);

      it.each(offloads)("with offloads $offload", async ({ offload, checksum, longest }) => {
        const { lab, hosts, sides } = shared();
        for (const host of [hosts.client, hosts.pod]) {
          // Without them the stack itself completes sums and cuts up what leaves the device.
          lab.run(host, "ethtool", "-K", "eth0", "tx", offload, "tso", offload);
        }
        await sides.begin();
        const wire = await lab.capture(hosts.gateway, "pods", [family]);
        await expectTransfers(lab, hosts.pod, hosts.client, address, WANTED, [
          { direction: "upload", length: LENGTH },
          { direction: "download", length: LENGTH },
        ]);
        // Nothing was cut up by us: what is counted as translated is all that there is.
        await sides.expectAllTranslated({ cutUp: longest === "full" });
        const { near } = sides;
        const passed = async () =>
          ((await near.counted("out")).funneled ?? 0) +
          ((await near.counted("back")).reply_unfunneled ?? 0);
        if (longest === "more") await wire.atLeast(await passed());
        else await eventually(() => synsOf(segments(wire.frames)).length === 2);
        const all = segments(await wire.stop());

        const ports = all.map(({ sport, dport }) => [sport, dport].includes(SERVICE));
        expect(new Set(ports)).toEqual(new Set([true]));
        expect(all.some(({ sport, dport }) => [sport, dport].includes(WANTED))).toBe(false);
        const found = new Set(all.map(({ checksum }) => checksum));
        // What answers for a socket that is no more sums up itself.
        if (checksum === "seed") found.delete("right");
        expect([...found]).toEqual([checksum]);

        // Both connections begin with a mark and are confirmed.
        const mss = MTU - IP_HEADER[family] - TCP_HEADER;
        const [syns, synAcks] = [synsOf(all), synAcksOf(all)];
        expect(syns).toHaveLength(2);
        for (const syn of syns) expect(syn).toMatchObject({ ...markFor(WANTED), mss });
        expect(synAcks).toHaveLength(2);
        for (const synAck of synAcks) expect(synAck).toMatchObject({ urgent: WANTED, mss });
        // No other segment shows anything of it.
        const others = all.filter((one) => !syns.includes(one) && !synAcks.includes(one));
        expect(new Set(others.map(({ urgent }) => urgent))).toEqual(new Set([0]));

        for (const way of ["sport", "dport"] as const) {
          const ofWay = all.filter((segment) => segment[way] === SERVICE);
          const most = Math.max(...ofWay.map(({ length }) => length));
          if (longest === "full") expect(most).toBe(MTU);
          else expect(most).toBeGreaterThan(8 * MTU);
        }
      });
    });
  },
);
