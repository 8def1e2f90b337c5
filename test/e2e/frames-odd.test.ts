/**
 * Packets that few programs send: with options of IPv4, to many receivers, in frames with something
 * behind the packet.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ALL_FLOWS } from "../support/bulk.ts";
import { FAMILIES } from "../support/family.ts";
import {
  Ends,
  echo,
  expectEchoes,
  expectRightCarriers,
  OTHER_PORT,
  onAllFlows,
  SERVER,
  SHOWN,
  type Wired,
  watch,
  wired,
} from "../support/frames.ts";
import { Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import { pad, payload } from "../support/packet.ts";
import { bothForms, expectAnswers, frameOf, macsOf } from "../support/raw-talk.ts";

/** Of IPv4 (RFC 791, RFC 2113), each filled up to words. */
const OPTIONS = {
  "router alert": "94040000",
  "record route": `070b04${"00".repeat(9)}`,
  "as many as there can be": `072704${"00".repeat(37)}`,
};

/** Everybody on the wire, and groups of theirs. */
const MANY = ["255.255.255.255", "10.1.0.255", "239.1.2.3", "ff02::1:3", "ff05::1:3"];
const BROADCASTS = MANY.filter((address) => address.endsWith("255")).length;
const GROUPS = ["239.1.2.3", "ff02::1:3", "ff05::1:3"];

const OF_UDP = ALL_FLOWS.filter(({ inner }) => inner === "udp");

/** What stands behind an IP packet; Ethernet fills short frames up, some cards add more. */
const PADDING = 7;
const CONTENTS = [0, 1, 2, 500].map(payload);

describe.skipIf(skipReason)(titled("odd packets"), () => {
  let lab: Lab;
  let hosts: Wired;
  let ends: Ends;

  beforeAll(async () => {
    lab = new Lab(FAMILIES);
    hosts = wired(lab);
    await echo(lab, hosts.server, { groups: GROUPS, device: "eth0" });
    ends = await Ends.onWire(hosts);
  });

  afterAll(async () => {
    await ends?.[Symbol.asyncDispose]();
    lab?.[Symbol.dispose]();
  });

  it("to many are funneled where a rule is about them, and others are left alone", async () => {
    await ends.begin();
    const seen = await watch(lab, hosts.server, "eth0");
    const ports = OF_UDP.map(({ port }) => port);
    const asked = MANY.flatMap((address) =>
      [...ports, OTHER_PORT].map((port) => ({ address, port })),
    );
    const lengths = [0, 1, 1000];
    await expectEchoes(
      lab,
      hosts.client,
      asked.map((one) => ({ ...one, transport: "udp", device: "eth0", lengths })),
    );
    const came = (await seen()).filter(({ direction }) => direction === "in");
    expectRightCarriers(came.filter(({ shows }) => !shows.endsWith(`>${OTHER_PORT}`)));
    const said = lengths.length * MANY.length;
    const funneled = said * ports.length;
    const copies = lengths.length * BROADCASTS * (ports.length + 1);
    expect(await ends.counts()).toEqual({
      out: { funneled, no_match: said },
      arrived: { unfunneled: funneled, no_match: said },
      // What is said to many is answered by each of them in its own name: no reply to this flow.
      answered: { no_match: said + funneled },
      // Nor are the copies that the kernel gives the sender itself of what it says to everybody: they
      // come by at ingress, and without an Ethernet header.
      back: { no_match: said + funneled + copies },
    });
  });

  it("with something behind them arrive without it, and it stays behind them", async () => {
    const seen = await watch(lab, hosts.server, "eth0");
    const macs = macsOf(lab, hosts);
    const frames = FAMILIES.flatMap((family) =>
      OF_UDP.flatMap((flow) => CONTENTS.flatMap((content) => bothForms(flow, content))).map(
        (layer) => pad(frameOf(family, macs, layer), PADDING, 0xa5),
      ),
    );
    const datagrams = { count: frames.length, contents: CONTENTS };
    await expectAnswers(lab, hosts, ends, frames, datagrams);
    const kinds = await seen();
    expectRightCarriers(kinds);
    for (const { direction, padding } of kinds) {
      expect(padding).toBe(direction === "in" ? PADDING : 0);
    }
  });

  // Last: connections that close may still be counted in what comes next.
  it("with options of IPv4 are funneled", async () => {
    await ends.begin();
    const seen = await watch(lab, hosts.server, "eth0");
    for (const options of Object.values(OPTIONS)) {
      const flows = onAllFlows(SERVER, { bytes: 50_000, lengths: [0, 1, 900] }, ["IPv4"]);
      await expectEchoes(
        lab,
        hosts.client,
        flows.map((asked) => ({ ...asked, options })),
      );
    }
    const kinds = await seen();
    expectRightCarriers(kinds);
    const came = kinds.filter(({ direction }) => direction === "in");
    expect(new Set(came.map(({ options }) => options))).toEqual(
      new Set(Object.values(OPTIONS).map((text) => text.length / 2)),
    );
    expect([...new Set(kinds.map(({ shows }) => shows))].sort()).toEqual(SHOWN);
    await ends.expectAllFunneled();
    expect((await ends.counts()).out.segmented).toBeGreaterThan(0);
  });
});
