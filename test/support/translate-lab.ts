/** A client and a pod whose connections are translated, and what is between them. */
import { afterAll, afterEach, beforeAll, beforeEach, expect } from "vitest";
import type { FunnelRuleset, LoadOptions } from "../../lib/index.ts";
import { execute } from "./execute.ts";
import { FAMILIES, type Family, inFamily } from "./family.ts";
import { type Host, Lab } from "./lab.ts";
import { ipv4, ipv6, type TcpFields, tcp } from "./packet.ts";
import { Peer } from "./translate-peer.ts";
import { type End, Relay } from "./translate-relay.ts";
import { Side } from "./translate-side.ts";
import { CLIENT_RULE, SERVICE, SERVICE_RULE, WANTED } from "./translated.ts";

/** Of the client and the pod. */
export const CLIENT = "10.5.0.1";
export const POD = "10.5.0.2";

/** What either side follows unless a test says otherwise: one rule. */
export const NEAR_RULES: FunnelRuleset = { egress: CLIENT_RULE };
export const FAR_RULES: FunnelRuleset = { ingress: SERVICE_RULE };

/** The hosts where the Funnels are, on their eth0, and where the test's programs run. */
interface Hosts {
  readonly client: Host;
  readonly pod: Host;
}

/** What all tests of a suite share. */
interface Kept<Each extends Hosts> {
  readonly lab: Lab;
  readonly hosts: Each;
  /** Of both eth0. */
  readonly macs: { readonly client: string; readonly pod: string };
  readonly near: Side;
  readonly far: Side;
}

/** All that a test has to do with. */
export interface Place<Each extends Hosts = Hosts> extends Kept<Each> {
  /** Programs of the test: the pod's serves both ports. */
  readonly client: Peer;
  readonly pod: Peer;
}

interface Suite<All, Some> {
  /** For tests. */
  readonly place: () => All;
  /** For hooks. */
  readonly kept: () => Some;
}

/** How the Funnels are loaded. */
interface Loading {
  readonly near?: LoadOptions;
  readonly far?: LoadOptions;
}

/**
 * A lab for all tests of the suite that calls this, with a Funnel at either end; the two programs
 * are each test's own. Gives where all of it is found.
 */
export function useTranslatedLab<Each extends Hosts>(
  build: (lab: Lab) => Each,
  options: Loading = {},
): Suite<Place<Each>, Kept<Each>> {
  let lab: Lab | undefined;
  let all: Kept<Each> | undefined;
  let peers: Pick<Place, "client" | "pod"> | undefined;

  const kept = () => {
    if (!all) throw new Error("asked for before the lab is there");
    return all;
  };
  const place = () => {
    if (!peers) throw new Error("asked for before a test");
    return { ...kept(), ...peers };
  };

  beforeAll(async () => {
    lab = new Lab(FAMILIES);
    const hosts = build(lab);
    const near = await Side.attach(hosts.client, NEAR_RULES, options.near);
    const far = await Side.attach(hosts.pod, FAR_RULES, options.far);
    const macs = { client: lab.mac(hosts.client, "eth0"), pod: lab.mac(hosts.pod, "eth0") };
    all = { lab, hosts, macs, near, far };
  });

  beforeEach(async () => {
    const { lab, hosts, near, far } = kept();
    const [client, pod] = await Promise.all([
      Peer.start(lab, hosts.client),
      Peer.start(lab, hosts.pod, [SERVICE, WANTED]),
      near.begin(NEAR_RULES),
      far.begin(FAR_RULES),
    ]);
    peers = { client, pod };
  });

  // The client's first: what its kernel says then still passes.
  afterEach(async () => {
    await peers?.client.gone();
    await peers?.pod.gone();
    peers = undefined;
  });

  afterAll(async () => {
    await all?.near[Symbol.asyncDispose]();
    await all?.far[Symbol.asyncDispose]();
    lab?.[Symbol.dispose]();
  });

  return { kept, place };
}

/** client eth0 - eth0 pod. */
export function wired(lab: Lab): Hosts {
  const [client, pod] = [lab.host("client"), lab.host("pod")];
  lab.link(client, "eth0", `${CLIENT}/24`, pod, "eth0", `${POD}/24`);
  return { client, pod };
}

/**
 * client eth0 - near relay far - eth0 pod. The relay has no addresses: what its program does not
 * pass on is gone.
 */
function relayed(lab: Lab): Hosts & { readonly relay: Host } {
  const [client, relay, pod] = [lab.host("client"), lab.host("relay"), lab.host("pod")];
  lab.run(relay, "sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6");
  for (const [host, device, address] of [
    [client, "near", CLIENT],
    [pod, "far", POD],
  ] as const) {
    execute("ip", [
      ...["link", "add", "eth0", "netns", host.netns, "type", "veth"],
      ...["peer", "name", device, "netns", relay.netns],
    ]);
    lab.ip(relay, "link", "set", device, "up");
    lab.configure(host, "eth0", `${address}/24`);
  }
  return { client, relay, pod };
}

/** A test's place with somebody on the wire. */
export interface RelayedPlace extends Place {
  readonly relay: Relay;
}

/** A lab with somebody on the wire between the client and the pod (translate-relay.py). */
export function useRelayedLab(options: Loading = {}): Suite<RelayedPlace, Kept<Hosts>> {
  const { place, kept } = useTranslatedLab(relayed, options);
  let relay: Relay | undefined;
  const there = () => {
    if (!relay) throw new Error("nobody on the wire yet");
    return relay;
  };

  beforeAll(async () => {
    relay = await Relay.start(kept().lab, kept().hosts.relay);
  });
  beforeEach(() => there().begin());

  return { kept, place: () => ({ ...place(), relay: there() }) };
}

/**
 * The program on the service port has heard nothing but what is said to it here, and nobody has got
 * as far as to it: whatever was under way before is past the wire by then.
 */
export async function expectNothingAtService(
  { client, pod }: Pick<Place, "client" | "pod">,
  families: readonly Family[] = FAMILIES,
): Promise<void> {
  for (const family of families) {
    const direct = client.open({ address: inFamily(family, POD), port: SERVICE });
    expect(await direct.ask(`direct ${family}`)).toBe(`${SERVICE}:direct ${family}`);
  }
  expect(await pod.heard(SERVICE)).toBe(families.map((family) => `direct ${family}`).join(""));
  expect(await pod.accepted(SERVICE)).toBe(families.length);
}

/**
 * A segment that somebody makes up on the wire's ports of a client's connection, for the side `to`,
 * as if it came from the other one.
 */
export function forged(
  { macs }: Pick<Place, "macs">,
  to: End,
  { family, localPort }: { readonly family: Family; readonly localPort: number },
  fields: TcpFields,
): Uint8Array {
  const client = { mac: macs.client, address: inFamily(family, CLIENT), port: localPort };
  const pod = { mac: macs.pod, address: inFamily(family, POD), port: SERVICE };
  const [from, at] = to === "far" ? [client, pod] : [pod, client];
  const ip = { srcMac: from.mac, dstMac: at.mac, src: from.address, dst: at.address };
  const segment = tcp({ sport: from.port, dport: at.port, ...fields });
  return family === "IPv4" ? ipv4(ip, segment) : ipv6(ip, segment);
}
