/**
 * BIG TCP: super-packets of more than 64 KiB, which say 0 for their length (IPv4) or have it in a
 * hop-by-hop header (IPv6, as far as the kernel does so). Segments of them go in carriers.
 */

import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { shapeOf } from "../support/beside.ts";
import { FAMILIES } from "../support/family.ts";
import {
  type End,
  Ends,
  echo,
  expectEchoes,
  expectFull,
  expectRightCarriers,
  FAR_SERVER,
  onAllFlows,
  type Routed,
  routed,
  watch,
} from "../support/frames.ts";
import { type Host, Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import { PYTHON } from "../support/python.ts";

const linkSizesPath = fileURLToPath(new URL("../support/link-sizes.py", import.meta.url));

const MTU = 1500;
const BIG = 150_000;
/** More than an IP header can say. */
const LONGEST_USUAL = 65_535 + 14;
const TALK = { bytes: 2_000_000, lengths: [1000] };

describe.skipIf(skipReason)(titled("super-packets of more than 64 KiB"), () => {
  let lab: Lab;
  let hosts: Routed;

  beforeAll(async () => {
    lab = new Lab(FAMILIES);
    hosts = routed(lab);
    const { client, router, server } = hosts;
    const ends: [Host, string][] = [
      [client, "eth0"],
      [router, "near"],
      [router, "far"],
      [server, "eth0"],
    ];
    for (const [host, device] of ends) {
      lab.run(host, PYTHON, "-I", linkSizesPath, device, `${BIG}`);
    }
    await echo(lab, server);
  });

  afterAll(() => lab?.[Symbol.dispose]());

  const near: readonly { readonly title: string; readonly at: () => End }[] = [
    {
      title: "on the client",
      at: () => ({ host: hosts.client, device: "eth0", out: "egress" }),
    },
    {
      title: "at a gateway's ingress",
      at: () => ({ host: hosts.router, device: "near", out: "ingress" }),
    },
  ];

  it.each(near)("are funneled $title, segment by segment", async ({ at }) => {
    const { client, server } = hosts;
    const end = at();
    await using ends = await Ends.attach(end, { host: server, device: "eth0", out: "ingress" });
    const seen = await watch(lab, server, "eth0");
    for (const family of FAMILIES) {
      await using sent = await shapeOf({ ...end, direction: end.out });
      await using answered = await shapeOf({ host: server, device: "eth0", direction: "egress" });
      await expectEchoes(lab, client, onAllFlows(FAR_SERVER, TALK, [family]));
      expect((await sent.seen()).longest).toBeGreaterThan(LONGEST_USUAL);
      expect((await answered.seen()).longest).toBeGreaterThan(LONGEST_USUAL);
    }
    const kinds = await seen();
    expectRightCarriers(kinds);
    expectFull(kinds, MTU);
    await ends.expectAllFunneled();
  });
});
