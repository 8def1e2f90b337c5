/**
 * Packets of more than 1500 bytes: jumbo frames, frames whose headers lie outside the linear part,
 * and packets as long as an IP header can say.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Limit } from "../../lib/compile/abi.gen.ts";
import { Funnel } from "../../lib/index.ts";
import { shapeOf } from "../support/beside.ts";
import { ALL_FLOWS, CARRIER_PORT, counter, OVER } from "../support/bulk.ts";
import { FAMILIES, IP_HEADER, inFamily } from "../support/family.ts";
import {
  Ends,
  echo,
  expectDiscoveries,
  expectEchoes,
  expectFull,
  expectRightCarriers,
  FUNNEL,
  type Kind,
  OTHER_PORT,
  onAllFlows,
  SERVER,
  UNFUNNEL,
  type Wired,
  watch,
  wired,
} from "../support/frames.ts";
import { eventually, Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import { payload, udp } from "../support/packet.ts";
import { bothForms, expectAnswers, frameOf, macsOf } from "../support/raw-talk.ts";

const SIZE = { tcp: 20, udp: 8 } as const;
const JUMBO = 9000;
const UDP_HEADER = 8;

/** The most that is ever sent under a carrier. */
const LARGEST = Limit.LARGEST_PACKET;

/** The MTU of the device is 65536, which is more than a packet of IPv4 can say. */
const LOOPBACK = {
  IPv4: { address: "127.0.0.1", mtu: 65_535 },
  IPv6: { address: "::1", mtu: 65_536 },
} as const;

function setMtu(lab: Lab, { client, server }: Wired, mtu: number): void {
  for (const host of [client, server]) lab.ip(host, "link", "set", "eth0", "mtu", `${mtu}`);
}

const longest = (kinds: readonly Kind[]) => Math.max(...kinds.map(({ longest }) => longest));

describe.skipIf(skipReason)(titled("large packets"), () => {
  let lab: Lab;
  let hosts: Wired;
  let ends: Ends;

  beforeAll(async () => {
    lab = new Lab(FAMILIES);
    hosts = wired(lab);
    await echo(lab, hosts.server);
    ends = await Ends.onWire(hosts);
  });

  afterAll(async () => {
    await ends?.[Symbol.asyncDispose]();
    lab?.[Symbol.dispose]();
  });

  it("whose headers lie outside the linear part are funneled and unfunneled", async () => {
    setMtu(lab, hosts, JUMBO);
    const egress = { host: hosts.client, device: "eth0", direction: "egress" } as const;
    const ingress = { host: hosts.server, device: "eth0", direction: "ingress" } as const;
    await using leaving = await shapeOf(egress);
    await using arriving = await shapeOf(ingress);
    const seen = await watch(lab, hosts.server, "eth0");
    const macs = macsOf(lab, hosts);
    // What is longer than a page is sent with the link header alone in the linear part.
    const contents = [4500, 8000, 8001].map(payload);
    const frames = FAMILIES.flatMap((family) =>
      ALL_FLOWS.flatMap((flow) => contents.flatMap((content) => bothForms(flow, content))).map(
        (layer) => frameOf(family, macs, layer),
      ),
    );
    await expectAnswers(lab, hosts, ends, frames, { count: frames.length / 2, contents });
    expectRightCarriers(await seen());
    expect(await leaving.seen()).toMatchObject({ nonLinear: frames.length });
    expect((await arriving.seen()).nonLinear).toBeGreaterThanOrEqual(frames.length / 2);
    expect(counter(lab, hosts.server, "Tcp", "InCsumErrors")).toBe(0);
  });

  it("whose headers lie outside the linear part and that are too long are answered", async () => {
    setMtu(lab, hosts, JUMBO);
    await ends.begin();
    const macs = macsOf(lab, hosts);
    const flows = ALL_FLOWS.filter(({ inner }) => inner === "udp");
    const frames = FAMILIES.flatMap((family) =>
      flows.map(({ port }) => {
        const content = payload(JUMBO - IP_HEADER[family] - UDP_HEADER);
        return frameOf(family, macs, udp({ dport: port, sport: OTHER_PORT }, content));
      }),
    );
    const before = errorsHeard();
    lab.sendFrames(hosts.client, "eth0", frames);
    await eventually(() => errorsHeard().ipv6 === before.ipv6 + frames.length / 2);
    expect(await ends.counts()).toEqual({
      out: { too_big_reported: frames.length },
      arrived: {},
      answered: {},
      back: {},
    });
    // Its own kernel takes them, which verifies their checksums.
    expect(errorsHeard()).toEqual({
      ipv4: before.ipv4 + frames.length / 2,
      ipv6: before.ipv6 + frames.length / 2,
    });
  });

  it("of 9000 bytes are funneled", async () => {
    setMtu(lab, hosts, JUMBO);
    await ends.begin();
    const seen = await watch(lab, hosts.server, "eth0");
    for (const family of FAMILIES) {
      for (const over of OVER) {
        const fits = JUMBO - IP_HEADER[family] - UDP_HEADER - SIZE[over];
        const flows = onAllFlows(SERVER, { bytes: 1_000_000, lengths: [fits - 1, fits] }, [family]);
        const ports = ALL_FLOWS.filter((flow) => flow.over === over).map(({ port }) => port);
        await expectEchoes(
          lab,
          hosts.client,
          flows.filter(({ port }) => ports.includes(port)),
        );
      }
    }
    const kinds = await seen();
    expectRightCarriers(kinds);
    for (const { longest } of kinds) expect(longest).toBe(JUMBO);
    await ends.expectAllFunneled();
    expect((await ends.counts()).out.segmented).toBeGreaterThan(0);
  });

  it("that are too long for a carrier are answered, and TCP sends none", async () => {
    await ends.begin();
    const mtu = 65_535;
    setMtu(lab, hosts, mtu);
    const seen = await watch(lab, hosts.server, "eth0");
    for (const family of FAMILIES) {
      await expectDiscoveries(lab, hosts.client, inFamily(family, SERVER), { mtu, room: LARGEST });
    }
    expect((await ends.counts()).out.too_big_reported).toBe(2 * FAMILIES.length);
    const talk = { bytes: 1_000_000, lengths: [LARGEST - 100] };
    await expectEchoes(lab, hosts.client, onAllFlows(SERVER, talk));
    const kinds = await seen();
    expectRightCarriers(kinds);
    expectFull(kinds, LARGEST);
    await ends.expectAllFunneled("too_big_reported");
  });

  it("that are too long at ingress are dropped and counted", async () => {
    const rules = `udp dport ${OTHER_PORT} actions funnel tcp dport 179 sport 540`;
    await using gateway = await Funnel.load({ ingress: rules });
    await gateway.attach("eth0", { netns: hosts.server.netns, name: "gateway" });
    setMtu(lab, hosts, 65_535);
    const macs = macsOf(lab, hosts);
    const lengths = [LARGEST - SIZE.tcp, LARGEST - SIZE.tcp + 1, 65_000];
    const frames = FAMILIES.flatMap((family) =>
      lengths.map((length) => {
        const content = payload(length - IP_HEADER[family] - UDP_HEADER);
        return frameOf(family, macs, udp({ dport: OTHER_PORT }, content));
      }),
    );
    lab.sendFrames(hosts.client, "eth0", frames);
    const counted = async () => {
      const { funneled, too_big } = (await gateway.stats()).ingress.outcomes;
      return { funneled: funneled.packets, tooBig: too_big.packets };
    };
    await eventually(async () => {
      const { funneled, tooBig } = await counted();
      return funneled + tooBig === frames.length;
    });
    expect(await counted()).toEqual({ funneled: FAMILIES.length, tooBig: 2 * FAMILIES.length });
  });

  it("over the loopback device are answered, and TCP sends none", async () => {
    const host = lab.host("alone");
    await echo(lab, host);
    // What went through the segmenter, and what we answer, comes without the route that the kernel
    // gave it; of IPv4 it then takes its own addresses for forged ones, unless it is told not to.
    const allow = "cd /proc/sys/net/ipv4/conf/lo; echo 1 > route_localnet; echo 1 > accept_local";
    lab.run(host, "sh", "-c", allow);
    await using both = await Funnel.load({ egress: FUNNEL, ingress: UNFUNNEL });
    await both.attach("lo", { netns: host.netns });
    const seen = await watch(lab, host, "lo");
    for (const family of FAMILIES) {
      const { address, mtu } = LOOPBACK[family];
      await expectDiscoveries(lab, host, address, { mtu, room: LARGEST });
      const flows = onAllFlows(SERVER, { bytes: 1_000_000, lengths: [0, 1, 9000] }, [family]);
      await expectEchoes(
        lab,
        host,
        flows.map((asked) => ({ ...asked, address })),
      );
    }
    const kinds = await seen();
    expectRightCarriers(kinds.filter(({ shows }) => shows.includes(`${CARRIER_PORT}`)));
    expect(longest(kinds)).toBe(LARGEST);
    const { ingress, egress } = await both.stats();
    expect(egress.outcomes.too_big_reported.packets).toBe(2 * FAMILIES.length);
    for (const outcome of ["failed", "no_match", "not_carrier", "too_big"] as const) {
      expect([
        outcome,
        egress.outcomes[outcome].packets + ingress.outcomes[outcome].packets,
      ]).toEqual([outcome, 0]);
    }
  });

  /** "Fragmentation needed" and "packet too big", as the client has counted them. */
  function errorsHeard(): { readonly ipv4: number; readonly ipv6: number } {
    const text = lab.run(hosts.client, "cat", "/proc/net/snmp6");
    return {
      ipv4: counter(lab, hosts.client, "Icmp", "InDestUnreachs"),
      ipv6: Number(/^Icmp6InPktTooBigs\s+(\d+)/m.exec(text)?.[1]),
    };
  }
});
