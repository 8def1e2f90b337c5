/** Real sockets between two namespaces: every flow over every carrier, and what the wire shows. */
import { describe, expect, it } from "vitest";
import { expectCarriers, useEnds } from "../support/ends.ts";
import { FAMILIES, inFamily } from "../support/family.ts";
import {
  clientRules,
  exchange,
  FLOW_PORT,
  MESSAGES,
  ownPort,
  PAIRS,
  type Pair,
  SERVICE_PORT,
  serviceRules,
} from "../support/flows.ts";
import { skipReason, titled } from "../support/native.ts";
import { census } from "../support/wire.ts";

const SERVER = "10.0.0.2";

describe.skipIf(skipReason)(titled("two namespaces"), () => {
  const shared = useEnds((lab) => {
    const client = lab.host("client");
    const server = lab.host("server");
    lab.link(client, "eth0", "10.0.0.1/24", server, "eth0", `${SERVER}/24`);
    return {
      hosts: { client, server },
      near: { host: client, device: "eth0", out: "egress" },
      server,
    };
  });

  describe.each(FAMILIES)("%s", (family) => {
    const address = inFamily(family, SERVER);

    it.each(PAIRS)("$inner over $over", async (pair) => {
      const {
        lab,
        hosts: { client, server },
        ends,
      } = shared();
      await ends.begin(pair);
      const wire = await lab.capture(server, "eth0", [family]);
      await exchange(lab, [client, server], pair, { address, length: 101, from: ownPort(pair) });

      const { out, back } = await ends.expectAllFunneled();
      if (pair.inner === "udp") expect([out, back]).toEqual([MESSAGES, MESSAGES]);
      await expectCarriers(wire, family, pair, { out, back });
    });

    it.each(["tcp", "udp"] as const)("%s without rules shows its own port", async (inner) => {
      const {
        lab,
        hosts: { client, server },
        ends,
      } = shared();
      await ends.near.begin({});
      await ends.far.begin({});
      const wire = await lab.capture(server, "eth0", [family]);
      await exchange(lab, [client, server], { inner, over: "tcp" }, { address, length: 101 });

      const out = await ends.near.packets("egress", "no_match");
      const back = await ends.near.packets("ingress", "no_match");
      expect(Math.min(out, back)).toBeGreaterThanOrEqual(MESSAGES);
      await wire.atLeast(out + back);
      const ports = Object.keys(census(await wire.stop()));
      expect(ports).toHaveLength(2);
      for (const port of ports) expect(port).toMatch(/^(tcp|udp) (\d+>2055|2055>\d+)$/);
    });

    it("a rule of this family leaves the other alone", async () => {
      const {
        lab,
        hosts: { client, server },
        ends,
      } = shared();
      const pair: Pair = { inner: "udp", over: "tcp" };
      const word = { IPv4: "ip", IPv6: "ip6" }[family];
      await ends.near.begin({ egress: `${word} ${clientRules(pair).out}` });
      await ends.far.begin({ ingress: `${word} ${serviceRules(pair).ingress}` });
      await exchange(lab, [client, server], pair, { address, length: 30 });
      await ends.expectAllFunneled({ replies: true });
      for (const other of FAMILIES.filter((each) => each !== family)) {
        const options = { address: inFamily(other, SERVER), length: 30 };
        await exchange(lab, [client, server], pair, options);
      }
      const counts = { funneled: MESSAGES, no_match: MESSAGES };
      expect(await ends.near.counted("egress")).toEqual(counts);
    });

    it("a datagram does not get through where the service side does not unfunnel", async () => {
      const {
        lab,
        hosts: { client, server },
        ends,
      } = shared();
      const pair: Pair = { inner: "udp", over: "udp" };
      await ends.near.begin({ egress: clientRules(pair).out });
      await ends.far.begin({});
      const flow = lab.endpoint(server, "udpEcho", { address, port: FLOW_PORT });
      const service = lab.endpoint(server, "udpEcho", { address, port: SERVICE_PORT });
      await Promise.all([flow.ready(), service.ready()]);
      const options = { address, port: FLOW_PORT, count: 1, echo: false, length: 50 };
      await lab.endpoint(client, "udpSend", options).end();
      // It is the service's program that gets the datagram, header and all.
      expect(await service.event("datagram")).toMatchObject({ length: 8 + 50, senderPort: 540 });
      expect(flow.events("datagram")).toEqual([]);
    });
  });
});
