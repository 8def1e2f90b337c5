/**
 * Devices of programs: tun, whose packets have no Ethernet header, with super-packets going through
 * it or not, and tap, where headers may arrive outside the linear part. Packets get and lose
 * carriers there at both hooks.
 */

import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { shapeOf } from "../support/beside.ts";
import { FAMILIES, inFamily } from "../support/family.ts";
import {
  CLIENT,
  type End,
  Ends,
  echo,
  expectDiscoveries,
  expectEchoes,
  expectFull,
  expectRightCarriers,
  FAR_SERVER,
  onAllFlows,
  python,
  SHOWN,
  watch,
} from "../support/frames.ts";
import { type Host, Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";

const pumpPath = fileURLToPath(new URL("../support/pump.py", import.meta.url));

const MTU = 1500;

/** A program carries each packet: enough for super-packets, and no more. */
const TALK = { bytes: 60_000, lengths: [0, 1, 1400] };

interface Hosts {
  readonly client: Host;
  readonly gateway: Host;
  readonly server: Host;
}

describe.skipIf(skipReason)(titled("devices of programs"), () => {
  it.each(["tun", "offload", "scattered"] as const)("%s", async (kind) => {
    using lab = new Lab(FAMILIES);
    const hosts = await joined(lab, kind);
    const { client, gateway, server } = hosts;
    const onServer: End = { host: server, device: "eth0", out: "ingress" };
    await echo(lab, server);
    await echo(lab, gateway);

    // From one device of this kind to the other.
    const near: End = { host: client, device: "dev0", out: "egress" };
    const far: End = { host: gateway, device: "dev0", out: "ingress" };
    await expectAll(lab, kind, hosts, near, far, "10.1.0.1");
    // In at the one, out at a usual one.
    await expectAll(lab, kind, hosts, far, onServer, FAR_SERVER);
  });
});

/** client dev0 - dev0 gateway uplink - eth0 server, where dev0 is of that kind. */
async function joined(lab: Lab, kind: string): Promise<Hosts> {
  const client = lab.host("client");
  const gateway = lab.router("gateway");
  const server = lab.host("server");
  await python(lab, client, pumpPath, kind, "dev0", client.netns, gateway.netns).ready();
  lab.configure(client, "dev0", `${CLIENT}/24`);
  lab.configure(gateway, "dev0", "10.1.0.1/24");
  lab.link(gateway, "uplink", "10.2.0.1/24", server, "eth0", `${FAR_SERVER}/24`);
  lab.route(client, "10.1.0.1");
  lab.route(server, "10.2.0.1");
  return { client, gateway, server };
}

/** All pairs there and back, in bulk too; what is too long is answered. */
async function expectAll(
  lab: Lab,
  kind: string,
  { client, gateway }: Hosts,
  near: End,
  far: End,
  address: string,
): Promise<void> {
  await using ends = await Ends.attach(near, far);
  const seen = await watch(lab, far.host, far.device);
  await using shape = await shapeOf({ host: gateway, device: "dev0", direction: "ingress" });
  await expectEchoes(lab, client, onAllFlows(address, TALK));
  const kinds = await seen();
  expectRightCarriers(kinds);
  expect([...new Set(kinds.map(({ shows }) => shows))].sort()).toEqual(SHOWN);
  expectFull(kinds, MTU);
  await ends.expectAllFunneled();
  const { out, answered } = await ends.counts();
  expect(answered.segmented).toBeGreaterThan(0);
  // What a device brings in one by one needs no cutting up.
  if (near.out === "egress" || kind === "offload") expect(out.segmented).toBeGreaterThan(0);
  if (kind === "scattered") expect((await shape.seen()).nonLinear).toBeGreaterThan(0);

  for (const family of FAMILIES) {
    await expectDiscoveries(lab, client, inFamily(family, address), { mtu: MTU });
  }
}
