/**
 * NAT on the way: a masquerade at the client's end and a load balancer's DNAT at the service's,
 * both of which drop what conntrack finds INVALID. They fix the carrier and cannot know of what
 * it holds, so every checksum is looked at behind them.
 */
import { describe, expect, it } from "vitest";
import { expectCarriers, useEnds } from "../support/ends.ts";
import { FAMILIES, type Family, inFamily } from "../support/family.ts";
import {
  exchange,
  FLOW_PORT,
  MESSAGES,
  ownPort,
  PAIRS,
  type Pair,
  SERVICE_PORT,
  serviceRules,
} from "../support/flows.ts";
import { type Host, IPTABLES, type Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import { address, hex } from "../support/packet.ts";
import { sockets } from "../support/sockets.ts";
import { serve, talk } from "../support/talk.ts";
import { ALL_RIGHT, census, checksumStates, ipHeader } from "../support/wire.ts";

// Addresses whose sums differ: an inner checksum that was made for the wrong ones shows.
const CLIENT = "10.1.0.77";
const MASQUERADE = "172.16.5.2";
const SERVICE = "203.0.113.10";
const SERVER = "10.2.0.1";

interface NatLab {
  readonly client: Host;
  readonly gateway: Host;
  readonly balancer: Host;
  readonly server: Host;
}

/** client - masquerading gateway - balancer with the service's address - server */
function natLab(lab: Lab): NatLab {
  const client = lab.host("client");
  const gateway = lab.router("gateway");
  const balancer = lab.router("balancer");
  const server = lab.host("server");
  lab.link(client, "eth0", `${CLIENT}/24`, gateway, "inside", "10.1.0.1/24");
  lab.link(gateway, "outside", `${MASQUERADE}/24`, balancer, "outside", "172.16.5.1/24");
  lab.link(balancer, "inside", "10.2.0.254/24", server, "eth0", `${SERVER}/24`);
  lab.route(client, "10.1.0.1");
  lab.route(gateway, "172.16.5.1");
  lab.route(server, "10.2.0.254");
  for (const family of lab.families) {
    const iptables = (host: Host, ...args: string[]) =>
      lab.run(host, IPTABLES[family], "-w", ...args);
    iptables(gateway, "-t", "nat", "-A", "POSTROUTING", "-o", "outside", "-j", "MASQUERADE");
    // The service has the carriers' port, and it is not the flows'.
    for (const transport of ["tcp", "udp"]) {
      iptables(
        balancer,
        ...["-t", "nat", "-A", "PREROUTING", "-d", inFamily(family, SERVICE), "-p", transport],
        ...["--dport", `${SERVICE_PORT}`, "-j", "DNAT"],
        ...["--to-destination", inFamily(family, SERVER)],
      );
    }
    for (const router of [gateway, balancer]) {
      const invalid = ["-m", "conntrack", "--ctstate", "INVALID", "-j", "DROP"];
      iptables(router, "-A", "FORWARD", ...invalid);
    }
  }
  return { client, gateway, balancer, server };
}

/** Packets that the balancer and the gateway dropped as INVALID. */
function invalidPackets(lab: Lab, { gateway, balancer }: NatLab, family: Family): number {
  return [gateway, balancer].reduce((sum, router) => {
    const rules = lab.run(router, `${IPTABLES[family]}-save`, "-c", "-t", "filter");
    const [, count] = /^\[(\d+):\d+\] -A FORWARD .*INVALID/m.exec(rules) ?? [];
    if (count === undefined) throw new Error(`no such rule:\n${rules}`);
    return sum + Number(count);
  }, 0);
}

describe.skipIf(skipReason)(titled("NAT between the two sides"), () => {
  const shared = useEnds((lab) => {
    const hosts = natLab(lab);
    const { client, server } = hosts;
    return { hosts, near: { host: client, device: "eth0", out: "egress" }, server };
  });

  describe.each(FAMILIES)("%s", (family) => {
    const [service, server] = [inFamily(family, SERVICE), inFamily(family, SERVER)];
    const masquerade = inFamily(family, MASQUERADE);

    it.each(PAIRS)("$inner over $over", async (pair) => {
      const { lab, hosts, ends } = shared();
      await ends.begin(pair);
      const atServer = await lab.capture(hosts.server, "eth0", [family]);
      const atClient = await lab.capture(hosts.client, "eth0", [family]);
      const between = [hosts.client, hosts.server] as const;
      await exchange(lab, between, pair, { address: service, length: 77, from: ownPort(pair) });

      const { out, back } = await ends.expectAllFunneled();
      for (const capture of [atServer, atClient]) {
        await expectCarriers(capture, family, pair, { out, back });
      }
      // Both NATs had their hands on them: what arrives shows neither address that was sent.
      const bytes = [masquerade, server].map((text) => hex(address(text)));
      expect(new Set(atServer.frames.map((frame) => ipHeader(frame)?.source))).toEqual(
        new Set(bytes),
      );
      expect(new Set(atServer.frames.map((frame) => ipHeader(frame)?.destination))).toEqual(
        new Set(bytes),
      );
      expect(invalidPackets(lab, hosts, family)).toBe(0);
    });

    it.each(["tcp", "udp"] as const)("the flow's own port, kept over %s", async (over) => {
      const { lab, hosts, ends } = shared();
      const pair: Pair = { inner: "udp", over };
      const { ingress } = serviceRules(pair);
      const egress = `udp dport ${FLOW_PORT} actions funnel ${over} dport ${SERVICE_PORT} sport keep`;
      await Promise.all([ends.near.begin({ egress }), ends.far.begin({ ingress })]);
      const wire = await lab.capture(hosts.server, "eth0", [family]);
      await serve(lab, hosts.server, "udp", { port: FLOW_PORT, family });
      const ports = [100, 200].map((distance) => ownPort(pair) + distance);
      for (const senderPort of ports) {
        const peer = { address: service, port: FLOW_PORT, from: senderPort };
        const talking = await talk(lab, hosts.client, "udp", peer);
        const text = `from ${senderPort}`;
        expect(await talking.ask(text)).toEqual({ text, sender: masquerade, senderPort });
      }
      await wire.atLeast(2 * ports.length);
      const frames = await wire.stop();
      const seen = ports.flatMap((port) => [`${over} ${port}>179`, `${over} 179>${port}`]);
      expect(census(frames)).toEqual(Object.fromEntries(seen.map((shown) => [shown, 1])));
      expect(checksumStates(frames, "udp")).toEqual(ALL_RIGHT[family]);
      expect(invalidPackets(lab, hosts, family)).toBe(0);
    });

    it("does not let the flow itself through", async () => {
      const { lab, hosts, ends } = shared();
      // No DNAT for its port and no rule: the balancer has nobody to give it to.
      await ends.near.begin({});
      const options = { address: service, port: FLOW_PORT, count: 1, echo: false };
      const wire = await lab.capture(hosts.gateway, "outside", [family]);
      await lab.endpoint(hosts.client, "udpSend", options).end();
      await wire.atLeast(1);
      // The balancer may refuse it; nothing else passes.
      const packets = (await wire.stop()).filter((frame) => ipHeader(frame)?.protocol === 17);
      expect(Object.keys(census(packets))).toEqual([expect.stringMatching(/^udp \d+>2055$/)]);
    });

    it.each(["tcp", "udp"] as const)("UDP without a checksum over %s", async (over) => {
      const { lab, hosts, ends } = shared();
      const pair: Pair = { inner: "udp", over };
      await ends.begin(pair);
      const wire = await lab.capture(hosts.server, "eth0", [family]);
      const options = { address: server, port: FLOW_PORT, count: MESSAGES, unsummed: true };
      const drain = await sockets(lab, hosts.server, "drain", options).ready();

      const lengths = Array.from({ length: MESSAGES }, (_, index) => 4 + index * 61);
      const sent = {
        address: service,
        port: FLOW_PORT,
        from: ownPort(pair) + 300,
        lengths,
        unsummed: true,
      };
      await sockets(lab, hosts.client, "fragmentable", sent).end();
      const { seen } = await drain.event("drained");
      expect(seen).toEqual(lengths.map((length, number) => [number, length]));

      await wire.atLeast(MESSAGES);
      const frames = await wire.stop();
      expect(census(frames)).toEqual({ [`${over} 540>179`]: MESSAGES });
      // The carrier has one all the same, over a payload that nobody else has summed.
      const states = { IPv4: ["right right none"], IPv6: ["right none"] };
      expect(checksumStates(frames, "udp")).toEqual(states[family]);
    });
  });
});
