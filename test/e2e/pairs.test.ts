/** Real sockets between two namespaces: every flow over every carrier, and what the wire shows. */
import { describe, expect, it } from "vitest";
import { Funnel } from "../../lib/index.ts";
import type { Capture } from "../support/capture.ts";
import {
  census,
  checksumStates,
  clientRules,
  exchange,
  FLOW_PORT,
  MESSAGES,
  outcomesMet,
  PAIRS,
  type Pair,
  packets,
  SERVICE_PORT,
  serviceRules,
} from "../support/flows.ts";
import { eventually, type Host, Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";

const SERVER = "10.0.0.2";

/** Two hosts on one wire. */
function twoHosts(lab: Lab): { client: Host; server: Host } {
  const client = lab.host("client");
  const server = lab.host("server");
  lab.link(client, "eth0", "10.0.0.1/24", server, "eth0", `${SERVER}/24`);
  return { client, server };
}

async function framesOf(capture: Capture, count: number) {
  await capture.atLeast(count);
  return capture.stop();
}

describe.skipIf(skipReason)(titled("two namespaces"), () => {
  it.each(PAIRS)("$inner over $over", async (pair) => {
    using lab = new Lab();
    const { client, server } = twoHosts(lab);
    const there = clientRules(pair);
    await using near = await Funnel.load({ egress: there.out, ingress: there.back });
    await using far = await Funnel.load(serviceRules(pair));
    await near.attach("eth0", { netns: client.netns });
    await far.attach("eth0", { netns: server.netns });
    const wire = await lab.capture(server, "eth0");

    await exchange(lab, [client, server], pair, { address: SERVER, length: 101 });

    // The last segment of a connection may still be on its way.
    const out = await packets(near, "egress", "funneled");
    const back = await packets(far, "egress", "funneled");
    await eventually(async () => (await packets(far, "ingress", "unfunneled")) === out);
    expect(await packets(near, "ingress", "unfunneled")).toBe(back);
    if (pair.inner === "udp") expect([out, back]).toEqual([MESSAGES, MESSAGES]);
    else expect(Math.min(out, back)).toBeGreaterThanOrEqual(MESSAGES);

    // Every packet of the flow was funneled, none was dropped.
    expect(await outcomesMet(near, "egress")).toEqual(["funneled"]);
    expect(await outcomesMet(near, "ingress")).toEqual(["unfunneled"]);
    expect(await outcomesMet(far, "egress")).toEqual(["funneled"]);
    expect(await outcomesMet(far, "ingress")).toEqual(["unfunneled"]);

    const frames = await framesOf(wire, out + back);
    expect(census(frames)).toEqual({
      [`${pair.over} 540>179`]: out,
      [`${pair.over} 179>540`]: back,
    });
    expect(checksumStates(frames, pair.inner)).toEqual(["right right right"]);
  });

  it.each(["tcp", "udp"] as const)("%s without rules shows its own port", async (inner) => {
    using lab = new Lab();
    const { client, server } = twoHosts(lab);
    await using near = await Funnel.load({});
    await near.attach("eth0", { netns: client.netns });
    const wire = await lab.capture(server, "eth0");

    await exchange(lab, [client, server], { inner, over: "tcp" }, { address: SERVER, length: 101 });

    const out = await packets(near, "egress", "no_match");
    const back = await packets(near, "ingress", "no_match");
    const frames = await framesOf(wire, out + back);
    const ports = Object.keys(census(frames));
    expect(ports).toHaveLength(2);
    for (const port of ports) expect(port).toMatch(/^(tcp|udp) (\d+>2055|2055>\d+)$/);
  });

  it("a datagram does not get through where the service side does not unfunnel", async () => {
    const pair: Pair = { inner: "udp", over: "udp" };
    using lab = new Lab();
    const { client, server } = twoHosts(lab);
    await using near = await Funnel.load({ egress: clientRules(pair).out });
    await near.attach("eth0", { netns: client.netns });
    const flow = lab.endpoint(server, "udpEcho", { address: SERVER, port: FLOW_PORT });
    const service = lab.endpoint(server, "udpEcho", { address: SERVER, port: SERVICE_PORT });
    await Promise.all([flow.ready(), service.ready()]);
    const options = { address: SERVER, port: FLOW_PORT, count: 1, echo: false, length: 50 };
    await lab.endpoint(client, "udpSend", options).end();
    // It is the service's program that gets the datagram, header and all.
    expect(await service.event("datagram")).toMatchObject({ length: 8 + 50, senderPort: 540 });
    expect(flow.events("datagram")).toEqual([]);
  });
});
