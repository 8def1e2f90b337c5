/**
 * Nodes of a cluster as network namespaces, with their pods on a bridge, as CNI's plugin "bridge"
 * makes it: the bridge has the gateway's address, ports of the bridge send back to where a packet
 * came from (hairpin), and what leaves the cluster gets the node's address. Addresses are those of
 * IPv4; those of IPv6 follow from them.
 */
import { execute } from "./execute.ts";
import { inFamily } from "./family.ts";
import type { Service, ServicePort } from "./kube-proxy.ts";
import { type Host, IPTABLES, type Lab } from "./lab.ts";

/** All pods have their addresses in it, those of a node in a /24 of it. */
export const CLUSTER_CIDR = "10.244.0.0/16";
export const CLUSTER_IP = "10.96.0.10";
/** Of a load balancer in front of the nodes: none of them has it, all of them take it. */
export const BALANCER_IP = "203.0.113.10";
/** Kubernetes' own default. */
export const AFFINITY_SECONDS = 10_800;

const BRIDGE = "cni0";

export interface ClusterNode {
  readonly host: Host;
  /** Its pods are 10.244.NUMBER.2 and so on. */
  readonly number: number;
}

export interface Pod {
  readonly host: Host;
  readonly name: string;
  readonly address: string;
  readonly node: ClusterNode;
  /** The other end of its eth0. */
  readonly nodeDevice: string;
}

export function gatewayOf({ number }: Pick<ClusterNode, "number">): string {
  return `10.244.${number}.1`;
}

export function podCidr({ number }: Pick<ClusterNode, "number">): string {
  return `10.244.${number}.0/24`;
}

/** A node that forwards, and whatever way a packet comes by. */
export function plainNode(lab: Lab, name: string, number: number): ClusterNode {
  const host = lab.router(name);
  const mindless =
    "cd /proc/sys/net/ipv4/conf; for i in all default; do echo 0 > $i/rp_filter; done";
  lab.run(host, "sh", "-c", mindless);
  return { host, number };
}

/**
 * A node with a bridge for its pods. Kubernetes asks for bridge-nf-call-iptables: without, an answer
 * that stays on the bridge would go past the NAT that it needs.
 */
export function bridgeNode(
  lab: Lab,
  name: string,
  number: number,
  { mtu = 1500, masquerade = true }: { readonly mtu?: number; readonly masquerade?: boolean } = {},
): ClusterNode {
  const node = plainNode(lab, name, number);
  const { host } = node;
  lab.ip(host, "link", "add", BRIDGE, "mtu", `${mtu}`, "type", "bridge");
  lab.configure(host, BRIDGE, `${gatewayOf(node)}/24`);
  const calls =
    "cd /proc/sys/net/bridge; echo 1 > bridge-nf-call-iptables; echo 1 > bridge-nf-call-ip6tables";
  lab.run(host, "sh", "-c", calls);
  return masquerade ? masquerading(lab, node) : node;
}

/** What goes from its pods to the world outside gets the node's address (CNI's ipMasq). */
function masquerading(lab: Lab, node: ClusterNode): ClusterNode {
  for (const family of lab.families) {
    const [pods, cluster] = [podCidr(node), CLUSTER_CIDR].map((each) => inFamily(family, each));
    const rule = ["-s", `${pods}`, "!", "-d", `${cluster}`, "-j", "MASQUERADE"];
    lab.run(node.host, IPTABLES[family], "-w", "-t", "nat", "-A", "POSTROUTING", ...rule);
  }
  return node;
}

/** A pod on its node's bridge; `last`: the end of its address. */
export function bridgePod(lab: Lab, node: ClusterNode, name: string, last: number): Pod {
  const pod = podBeside(lab, node, name, last);
  const port = ["link", "set", "dev", pod.nodeDevice];
  const mtu = lab.run(node.host, "cat", `/sys/class/net/${BRIDGE}/mtu`).trim();
  lab.ip(node.host, ...port, "mtu", mtu, "master", BRIDGE, "up");
  lab.ip(node.host, ...port, "type", "bridge_slave", "hairpin", "on");
  lab.ip(pod.host, "link", "set", "dev", "eth0", "mtu", mtu);
  lab.configure(pod.host, "eth0", `${pod.address}/24`);
  lab.route(pod.host, gatewayOf(node));
  return pod;
}

/** A pod whose eth0 has its other end on the node, both as they were made. */
export function podBeside(lab: Lab, node: ClusterNode, name: string, last: number): Pod {
  const host = lab.host(name);
  const nodeDevice = `veth${last}`;
  execute("ip", [
    ...["link", "add", "eth0", "netns", host.netns, "type", "veth"],
    ...["peer", "name", nodeDevice, "netns", node.host.netns],
  ]);
  return { host, name, address: `10.244.${node.number}.${last}`, node, nodeDevice };
}

/** A host outside, or a pod, with more addresses on its eth0 than its own. */
export function withAddresses(lab: Lab, host: Host, addresses: readonly string[]): Host {
  lab.configure(host, "eth0", ...addresses.map((address) => `${address}/24`));
  return host;
}

/** Sends all to a gateway, by default from this address: one of IPv6 may not be the first one. */
export function routeFrom(lab: Lab, host: Host, gateway: string, own: string): void {
  for (const family of lab.families) {
    const [via, source] = [gateway, own].map((address) => inFamily(family, address));
    lab.ip(host, "route", "replace", "default", "via", `${via}`, "src", `${source}`);
  }
}

/** Addresses on one device of a host, in a row. */
export function addressesFrom(first: string, count: number): readonly string[] {
  const parts = first.split(".");
  const last = Number(parts.pop());
  return Array.from({ length: count }, (_, index) => [...parts, last + index].join("."));
}

/** A service with affinity and these ports. */
export function serviceWith(
  ports: readonly Omit<ServicePort, "name">[],
  options: Pick<Service, "loadBalancerAddress" | "externalTrafficPolicy"> = {},
): Service {
  return {
    namespace: "telemetry",
    name: "collector",
    address: CLUSTER_IP,
    affinitySeconds: AFFINITY_SECONDS,
    ports: ports.map((port) => ({ name: `${port.transport}${port.port}`, ...port })),
    ...options,
  };
}
