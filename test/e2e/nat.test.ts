/**
 * NAT on the way: a masquerade at the client's end and a load balancer's DNAT at the service's,
 * both of which drop what conntrack finds INVALID. They fix the carrier and cannot know of what
 * it holds, so every checksum is looked at behind them.
 */
import { describe, expect, it } from "vitest";
import { Funnel } from "../../lib/index.ts";
import {
  census,
  checksumStates,
  clientRules,
  exchange,
  FLOW_PORT,
  MESSAGES,
  PAIRS,
  type Pair,
  packets,
  SERVICE_PORT,
  serviceRules,
} from "../support/flows.ts";
import { eventually, type Host, Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import { ipv4, payload, udp } from "../support/packet.ts";

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
function natLab(lab: Lab, ports: readonly (readonly ["tcp" | "udp", number])[]): NatLab {
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

  const iptables = (host: Host, ...args: string[]) => lab.run(host, "iptables", "-w", ...args);
  iptables(gateway, "-t", "nat", "-A", "POSTROUTING", "-o", "outside", "-j", "MASQUERADE");
  for (const [transport, port] of ports) {
    iptables(
      balancer,
      ...["-t", "nat", "-A", "PREROUTING", "-d", SERVICE, "-p", transport],
      ...["--dport", `${port}`, "-j", "DNAT", "--to-destination", SERVER],
    );
  }
  for (const router of [gateway, balancer]) {
    const invalid = ["-m", "conntrack", "--ctstate", "INVALID", "-j", "DROP"];
    iptables(router, "-A", "FORWARD", ...invalid);
  }
  return { client, gateway, balancer, server };
}

/** Packets that the balancer and the gateway dropped as INVALID. */
function invalidPackets(lab: Lab, { gateway, balancer }: NatLab): number {
  return [gateway, balancer].reduce((sum, router) => {
    const rules = lab.run(router, "iptables-save", "-c", "-t", "filter");
    const [, count] = /^\[(\d+):\d+\] -A FORWARD .*INVALID/m.exec(rules) ?? [];
    if (count === undefined) throw new Error(`no such rule:\n${rules}`);
    return sum + Number(count);
  }, 0);
}

describe.skipIf(skipReason)(titled("NAT between the two sides"), () => {
  it.each(PAIRS)("$inner over $over", async (pair) => {
    using lab = new Lab();
    // The service has one port, and it is not the flow's.
    const hosts = natLab(lab, [[pair.over, SERVICE_PORT]]);
    const { client, server } = hosts;
    const there = clientRules(pair);
    await using near = await Funnel.load({ egress: there.out, ingress: there.back });
    await using far = await Funnel.load(serviceRules(pair));
    await near.attach("eth0", { netns: client.netns });
    await far.attach("eth0", { netns: server.netns });
    const atServer = await lab.capture(server, "eth0");
    const atClient = await lab.capture(client, "eth0");

    await exchange(lab, [client, server], pair, { address: SERVICE, length: 77 });

    const out = await packets(near, "egress", "funneled");
    const back = await packets(far, "egress", "funneled");
    await eventually(async () => (await packets(far, "ingress", "unfunneled")) === out);
    await eventually(async () => (await packets(near, "ingress", "unfunneled")) === back);
    expect(Math.min(out, back)).toBeGreaterThanOrEqual(MESSAGES);

    for (const capture of [atServer, atClient]) {
      await capture.atLeast(out + back);
      const frames = await capture.stop();
      expect(census(frames)).toEqual({
        [`${pair.over} 540>179`]: out,
        [`${pair.over} 179>540`]: back,
      });
      expect(checksumStates(frames, pair.inner)).toEqual(["right right right"]);
    }
    // Both NATs had their hands on them: what arrives shows neither address that was sent.
    const addresses = new Set(
      atServer.frames.map((frame) => [...frame.subarray(26, 34)].join(".")).sort(),
    );
    expect(addresses).toEqual(new Set([`${MASQUERADE}.${SERVER}`, `${SERVER}.${MASQUERADE}`]));
    expect(invalidPackets(lab, hosts)).toBe(0);
  });

  it("does not let the flow itself through", async () => {
    using lab = new Lab();
    const { client, gateway } = natLab(lab, [["udp", SERVICE_PORT]]);
    // No DNAT for its port and no program: the balancer has nobody to give it to.
    await using idle = await Funnel.load({});
    await idle.attach("eth0", { netns: client.netns });
    const options = { address: SERVICE, port: FLOW_PORT, count: 1, echo: false };
    const wire = await lab.capture(gateway, "outside");
    await lab.endpoint(client, "udpSend", options).end();
    await wire.atLeast(1);
    // The balancer may refuse it; nothing else passes.
    const seen = Object.keys(census((await wire.stop()).filter((frame) => frame[23] !== 1)));
    expect(seen).toEqual([expect.stringMatching(/^udp \d+>2055$/)]);
  });

  it.each(["tcp", "udp"] as const)("UDP without a checksum over %s", async (over) => {
    const pair: Pair = { inner: "udp", over };
    using lab = new Lab();
    const { client, gateway, server } = natLab(lab, [[over, SERVICE_PORT]]);
    await using near = await Funnel.load({ egress: clientRules(pair).out });
    await using far = await Funnel.load({ ingress: serviceRules(pair).ingress });
    await near.attach("eth0", { netns: client.netns });
    await far.attach("eth0", { netns: server.netns });
    const wire = await lab.capture(server, "eth0");
    const echo = lab.endpoint(server, "udpEcho", {
      address: SERVER,
      port: FLOW_PORT,
      silent: true,
    });
    await echo.ready();

    const lengths = Array.from({ length: MESSAGES }, (_, index) => index * 61);
    lab.sendFrames(
      client,
      "eth0",
      lengths.map((length) =>
        ipv4(
          {
            src: CLIENT,
            dst: SERVICE,
            srcMac: lab.mac(client, "eth0"),
            dstMac: lab.mac(gateway, "inside"),
          },
          udp({ checksum: "none" }, payload(length)),
        ),
      ),
    );
    await eventually(() => echo.events("datagram").length === MESSAGES);
    expect(echo.events("datagram").map(({ length }) => length)).toEqual(lengths);
    expect(echo.events("datagram")[0]).toMatchObject({ sender: MASQUERADE, senderPort: 40000 });

    await wire.atLeast(MESSAGES);
    const frames = await wire.stop();
    expect(census(frames)).toEqual({ [`${over} 540>179`]: MESSAGES });
    // The carrier has one all the same, over a payload that nobody else has summed.
    expect(checksumStates(frames, "udp")).toEqual(["right right none"]);
  });
});
