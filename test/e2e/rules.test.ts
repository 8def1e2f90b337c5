/** accept, drop and what cannot be funneled yet, on live traffic: nothing is lost silently. */
import { describe, expect, it } from "vitest";
import { Funnel } from "../../lib/index.ts";
import { FAMILIES, inFamily } from "../support/family.ts";
import {
  clientRules,
  counted,
  FLOW_PORT,
  outcomesMet,
  packets,
  serviceRules,
} from "../support/flows.ts";
import { eventually, type Host, IPTABLES, Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import { RECEIVING } from "../support/segmenter.ts";
import { census } from "../support/wire.ts";

const SERVER = "10.0.0.2";
const PLAIN_PORT = 9000;

function twoHosts(lab: Lab): { client: Host; server: Host } {
  const client = lab.host("client");
  const server = lab.host("server");
  lab.link(client, "eth0", "10.0.0.1/24", server, "eth0", `${SERVER}/24`);
  return { client, server };
}

const send = (lab: Lab, client: Host, port: number, options: object = {}) =>
  lab.endpoint(client, "udpSend", { address: SERVER, port, echo: false, ...options });

/** A receiver of what is dropped, and one of what is sent behind it and must arrive. */
async function receivers(lab: Lab, server: Host) {
  const [flow, marker] = [FLOW_PORT, PLAIN_PORT].map((port) =>
    lab.endpoint(server, "udpEcho", { address: SERVER, port, silent: true }),
  );
  if (!flow || !marker) throw new Error("unreachable");
  await Promise.all([flow.ready(), marker.ready()]);
  return { flow, marker };
}

describe.skipIf(skipReason)(titled("rules on live traffic"), () => {
  it.each(["egress", "ingress"] as const)("drop at %s", async (direction) => {
    using lab = new Lab();
    const { client, server } = twoHosts(lab);
    const { flow, marker } = await receivers(lab, server);
    await using funnel = await Funnel.load({ [direction]: "udp dport 2055 actions drop" });
    const host = direction === "egress" ? client : server;
    await funnel.attach("eth0", { netns: host.netns });

    await send(lab, client, FLOW_PORT, { count: 5 }).end();
    await send(lab, client, PLAIN_PORT).end();
    await marker.event("datagram");
    expect(flow.events("datagram")).toEqual([]);
    expect(await packets(funnel, direction, "dropped")).toBe(5);
    expect((await funnel.stats())[direction].rules).toMatchObject([{ packets: 5 }]);

    // It was the rule.
    await funnel.replace({});
    await send(lab, client, FLOW_PORT).end();
    await flow.event("datagram");
  });

  it("accept, in front of a rule that funnels", async () => {
    using lab = new Lab();
    const { client, server } = twoHosts(lab);
    const { flow } = await receivers(lab, server);
    // Someone serves the carriers' port too: no refusal of it comes back.
    await lab.endpoint(server, "udpEcho", { address: SERVER, port: 179, silent: true }).ready();
    const wire = await lab.capture(server, "eth0");
    await using funnel = await Funnel.load({
      egress: `udp dport 2055 sport 1000-1999 actions accept
               udp dport 2055 actions funnel udp dport 179 sport 540`,
    });
    await funnel.attach("eth0", { netns: client.netns });
    await send(lab, client, FLOW_PORT, { from: 1500, count: 4 }).end();
    await send(lab, client, FLOW_PORT, { from: 2500, count: 3 }).end();
    await eventually(() => flow.events("datagram").length >= 4);
    await wire.atLeast(7);
    expect(census(await wire.stop())).toEqual({ "udp 1500>2055": 4, "udp 540>179": 3 });
    expect(flow.events("datagram")).toHaveLength(4);
    const { rules } = (await funnel.stats()).egress;
    expect(rules.map((rule) => rule.packets)).toEqual([4, 3]);
    expect(await outcomesMet(funnel, "egress")).toEqual(["accepted", "funneled"]);
  });

  it.each(["tcp", "udp"] as const)(
    "tells the sender of what would not fit over %s",
    async (over) => {
      using lab = new Lab();
      const { client, server } = twoHosts(lab);
      await lab.endpoint(server, "udpEcho", { address: SERVER, port: 179, silent: true }).ready();
      const wire = await lab.capture(server, "eth0");
      await using funnel = await Funnel.load({ egress: clientRules({ inner: "udp", over }).out });
      await funnel.attach("eth0", { netns: client.netns });
      const overhead = over === "tcp" ? 20 : 8;
      const longest = 1500 - 20 - overhead - 8;
      for (const length of [longest, longest + 1, 1472]) {
        await send(lab, client, FLOW_PORT, { length }).end();
      }
      // The second is answered; the sender makes fragments of the third, which are not funneled.
      expect(await packets(funnel, "egress", "too_big_reported")).toBe(1);
      expect(await packets(funnel, "egress", "fragment")).toBe(2);
      expect(await packets(funnel, "egress", "funneled")).toBe(1);
      await wire.until((frames) => frames.some((frame) => frame[23] === (over === "tcp" ? 6 : 17)));
      const lengths = (await wire.stop()).map((frame) => frame.length);
      expect(Math.max(...lengths)).toBe(14 + 1500);
    },
  );

  it.each(FAMILIES)(
    "counts each packet of bulk TCP, and each segment of it: %s",
    async (family) => {
      using lab = new Lab([family]);
      const { client, server } = twoHosts(lab);
      const address = inFamily(family, SERVER);
      const pair = { inner: "tcp", over: "tcp" } as const;
      await using near = await Funnel.load({ egress: clientRules(pair).out });
      await near.attach("eth0", { netns: client.netns });
      await using far = await Funnel.load({ ingress: serviceRules(pair).ingress });
      await far.attach("eth0", { netns: server.netns });
      // What the stack sends is counted before it gets to us, and what segments come back to us.
      const iptables = IPTABLES[family];
      lab.run(client, iptables, "-w", "-A", "OUTPUT", "-p", "tcp", "-j", "ACCEPT");
      const sent = () => {
        const rules = lab.run(client, `${iptables}-save`, "-c", "-t", "filter");
        return Number(/^\[(\d+):\d+\] -A OUTPUT -p tcp/m.exec(rules)?.[1]);
      };
      const segments = () => {
        const file = `/sys/class/net/${RECEIVING}/statistics/rx_packets`;
        return Number(lab.run(client, "cat", file));
      };
      await lab.endpoint(server, "tcpEcho", { address, port: FLOW_PORT }).ready();
      const bulk = { address, port: FLOW_PORT, length: 1_000_000 };
      const sender = lab.endpoint(client, "tcpSend", bulk);
      await sender.end();
      expect(sender.events("echo")).toMatchObject([{ length: bulk.length }]);

      // Every segment arrived, and nothing else was on its way through the segmenter.
      await eventually(
        async () =>
          (await packets(far, "ingress", "unfunneled")) ===
          (await packets(near, "egress", "funneled")),
      );
      expect(Object.keys(await counted(near, "ingress"))).toEqual(["reply_unfunneled"]);
      const { funneled = 0, segmented = 0, ...others } = await counted(near, "egress");
      expect(others).toEqual({});
      expect(segmented).toBeGreaterThan(0);
      // A packet is counted each time that it comes by: as the stack sends it, and as a segment.
      expect(funneled + segmented).toBe(sent() + segments());
    },
  );
});
