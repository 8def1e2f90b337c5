/** What is not funneled goes on as if nothing were there, while its neighbours are funneled. */
import { describe, expect, it } from "vitest";
import { Funnel } from "../../lib/index.ts";
import { FAMILIES, type Family, inFamily } from "../support/family.ts";
import {
  CARRIER_PORT,
  clientRules,
  FLOW_PORT,
  outcomesMet,
  type Pair,
  packets,
  SERVICE_PORT,
  serviceRules,
} from "../support/flows.ts";
import { eventually, type Host, Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import { hex, ipv4, payload, raw, udp } from "../support/packet.ts";
import { census } from "../support/wire.ts";

const CLIENT = "10.0.0.1";
const SERVER = "10.0.0.2";

/** Two hosts with a funnel on either, and a funneled UDP flow that goes on for as long as needed. */
async function funneledHosts(lab: Lab, pair: Pair) {
  const client = lab.host("client");
  const server = lab.host("server");
  lab.link(client, "eth0", `${CLIENT}/24`, server, "eth0", `${SERVER}/24`);
  const there = clientRules(pair);
  const near = await Funnel.load({ egress: there.out, ingress: there.back });
  const far = await Funnel.load(serviceRules(pair));
  await near.attach("eth0", { netns: client.netns });
  await far.attach("eth0", { netns: server.netns });
  await lab.endpoint(server, "udpEcho", { address: SERVER, port: FLOW_PORT }).ready();
  const stream = lab.endpoint(client, "udpStream", {
    address: SERVER,
    port: FLOW_PORT,
    window: 2,
    length: 40,
  });
  await stream.event("first");
  return {
    client,
    server,
    near,
    far,
    /** Ends the funneled flow: all of it has come back. */
    async finish() {
      stream.say("stop");
      await stream.end();
      const { sent, unexpected } = await stream.event("done");
      expect(unexpected).toBe(0);
      expect(await packets(near, "egress", "funneled")).toBe(sent);
      expect(await packets(near, "ingress", "unfunneled")).toBe(sent);
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([near.close(), far.close()]);
    },
  };
}

/** `count` messages and their echoes over a connection of its own. */
async function converse(
  lab: Lab,
  [client, server]: readonly [Host, Host],
  transport: "tcp" | "udp",
  {
    family = "IPv4",
    ...options
  }: { readonly family?: Family } & Readonly<Record<string, number | string>>,
) {
  const { port } = options;
  const address = inFamily(family, SERVER);
  const service = lab.endpoint(server, `${transport}Echo`, { address, port });
  await service.ready();
  const sender = lab.endpoint(client, `${transport}Send`, { address, ...options });
  await sender.end();
  expect(sender.events("error")).toEqual([]);
  expect(sender.events("echo").map(({ length }) => length)).toEqual(
    Array.from({ length: Number(options.count) }, () => options.length),
  );
  return service;
}

describe.skipIf(skipReason)(titled("beside a funneled flow"), () => {
  it.each([
    { title: "a connection from any port", from: {} },
    { title: "a connection from the carrier's port", from: { from: CARRIER_PORT } },
  ])("$title to the service port, in bulk", async ({ from }) => {
    using lab = new Lab(FAMILIES);
    await using hosts = await funneledHosts(lab, { inner: "udp", over: "tcp" });
    const { client, server, far } = hosts;
    for (const family of FAMILIES) {
      const options = { family, port: SERVICE_PORT, count: 3, length: 300_000, ...from };
      const service = await converse(lab, [client, server], "tcp", options);
      const sender = inFamily(family, CLIENT);
      expect(service.events("connection")).toMatchObject([{ sender }]);
    }
    await hosts.finish();
    // It did meet the rule that unfunnels.
    expect(await packets(far, "ingress", "not_carrier")).toBeGreaterThan(20);
    expect(await outcomesMet(far, "ingress")).toEqual(["not_carrier", "unfunneled"]);
  });

  it.each([
    { title: "datagrams from any port", from: {} },
    { title: "datagrams from the carrier's port", from: { from: CARRIER_PORT } },
  ])("$title to the service port", async ({ from }) => {
    using lab = new Lab(FAMILIES);
    await using hosts = await funneledHosts(lab, { inner: "udp", over: "udp" });
    const { client, server, far } = hosts;
    for (const family of FAMILIES) {
      const options = { family, port: SERVICE_PORT, count: 30, length: 200, ...from };
      await converse(lab, [client, server], "udp", options);
    }
    await hosts.finish();
    expect(await packets(far, "ingress", "not_carrier")).toBe(60);
    expect(await outcomesMet(far, "ingress")).toEqual(["not_carrier", "unfunneled"]);
  });

  it("flows that no rule matches", async () => {
    using lab = new Lab();
    await using hosts = await funneledHosts(lab, { inner: "udp", over: "tcp" });
    const { client, server, near } = hosts;
    const wire = await lab.capture(server, "eth0");
    await converse(lab, [client, server], "tcp", { port: 8080, count: 3, length: 300_000 });
    await converse(lab, [client, server], "udp", { port: 8080, count: 5, length: 1472 });
    // Larger than the MTU, so it goes in fragments.
    await converse(lab, [client, server], "udp", { port: 8081, count: 2, length: 9000 });
    await hosts.finish();
    const shows = (frames: readonly Uint8Array[], pattern: RegExp) =>
      Object.keys(census(frames)).some((shown) => pattern.test(shown));
    await wire.until(
      (frames) => shows(frames, /^tcp \d+>8080$/) && shows(frames, /^udp \d+>8080$/),
    );
    expect(await outcomesMet(near, "egress")).toEqual(["fragment", "funneled", "no_match"]);
  });

  it("datagrams of the flow that were cut to fragments", async () => {
    using lab = new Lab(FAMILIES);
    await using hosts = await funneledHosts(lab, { inner: "udp", over: "tcp" });
    const { client, server, near, far } = hosts;
    await lab
      .endpoint(server, "udpEcho", { address: inFamily("IPv6", SERVER), port: FLOW_PORT })
      .ready();
    for (const family of FAMILIES) {
      const options = {
        address: inFamily(family, SERVER),
        port: FLOW_PORT,
        count: 1,
        length: 4000,
      };
      const sender = lab.endpoint(client, "udpSend", options);
      await sender.end();
      expect(sender.events("echo")).toMatchObject([{ length: 4000 }]);
    }
    await hosts.finish();
    expect(await packets(near, "egress", "fragment")).toBe(3 * FAMILIES.length);
    expect(await packets(far, "ingress", "fragment")).toBe(3 * FAMILIES.length);
  });

  it("frames that are cut short or of another kind", async () => {
    using lab = new Lab();
    await using hosts = await funneledHosts(lab, { inner: "udp", over: "tcp" });
    const { client, server, near, far } = hosts;
    const wire = await lab.capture(server, "eth0");
    const ip = {
      src: CLIENT,
      dst: SERVER,
      srcMac: lab.mac(client, "eth0"),
      dstMac: lab.mac(server, "eth0"),
    };
    const whole = ipv4(ip, udp({}, payload(30)));
    const frames = [
      ...[15, 20, 33, 34, 38, 41, 42, 71].map((length) => whole.slice(0, length)),
      ipv4({ ...ip, totalLength: 200 }, udp({}, payload(30))),
      ipv4({ ...ip, ihl: 3 }, udp({}, payload(30))),
      ipv4(ip, udp({ length: 9 }, payload(30))),
    ];
    lab.sendFrames(client, "eth0", frames);
    const gre = ipv4(ip, raw(47, payload(30)));
    lab.sendFrames(client, "eth0", [gre]);
    await eventually(async () => (await packets(far, "ingress", "malformed")) === frames.length);
    await hosts.finish();
    expect(await packets(near, "egress", "malformed")).toBe(frames.length);
    expect(await packets(far, "ingress", "malformed")).toBe(frames.length);
    // Byte for byte: nobody filled them up or mended them.
    const hexes = new Set([...frames, gre].map(hex));
    await wire.until((seen) => {
      for (const frame of seen) hexes.delete(hex(frame));
      return hexes.size === 0;
    });
  });
});
