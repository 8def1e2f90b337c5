/**
 * A gateway that funnels for clients which know nothing of it, at the egress of its interface to
 * the service or at the ingress of the one to its clients. What it forwards comes as the clients'
 * stacks left it, checksums unfinished.
 */
import { describe, expect, it } from "vitest";
import { Funnel, type FunnelRuleset } from "../../lib/index.ts";
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
  serviceRules,
} from "../support/flows.ts";
import { eventually, type Host, Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import { ipv4, payload, udp } from "../support/packet.ts";

const CLIENT = "10.1.0.77";
const SERVER = "10.2.0.1";

interface GatewayLab {
  readonly client: Host;
  readonly gateway: Host;
  readonly server: Host;
}

function gatewayLab(lab: Lab): GatewayLab {
  const client = lab.host("client");
  const gateway = lab.router("gateway");
  const server = lab.host("server");
  lab.link(client, "eth0", `${CLIENT}/24`, gateway, "clients", "10.1.0.1/24");
  lab.link(gateway, "service", "10.2.0.254/24", server, "eth0", `${SERVER}/24`);
  lab.route(client, "10.1.0.1");
  lab.route(server, "10.2.0.254");
  return { client, gateway, server };
}

/** The same two rules, on the hooks of one or the other interface. */
const PLACES = {
  egress: {
    device: "service",
    rules: (pair: Pair): FunnelRuleset => {
      const { out, back } = clientRules(pair);
      return { egress: out, ingress: back };
    },
  },
  ingress: {
    device: "clients",
    rules: (pair: Pair): FunnelRuleset => {
      const { out, back } = clientRules(pair);
      return { ingress: out, egress: back };
    },
  },
} as const;

const CASES = (["egress", "ingress"] as const).flatMap((place) =>
  PAIRS.map((pair) => ({ place, ...pair })),
);

describe.skipIf(skipReason)(titled("a gateway"), () => {
  it.each(CASES)("that funnels $inner over $over at $place", async ({ place, ...pair }) => {
    using lab = new Lab();
    const { client, gateway, server } = gatewayLab(lab);
    const { device, rules } = PLACES[place];
    const other = place === "egress" ? "ingress" : "egress";
    await using near = await Funnel.load(rules(pair));
    await using far = await Funnel.load(serviceRules(pair));
    await near.attach(device, { netns: gateway.netns });
    await far.attach("eth0", { netns: server.netns });
    const atServer = await lab.capture(server, "eth0");
    const atClient = await lab.capture(client, "eth0");

    await exchange(lab, [client, server], pair, { address: SERVER, length: 99 });

    const out = await packets(near, place, "funneled");
    const back = await packets(far, "egress", "funneled");
    await eventually(async () => (await packets(far, "ingress", "unfunneled")) === out);
    expect(await packets(near, other, "unfunneled")).toBe(back);
    expect(Math.min(out, back)).toBeGreaterThanOrEqual(MESSAGES);
    expect(await outcomesMet(near, place)).toEqual(["funneled"]);
    expect(await outcomesMet(near, other)).toEqual(["unfunneled"]);

    await atServer.atLeast(out + back);
    const frames = await atServer.stop();
    expect(census(frames)).toEqual({
      [`${pair.over} 540>179`]: out,
      [`${pair.over} 179>540`]: back,
    });
    expect(checksumStates(frames, pair.inner)).toEqual(["right right right"]);

    // The client never saw a carrier.
    await atClient.atLeast(out + back);
    for (const seen of Object.keys(census(await atClient.stop()))) {
      expect(seen).toMatch(new RegExp(`^${pair.inner} (\\d+>2055|2055>\\d+)$`));
    }
  });

  // A client whose packets come with their checksums done, or with none.
  it.each(["egress", "ingress"] as const)("funnels finished packets at %s", async (place) => {
    const pair: Pair = { inner: "udp", over: "tcp" };
    using lab = new Lab();
    const { client, gateway, server } = gatewayLab(lab);
    const { device, rules } = PLACES[place];
    await using near = await Funnel.load(rules(pair));
    await using far = await Funnel.load(serviceRules(pair));
    await near.attach(device, { netns: gateway.netns });
    await far.attach("eth0", { netns: server.netns });
    const wire = await lab.capture(server, "eth0");
    const echo = lab.endpoint(server, "udpEcho", {
      address: SERVER,
      port: FLOW_PORT,
      silent: true,
    });
    await echo.ready();

    const ip = {
      src: CLIENT,
      dst: SERVER,
      srcMac: lab.mac(client, "eth0"),
      dstMac: lab.mac(gateway, "clients"),
    };
    lab.sendFrames(client, "eth0", [
      ipv4(ip, udp({ sport: 1000 }, payload(1))),
      ipv4(ip, udp({ sport: 1001, checksum: "none" }, payload(2))),
      // Damaged on its way here: it arrives nowhere, but as it came, not mended.
      ipv4(ip, udp({ sport: 1002, checksum: { wrongBy: 5 } }, payload(3))),
      ipv4(ip, udp({ sport: 1003 }, payload(4))),
    ]);
    await echo.message(({ length }) => length === 4);
    expect(echo.events("datagram").map(({ length }) => length)).toEqual([1, 2, 4]);
    expect(await packets(far, "ingress", "unfunneled")).toBe(4);
    await wire.atLeast(4);
    expect(checksumStates(await wire.stop(), "udp")).toEqual([
      "right right none",
      "right right right",
      "right wrong wrong",
    ]);
  });
});
