/**
 * VLAN tags, beside the frame as kernels keep the outermost one, and in it: packets with up to two of
 * them are funneled as others are, and their tags come out again where they were.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { shapeOf, type Tag, tagging } from "../support/beside.ts";
import { ALL_FLOWS } from "../support/bulk.ts";
import { FAMILIES, inFamily } from "../support/family.ts";
import {
  Ends,
  echo,
  expectDiscoveries,
  expectEchoes,
  expectFull,
  expectRightCarriers,
  onAllFlows,
  SERVER,
  SHOWN,
  type Wired,
  watch,
  wired,
} from "../support/frames.ts";
import { Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import { patch, payload, vlan } from "../support/packet.ts";
import { bothForms, expectAnswers, frameOf, type Macs, macsOf } from "../support/raw-talk.ts";

const MTU = 1500;

/** IEEE 802.1Q, and 802.1ad around it. */
const INNER: Tag = { type: 0x8100, id: 5 };
const OUTER: Tag = { type: 0x88a8, id: 7 };

const OF_UDP = ALL_FLOWS.filter(({ inner }) => inner === "udp");

const shownTag = ({ type, id }: Tag) => `${type.toString(16)}.${id}`;

const CASES = [
  { title: "one", tags: [INNER], offload: "on" },
  { title: "one, put into the frame by the device", tags: [INNER], offload: "off" },
  { title: "two", tags: [OUTER, INNER], offload: "on" },
  { title: "two of a kind", tags: [INNER, INNER], offload: "on" },
] as const;

describe.skipIf(skipReason)(titled("VLAN tags"), () => {
  let lab: Lab;
  let hosts: Wired;
  let ends: Ends;
  let macs: Macs;

  beforeAll(async () => {
    lab = new Lab(FAMILIES);
    hosts = wired(lab);
    await echo(lab, hosts.server);
    ends = await Ends.onWire(hosts);
    macs = macsOf(lab, hosts);
  });

  afterAll(async () => {
    await ends?.[Symbol.asyncDispose]();
    lab?.[Symbol.dispose]();
  });

  it.each(CASES)("$title", async ({ tags, offload }) => {
    await using _there = await tagging(hosts.client, "eth0", tags);
    await using _here = await tagging(hosts.server, "eth0", tags);
    await using shape = await shapeOf({
      host: hosts.server,
      device: "eth0",
      direction: "ingress",
    });
    setOffload(offload);
    const seen = await watch(lab, hosts.server, "eth0");

    await expectTaggedByHand(tags);
    await ends.begin();
    await expectEchoes(lab, hosts.client, onAllFlows(SERVER));
    await ends.expectAllFunneled();
    const { out, answered } = await ends.counts();
    expect(out.segmented).toBeGreaterThan(0);
    expect(answered.segmented).toBeGreaterThan(0);

    const kinds = await seen();
    expectRightCarriers(kinds);
    expect([...new Set(kinds.map(({ shows }) => shows))].sort()).toEqual(SHOWN);
    for (const { tags: found } of kinds) expect(found).toEqual(tags.map(shownTag));
    expectFull(kinds, MTU);
    const { packets, taggedBeside, taggedInFrame } = await shape.seen();
    expect({ taggedBeside, taggedInFrame }).toEqual({
      taggedBeside: packets,
      taggedInFrame: tags.length > 1 ? packets : 0,
    });

    for (const family of FAMILIES) {
      const address = inFamily(family, SERVER);
      await expectDiscoveries(lab, hosts.client, address, { mtu: MTU });
    }
  });

  it("are left alone where there are more", async () => {
    const tags = [OUTER, INNER, INNER];
    await using _there = await tagging(hosts.client, "eth0", tags);
    await using _here = await tagging(hosts.server, "eth0", tags);
    setOffload("on");
    await ends.begin();
    const talk = { bytes: 100, lengths: [0, 1, 100] };
    await expectEchoes(lab, hosts.client, onAllFlows(SERVER, talk));
    expect(await ends.counts()).toEqual({ out: {}, arrived: {}, answered: {}, back: {} });
  });

  function setOffload(offload: "on" | "off"): void {
    for (const host of [hosts.client, hosts.server]) {
      lab.run(host, "ethtool", "-K", "eth0", "txvlan", offload, "tx-vlan-stag-hw-insert", offload);
    }
  }

  /** What a program sends with all tags in the frame. */
  async function expectTaggedByHand(tags: readonly Tag[]): Promise<void> {
    await using leaving = await shapeOf({
      host: hosts.client,
      device: "eth0",
      direction: "egress",
    });
    const contents = [0, 1, 900].map(payload);
    const frames = FAMILIES.flatMap((family) =>
      OF_UDP.flatMap((flow) => contents.flatMap((content) => bothForms(flow, content))).map(
        (layer) => tagged(frameOf(family, macs, layer), tags),
      ),
    );
    await expectAnswers(lab, hosts, ends, frames, { count: frames.length, contents });
    const { taggedInFrame, taggedBeside } = await leaving.seen();
    expect({ taggedInFrame, taggedBeside }).toEqual({
      taggedInFrame: frames.length,
      taggedBeside: 0,
    });
  }
});

function tagged(frame: Uint8Array, outermostFirst: readonly Tag[]): Uint8Array {
  return [...outermostFirst]
    .reverse()
    .reduce(
      (inside, { type, id }) => patch(vlan(inside, { id }), 12, type >> 8, type & 0xff),
      frame,
    );
}
