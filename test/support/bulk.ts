/**
 * Hosts for traffic in bulk and its errors: client, gateway, router, node and pod in a row, with
 * the funnel on the client itself or on the gateway, and what such tests look at. Every device has
 * the offloads that the kernel gave it.
 */
import { expect } from "vitest";
import { type Direction, Funnel, type OutcomeName, type Transport } from "../../lib/index.ts";
import { type Family, inFamily } from "./family.ts";
import { outcomesMet } from "./flows.ts";
import { runKubeProxy } from "./kube-proxy.ts";
import { type Host, IPTABLES, type Lab } from "./lab.ts";
import { portsOf } from "./wire.ts";

// Addresses whose sums differ: an inner checksum that was made for the wrong ones shows.
export const CLIENT = "10.1.0.77";
export const GATEWAY = "172.16.5.2";
export const POD = "10.2.0.77";
const SERVICE = "203.0.113.10";

/** What travels how: to `port` of the pod in a carrier to its service port. */
export interface BulkFlow {
  readonly inner: Transport;
  readonly over: Transport;
  readonly port: number;
  readonly service: number;
}

export const CARRIER_PORT = 540;

/** Each carrier has flows to a port of its own, so that both can be tried side by side. */
export const PORTS = { tcp: 5201, udp: 5202 } as const;

export const OVER = ["tcp", "udp"] as const;

/** TCP and UDP to the same port, each with a service port of its own; iperf3 needs both. */
export function flowsOver(over: Transport): readonly [BulkFlow, BulkFlow] {
  const service = over === "tcp" ? 179 : 181;
  return [
    { inner: "tcp", over, port: PORTS[over], service },
    { inner: "udp", over, port: PORTS[over], service: service + 1 },
  ];
}

/** All four pairs. */
export const ALL_FLOWS: readonly BulkFlow[] = OVER.flatMap(flowsOver);

export interface ServicePort {
  readonly transport: Transport;
  readonly port: number;
}

/** A service with the ports of all carriers, and no other. */
export const CARRIER_SERVICE: readonly ServicePort[] = ALL_FLOWS.map(({ over, service }) => ({
  transport: over,
  port: service,
}));

export interface BulkLab {
  readonly client: Host;
  readonly gateway: Host;
  readonly router: Host;
  readonly node: Host;
  readonly pod: Host;
  /** Of the addresses that are spoken of here. */
  readonly family: Family;
  /** Where the client finds the pod. */
  readonly address: string;
}

/**
 * client eth0 - clients GATEWAY uplink - near ROUTER far - uplink NODE pod - eth0 pod.
 *
 * With `nat` the gateway masquerades, and the node has kube-proxy's rules for a service with these
 * ports, behind whose address the client finds the pod. `merging`: between client and gateway the
 * segments of a super-packet travel one by one, and are merged again as they come in.
 */
export function bulkLab(
  lab: Lab,
  options: {
    readonly nat?: readonly ServicePort[];
    readonly merging?: boolean;
  } = {},
): BulkLab {
  const client = lab.host("client");
  const [gateway, router, node] = [lab.router("gateway"), lab.router("router"), lab.router("node")];
  const pod = lab.host("pod");
  const ofClients = options.merging ? mergingLink : plainLink;
  ofClients(lab, client, gateway);
  lab.link(gateway, "uplink", `${GATEWAY}/24`, router, "near", "172.16.5.1/24");
  lab.link(router, "far", "172.16.6.1/24", node, "uplink", "172.16.6.2/24");
  lab.link(node, "pod", "10.2.0.254/24", pod, "eth0", `${POD}/24`);
  lab.route(client, "10.1.0.1");
  lab.route(gateway, "172.16.5.1");
  lab.route(pod, "10.2.0.254");
  lab.route(node, "172.16.6.1");
  lab.route(router, GATEWAY, "10.1.0.0/24");
  lab.route(router, "172.16.6.2");
  if (options.nat) translate(lab, gateway, node, options.nat);
  const address = options.nat ? SERVICE : POD;
  return { client, gateway, router, node, pod, family: "IPv4", address };
}

/** The same hosts by their addresses of a family; `hosts` by those of IPv4, as they were made. */
export function seenIn(family: Family, hosts: BulkLab): BulkLab {
  return { ...hosts, family, address: inFamily(family, hosts.address) };
}

const CLIENTS = "10.1.0.1/24";

function plainLink(lab: Lab, client: Host, gateway: Host): void {
  lab.link(client, "eth0", `${CLIENT}/24`, gateway, "clients", CLIENTS);
}

/**
 * A veth pair hands super-packets over whole, and merges nothing. A token bucket cuts them up, and
 * VXLAN merges what it takes out of its datagrams, as a network card's driver does.
 */
function mergingLink(lab: Lab, client: Host, gateway: Host): void {
  lab.link(client, "wire", "172.16.4.1/24", gateway, "wire", "172.16.4.2/24");
  const ends = [
    { host: client, name: "eth0", local: "172.16.4.1", remote: "172.16.4.2" },
    { host: gateway, name: "clients", local: "172.16.4.2", remote: "172.16.4.1" },
  ];
  for (const { host, name, local, remote } of ends) {
    lab.ip(host, "link", "set", "wire", "mtu", "1600");
    const bucket = ["rate", "10gbit", "burst", "1570", "limit", "10m"];
    lab.run(host, "tc", "qdisc", "add", "dev", "wire", "root", "tbf", ...bucket);
    const vxlan = ["type", "vxlan", "id", "7", "dev", "wire", "dstport", "4789"];
    lab.run(
      host,
      "ip",
      "link",
      "add",
      name,
      "mtu",
      "1500",
      ...vxlan,
      "local",
      local,
      ...["remote", remote],
    );
  }
  lab.configure(client, "eth0", `${CLIENT}/24`);
  lab.configure(gateway, "clients", CLIENTS);
}

function translate(lab: Lab, gateway: Host, node: Host, ports: readonly ServicePort[]): void {
  for (const family of lab.families) {
    const iptables = IPTABLES[family];
    const masquerade = ["-A", "POSTROUTING", "-o", "uplink", "-j", "MASQUERADE"];
    lab.run(gateway, iptables, "-w", "-t", "nat", ...masquerade);
    const invalid = ["-m", "conntrack", "--ctstate", "INVALID", "-j", "DROP"];
    lab.run(gateway, iptables, "-w", "-A", "FORWARD", ...invalid);
  }
  const service = {
    namespace: "default",
    name: "bulk",
    address: SERVICE,
    affinitySeconds: 10800,
    ports: ports.map((port) => ({ name: `p${port.port}${port.transport}`, ...port })),
  };
  runKubeProxy(lab, node, "iptables", { service, backends: [{ address: POD }] });
}

/** Other values than the 1500 of every device. */
export function setMtu(lab: Lab, host: Host, device: string, mtu: number): void {
  lab.ip(host, "link", "set", device, "mtu", `${mtu}`);
}

/** Makes both ends forget what they have learned about paths. */
export function forgetPaths(lab: Lab, { client, pod }: BulkLab): void {
  for (const host of [client, pod]) {
    lab.ip(host, "route", "flush", "cache");
    lab.ip(host, "-6", "route", "flush", "cache");
  }
}

/**
 * Where flows are funneled or unfunneled: on whom, on which device, and at which of its hooks as
 * they go `out` from the client, and as answers come `back`.
 */
export interface Place {
  readonly title: string;
  readonly host: "client" | "gateway" | "node" | "pod";
  readonly device: string;
  readonly out: Direction;
  readonly back: Direction;
}

export const ON_CLIENT: Place = {
  title: "on the client",
  host: "client",
  device: "eth0",
  out: "egress",
  back: "ingress",
};

export const AT_GATEWAYS_EGRESS: Place = {
  title: "at a gateway's egress",
  host: "gateway",
  device: "uplink",
  out: "egress",
  back: "ingress",
};

export const AT_GATEWAYS_INGRESS: Place = {
  title: "at a gateway's ingress",
  host: "gateway",
  device: "clients",
  out: "ingress",
  back: "egress",
};

export const PLACES: readonly Place[] = [ON_CLIENT, AT_GATEWAYS_EGRESS, AT_GATEWAYS_INGRESS];

export const ON_POD: Place = {
  title: "on the pod",
  host: "pod",
  device: "eth0",
  out: "ingress",
  back: "egress",
};

/** On the node, in front of a pod which knows nothing of it. */
export const IN_FRONT_OF_PODS: readonly Place[] = [
  {
    title: "at a node's ingress",
    host: "node",
    device: "uplink",
    out: "ingress",
    back: "egress",
  },
  {
    title: "at a node's egress",
    host: "node",
    device: "pod",
    out: "egress",
    back: "ingress",
  },
];

/** One rule a side for each flow, at a place for the client's end and one for the pod's. */
export class Sides implements AsyncDisposable {
  readonly near: Funnel;
  readonly far: Funnel;
  readonly #place: Place;
  readonly #farPlace: Place;

  private constructor(near: Funnel, far: Funnel, place: Place, farPlace: Place) {
    this.near = near;
    this.far = far;
    this.#place = place;
    this.#farPlace = farPlace;
  }

  static async attach(
    hosts: BulkLab,
    place: Place,
    flows: readonly BulkFlow[],
    farPlace: Place = ON_POD,
  ): Promise<Sides> {
    const funnel = flows.map(
      ({ inner, over, port, service }) =>
        `${inner} dport ${port} actions funnel ${over} dport ${service} sport ${CARRIER_PORT}`,
    );
    const unfunnel = flows.map(
      ({ inner, over, port, service }) =>
        `${over} dport ${service} actions unfunnel ${inner} allow ${port}`,
    );
    const near = await Funnel.load({ [place.out]: funnel.join("\n") });
    const far = await Funnel.load({ [farPlace.out]: unfunnel.join("\n") });
    const sides = new Sides(near, far, place, farPlace);
    try {
      await near.attach(place.device, { netns: hosts[place.host].netns });
      await far.attach(farPlace.device, { netns: hosts[farPlace.host].netns });
    } catch (error) {
      await sides[Symbol.asyncDispose]();
      throw error;
    }
    return sides;
  }

  /** What packets have met, at all four hooks. */
  async met(): Promise<Readonly<Record<"out" | "arrived" | "answered" | "back", string[]>>> {
    const { near, far } = this;
    return {
      out: await outcomesMet(near, this.#place.out),
      arrived: await outcomesMet(far, this.#farPlace.out),
      answered: await outcomesMet(far, this.#farPlace.back),
      back: await outcomesMet(near, this.#place.back),
    };
  }

  /** Everything went in a carrier, there and back, and nothing was dropped. */
  async expectAllFunneled(): Promise<void> {
    const met = await this.met();
    const only = (names: readonly string[]) => names.filter((name) => name !== "segmented");
    expect({
      out: only(met.out),
      arrived: only(met.arrived),
      answered: only(met.answered),
      back: only(met.back),
    }).toEqual({
      out: ["funneled"],
      arrived: ["unfunneled"],
      answered: ["reply_funneled"],
      back: ["reply_unfunneled"],
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.near.close(), this.far.close()]);
  }
}

/** Packets of an outcome at one hook. */
export async function outcome(
  funnel: Funnel,
  direction: Direction,
  name: OutcomeName,
): Promise<number> {
  return (await funnel.stats())[direction].outcomes[name].packets;
}

/** A counter of a host's network stack, e.g. "TcpExt", "TCPOFOQueue". */
export function counter(lab: Lab, host: Host, group: string, name: string): number {
  const text = lab.run(host, "cat", "/proc/net/netstat", "/proc/net/snmp");
  const [names, values] = text.split("\n").filter((line) => line.startsWith(`${group}: `));
  const at = names?.split(" ").indexOf(name) ?? -1;
  if (at < 0) throw new Error(`no counter ${group} ${name}`);
  return Number(values?.split(" ")[at]);
}

/** Whether a frame shows the ports of a flow's carrier, one way or the other. */
export function isCarrier(frame: Uint8Array, { over, service }: BulkFlow): boolean {
  const { transport, sport, dport } = portsOf(frame) ?? {};
  if (transport !== over) return false;
  return (
    (sport === CARRIER_PORT && dport === service) || (sport === service && dport === CARRIER_PORT)
  );
}
