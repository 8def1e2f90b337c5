/**
 * A gateway that funnels for clients which know nothing of it, at the egress of its interface to
 * the service or at the ingress of the one to its clients. What it forwards comes as the clients'
 * stacks left it, checksums unfinished.
 */
import { describe, expect, it } from "vitest";
import { expectCarriers, useEnds } from "../support/ends.ts";
import { FAMILIES, inFamily } from "../support/family.ts";
import { exchange, FLOW_PORT, ownPort, PAIRS, type Pair } from "../support/flows.ts";
import { eventually } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import { ipv4, ipv6, type Layer, payload, udp } from "../support/packet.ts";
import { census, checksumStates } from "../support/wire.ts";

const CLIENT = "10.1.0.77";
const SERVER = "10.2.0.1";

/** Where the gateway funnels: the same two rules, on the hooks of one or the other interface. */
const PLACES = [
  { device: "service", out: "egress" },
  { device: "clients", out: "ingress" },
] as const;

describe.skipIf(skipReason).each(PLACES)(titled("a gateway that funnels at $out"), (place) => {
  const shared = useEnds((lab) => {
    const client = lab.host("client");
    const gateway = lab.router("gateway");
    const server = lab.host("server");
    lab.link(client, "eth0", `${CLIENT}/24`, gateway, "clients", "10.1.0.1/24");
    lab.link(gateway, "service", "10.2.0.254/24", server, "eth0", `${SERVER}/24`);
    lab.route(client, "10.1.0.1");
    lab.route(server, "10.2.0.254");
    return { hosts: { client, gateway, server }, near: { host: gateway, ...place }, server };
  });

  describe.each(FAMILIES)("%s", (family) => {
    it.each(PAIRS)("$inner over $over", async (pair) => {
      const {
        lab,
        hosts: { client, server },
        ends,
      } = shared();
      await ends.begin(pair);
      const atServer = await lab.capture(server, "eth0", [family]);
      const atClient = await lab.capture(client, "eth0", [family]);
      const address = inFamily(family, SERVER);
      await exchange(lab, [client, server], pair, { address, length: 99, from: ownPort(pair) });

      const { out, back } = await ends.expectAllFunneled();
      await expectCarriers(atServer, family, pair, { out, back });

      // The client never saw a carrier.
      await atClient.atLeast(out + back);
      for (const seen of Object.keys(census(await atClient.stop()))) {
        expect(seen).toMatch(new RegExp(`^${pair.inner} (\\d+>2055|2055>\\d+)$`));
      }
    });

    // A client whose packets come with their checksums done, or with none.
    it("finished packets of udp over tcp", async () => {
      const {
        lab,
        hosts: { client, gateway, server },
        ends,
      } = shared();
      const pair: Pair = { inner: "udp", over: "tcp" };
      await ends.begin(pair);
      const address = inFamily(family, SERVER);
      const silent = { address, port: FLOW_PORT, silent: true };
      const wire = await lab.capture(server, "eth0", [family]);
      const receiver = await lab.endpoint(server, "udpEcho", silent).ready();

      const ip = {
        src: inFamily(family, CLIENT),
        dst: address,
        srcMac: lab.mac(client, "eth0"),
        dstMac: lab.mac(gateway, "clients"),
      };
      const packet = (layer: Layer) => (family === "IPv4" ? ipv4 : ipv6)(ip, layer);
      lab.sendFrames(client, "eth0", [
        packet(udp({ sport: 1000 }, payload(1))),
        packet(udp({ sport: 1001, checksum: "none" }, payload(2))),
        // Damaged on its way here: it arrives nowhere, but as it came, not mended.
        packet(udp({ sport: 1002, checksum: { wrongBy: 5 } }, payload(3))),
        packet(udp({ sport: 1003 }, payload(4))),
      ]);
      await receiver.message(({ length }) => length === 4);
      // Without our carriers, IPv6 would not take a datagram without a checksum either.
      const arrived = family === "IPv4" ? [1, 2, 4] : [1, 4];
      expect(receiver.events("datagram").map(({ length }) => length)).toEqual(arrived);
      await eventually(async () => (await ends.far.packets("ingress", "unfunneled")) === 4);
      await wire.atLeast(4);
      const states = { IPv4: "right ", IPv6: "" };
      expect(checksumStates(await wire.stop(), "udp")).toEqual(
        ["right none", "right right", "wrong wrong"].map((state) => `${states[family]}${state}`),
      );
    });
  });
});
