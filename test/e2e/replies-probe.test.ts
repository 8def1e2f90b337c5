/**
 * What is not funneled leaves the pod's port as if nothing were there, while that port is
 * funneled for others: a kubelet's probe from the node, and a client without sfunnel.
 */
import { describe, expect, it } from "vitest";
import { Funnel, type Transport } from "../../lib/index.ts";
import { counted, packets } from "../support/flows.ts";
import { eventually, Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import { ipv4, payload, tcpCarrier, udp } from "../support/packet.ts";
import {
  CLIENT,
  clientAddress,
  GATEWAY,
  met,
  POD,
  routedLab,
  twoHosts,
} from "../support/reply-lab.ts";
import { pages, serve, servePages, talk } from "../support/talk.ts";
import { census } from "../support/wire.ts";

const funnelRule = (transport: Transport) =>
  `${transport} dport 8080 actions funnel tcp dport 80 sport 540`;
const unfunnelRule = (transport: Transport) =>
  `tcp dport 80 actions unfunnel ${transport} allow 8080`;
/** What a kubelet waits for an answer to its probe, unless told otherwise (timeoutSeconds: 1). */
const PROBE_LIMIT = 1000;

describe.skipIf(skipReason)(titled("beside a funneled client"), () => {
  it("a node's probe of the same port goes on, and not with a stateless reply rule", async () => {
    using lab = new Lab();
    const { clients, gateway: node, pod } = routedLab(lab, { clients: 1 });
    const [client] = clients;
    if (!client) throw new Error("no client");
    await servePages(lab, pod, { ports: [80, 8080], name: "pod" });
    await using near = await Funnel.load({ egress: funnelRule("tcp") });
    await using far = await Funnel.load({ ingress: unfunnelRule("tcp") });
    await near.attach("eth0", { netns: client.netns });
    await far.attach("eth0", { netns: pod.netns });

    const ask = () => pages(lab, client, { address: POD, ports: [80, 8080] });
    const probe = () => pages(lab, node, { address: POD, ports: [8080], limit: PROBE_LIMIT });
    const asClient = (port: number) => ({ event: "page", port, client: clientAddress(0) });
    const asNode = { event: "page", port: 8080, client: GATEWAY };
    for (let round = 0; round < 2; round++) {
      expect(await ask()).toMatchObject([asClient(80), asClient(8080)]);
      expect(await probe()).toMatchObject([asNode]);
    }
    // The client's pages on 8080 went through the service port, the probes did not.
    expect((await met(far)).egress).toEqual(["no_match", "reply_funneled"]);
    expect((await far.stats()).flows).toMatchObject({ entries: 2, remapped: 0 });

    // As the original needs it: all that leaves the port is funneled.
    await far.replace({
      ingress: unfunnelRule("tcp"),
      egress: "tcp sport 8080 actions funnel tcp dport 540 sport 80",
    });
    expect(await ask()).toMatchObject([asClient(80), asClient(8080)]);
    expect(await probe()).toMatchObject([{ event: "failed", port: 8080, code: "TIMEOUT" }]);

    await far.replace({ ingress: unfunnelRule("tcp") });
    expect(await probe()).toMatchObject([asNode]);
  });

  it.each(["tcp", "udp"] as const)(
    "a client without sfunnel talks to the same port: %s",
    async (transport) => {
      using lab = new Lab();
      const { clients, pod } = routedLab(lab, { clients: 2 });
      const [funneling, plain] = clients;
      if (!funneling || !plain) throw new Error("no clients");
      await using near = await Funnel.load({ egress: funnelRule(transport) });
      await using far = await Funnel.load({ ingress: unfunnelRule(transport) });
      await near.attach("eth0", { netns: funneling.netns });
      await far.attach("eth0", { netns: pod.netns });
      const wire = await lab.capture(pod, "eth0");
      await serve(lab, pod, transport, { port: 8080 });
      // Both from the same port of theirs.
      const peer = { address: POD, port: 8080, from: 40000 };
      const one = await talk(lab, funneling, transport, peer);
      const other = await talk(lab, plain, transport, peer);
      for (let message = 0; message < 5; message++) {
        const senderPort = 40000;
        expect(await one.ask(`one ${message}`)).toMatchObject({
          sender: clientAddress(0),
          senderPort,
        });
        expect(await other.ask(`other ${message}`)).toMatchObject({
          sender: clientAddress(1),
          senderPort,
        });
      }
      await one.close();
      await other.close();

      const at = async (outcome: "unfunneled" | "no_match") => packets(far, "ingress", outcome);
      await eventually(
        async () => (await at("unfunneled")) === (await packets(near, "egress", "funneled")),
      );
      await wire.atLeast((await at("unfunneled")) + (await at("no_match")));
      expect(Object.keys(census(await wire.stop())).sort()).toEqual(
        ["tcp 540>80", "tcp 80>540", `${transport} 40000>8080`, `${transport} 8080>40000`].sort(),
      );
      expect(await met(far)).toEqual({
        ingress: ["no_match", "unfunneled"],
        egress: ["no_match", "reply_funneled"],
      });
    },
  );

  // A masquerade shows the node's address as the client's, and a node's ports are in use by turns.
  it.each(["tcp", "udp"] as const)(
    "a probe from a port that a client had before: %s",
    async (transport) => {
      using lab = new Lab();
      const { clients, gateway: node, pod } = routedLab(lab, { clients: 1, masquerade: true });
      const [client] = clients;
      if (!client) throw new Error("no client");
      await using near = await Funnel.load({ egress: funnelRule(transport) });
      await using far = await Funnel.load({ ingress: unfunnelRule(transport) });
      await near.attach("eth0", { netns: client.netns });
      await far.attach("eth0", { netns: pod.netns });
      await serve(lab, pod, transport, { port: 8080 });
      const peer = { address: POD, port: 8080, from: 40000 };
      const seen = { sender: GATEWAY, senderPort: 40000 };

      const before = await talk(lab, client, transport, peer);
      expect(await before.ask("before")).toMatchObject(seen);
      await before.close();
      const probe = await talk(lab, node, transport, peer);
      expect(await probe.ask("probe")).toMatchObject(seen);
      await probe.close();
      expect(await counted(far, "egress")).toHaveProperty("no_match");
      const after = await talk(lab, client, transport, peer);
      expect(await after.ask("after")).toMatchObject(seen);

      expect((await far.stats()).flows).toMatchObject({
        entries: 1,
        added: 2,
        direct: 1,
        evicted: 0,
      });
    },
  );

  it("the same packets by another interface", async () => {
    using lab = new Lab();
    const { client, pod } = twoHosts(lab);
    const elsewhere = lab.host("elsewhere");
    lab.link(pod, "eth1", "10.3.0.1/24", elsewhere, "eth0", "10.3.0.2/24");
    await using far = await Funnel.load({ ingress: unfunnelRule("udp") });
    for (const device of ["eth0", "eth1"]) await far.attach(device, { netns: pod.netns });

    const there = udp({ sport: 40000, dport: 8080 }, payload(20));
    const back = udp({ sport: 8080, dport: 40000 }, payload(20));
    const macs = { srcMac: lab.mac(client, "eth0"), dstMac: lab.mac(pod, "eth0") };
    const ports = { sport: 540, dport: 80 };
    lab.sendFrames(client, "eth0", [
      ipv4({ src: CLIENT, dst: POD, ...macs }, tcpCarrier(ports, there)),
    ]);
    await eventually(async () => (await packets(far, "ingress", "unfunneled")) === 1);
    const answer = [ipv4({ src: POD, dst: CLIENT }, back)];
    // The pod has no such socket, and says so in an ICMP error, sooner or later.
    const replies = async () => {
      const { error_funneled: _, ...others } = await counted(far, "egress");
      return others;
    };
    lab.sendFrames(pod, "eth1", answer);
    expect(await replies()).toEqual({ no_match: 1 });
    lab.sendFrames(pod, "eth0", answer);
    expect(await replies()).toEqual({ no_match: 1, reply_funneled: 1 });
  });
});
