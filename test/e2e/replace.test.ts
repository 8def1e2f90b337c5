/** replace() under a stream of datagrams: each finds the old rules or the new ones, and arrives. */
import { describe, expect, it } from "vitest";
import { Funnel, type FunnelRuleset } from "../../lib/index.ts";
import { counter } from "../support/bulk.ts";
import { FLOW_PORT, outcomesMet, packets, SERVICE_PORT } from "../support/flows.ts";
import { eventually, type Host, Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";

const SERVER = "10.0.0.2";
const REPLACES = 12;

/** Ways to send the flow; the service side takes all of them at any time. */
const CLIENT: readonly FunnelRuleset[] = [
  { egress: "udp dport 2055 actions funnel tcp dport 179 sport 540" },
  { egress: "udp dport 2055 actions funnel udp dport 179 sport 540" },
  {},
  {
    egress: `udp dport {1-1000, 3000} actions drop
             udp dport {2055, 2056} actions funnel tcp dport 179 sport 600-640`,
  },
  { egress: "udp dport 2055 actions accept; udp actions drop" },
];

/** The same in other words, so that all of it is written anew. */
const SERVICE: readonly FunnelRuleset[] = [
  {
    ingress: `udp dport 179 actions unfunnel udp allow 2055
              tcp dport 179 actions unfunnel udp allow 2055`,
  },
  {
    ingress: `udp dport 9 actions drop
              tcp dport {179, 180} actions unfunnel udp allow {2055, 2057}
              udp dport {179, 181} actions unfunnel udp allow {2055, 2057}`,
  },
];

/** Rules around a flow whose carrier stays, so that its replies find their way. */
const SAME_CARRIER: readonly FunnelRuleset[] = [
  {
    egress: "udp dport 2055 actions funnel tcp dport 179 sport 540",
    ingress: "tcp sport 179 dport 540 actions unfunnel udp",
  },
  {
    egress: `udp daddr {192.0.2.0/24, 192.0.4.0/24} actions drop
             udp dport {2055, 2057} actions funnel tcp sport 540 dport 179`,
    ingress: "udp dport 7 actions drop; tcp sport {179, 181} dport 540 actions unfunnel udp",
  },
];
const SAME_SERVICE: readonly FunnelRuleset[] = [
  {
    ingress: "tcp dport 179 actions unfunnel udp allow 2055",
    egress: "udp sport 2055 actions funnel tcp dport 540 sport 179",
  },
  {
    ingress: "udp dport 9 actions drop; tcp dport {179, 181} actions unfunnel udp allow {7, 2055}",
    egress: "udp sport {2055, 2057} actions funnel tcp sport 179 dport 540",
  },
];

const pick = (list: readonly FunnelRuleset[], round: number) =>
  list[round % list.length] as FunnelRuleset;

interface Stream {
  readonly clients: readonly FunnelRuleset[];
  readonly services: readonly FunnelRuleset[];
  readonly window: number;
  readonly echo: boolean;
}

/** Replaces the rules of both sides again and again under a stream, all of which must arrive. */
async function replaceUnder(lab: Lab, { clients, services, window, echo }: Stream) {
  const client: Host = lab.host("client");
  const server: Host = lab.host("server");
  lab.link(client, "eth0", "10.0.0.1/24", server, "eth0", `${SERVER}/24`);
  const near = await Funnel.load(pick(clients, 0));
  const far = await Funnel.load(pick(services, 0));
  await near.attach("eth0", { netns: client.netns });
  await far.attach("eth0", { netns: server.netns });

  // Whoever serves the service port must never see a carrier.
  const service = lab.endpoint(server, "udpEcho", { address: SERVER, port: SERVICE_PORT });
  const receiver = { address: SERVER, port: FLOW_PORT, silent: !echo };
  const flow = lab.endpoint(server, "udpEcho", receiver);
  await Promise.all([service.ready(), flow.ready()]);
  const options = { address: SERVER, port: FLOW_PORT, from: 40000, length: 30, window, echo };
  const stream = lab.endpoint(client, "udpStream", options);
  const arrived = () => flow.events("datagram").length;
  await flow.event("datagram");

  for (let round = 1; round <= REPLACES; round++) {
    await Promise.all([near.replace(pick(clients, round)), far.replace(pick(services, round))]);
    // Each of the rulesets gets its share of the stream.
    const enough = arrived() + 2 * window;
    await eventually(() => arrived() > enough);
  }
  stream.say("stop");
  await stream.end();
  const { sent, unexpected } = await stream.event("done");
  // A busy machine may let the receiving program wait for longer than its socket has room for.
  const full = () => counter(lab, server, "Udp", "RcvbufErrors");
  await eventually(() => arrived() + full() >= Number(sent));

  expect(unexpected).toBe(0);
  const expected = Number(sent) - full();
  expect(new Set(flow.events("datagram").map(({ text }) => text)).size).toBe(expected);
  expect(arrived()).toBe(expected);
  expect(service.events("datagram")).toEqual([]);
  return {
    near,
    far,
    sent: Number(sent),
    async [Symbol.asyncDispose]() {
      await Promise.all([near.close(), far.close()]);
    },
  };
}

const STREAMS = [
  { title: "single datagrams", window: 1 },
  { title: "many datagrams at a time", window: 16 },
];

describe.skipIf(skipReason)(titled("replace under traffic"), () => {
  it.each(STREAMS)("loses nothing of $title, however it is sent", async ({ window }) => {
    using lab = new Lab();
    const stream = { clients: CLIENT, services: SERVICE, window, echo: false };
    await using run = await replaceUnder(lab, stream);
    // It was not all of one kind.
    const outcomes = await Promise.all([
      packets(run.near, "egress", "funneled"),
      packets(run.near, "egress", "no_match"),
      packets(run.near, "egress", "accepted"),
    ]);
    expect(Math.min(...outcomes)).toBeGreaterThan(0);
    expect(outcomes.reduce((sum, count) => sum + count)).toBe(run.sent);
    expect(await packets(run.far, "ingress", "unfunneled")).toBe(outcomes[0]);
  });

  it.each(STREAMS)("loses nothing of $title and their replies", async ({ window }) => {
    using lab = new Lab();
    const stream = { clients: SAME_CARRIER, services: SAME_SERVICE, window, echo: true };
    await using run = await replaceUnder(lab, stream);
    for (const [funnel, direction, outcome] of [
      [run.near, "egress", "funneled"],
      [run.far, "ingress", "unfunneled"],
      [run.far, "egress", "funneled"],
      [run.near, "ingress", "unfunneled"],
    ] as const) {
      expect(await outcomesMet(funnel, direction)).toEqual([outcome]);
      expect(await packets(funnel, direction, outcome)).toBe(run.sent);
    }
  });
});
