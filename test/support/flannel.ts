/**
 * What flannel makes of nodes with its backend "vxlan": one device a node, in which each other node is
 * known by a route, a neighbour and where to send for it; and its rules for what gets another address.
 * Of IPv4.
 */
import { CLUSTER_CIDR, type ClusterNode, podCidr } from "./cluster.ts";
import type { Lab } from "./lab.ts";

const DEVICE = "flannel.1";
/** Of Linux' own VXLAN, before it was given one (RFC 7348 has 4789). */
const PORT = 8472;
/** Headers of Ethernet, VXLAN, UDP and IP. */
export const VXLAN_OVERHEAD = 50;

/** A node and its address on the network that joins them. */
export interface OverlayNode extends ClusterNode {
  readonly address: string;
}

/** The node's own address in the overlay. */
export function overlayAddress({ number }: ClusterNode): string {
  return `10.244.${number}.0`;
}

/** `device`: of each node, with its address. */
export function runFlannel(lab: Lab, nodes: readonly OverlayNode[], device: string, mtu: number) {
  for (const node of nodes) {
    const vxlan = ["id", "1", "dev", device, "local", node.address, "dstport", `${PORT}`];
    const link = ["link", "add", DEVICE, "mtu", `${mtu - VXLAN_OVERHEAD}`, "type", "vxlan"];
    lab.ip(node.host, ...link, ...vxlan, "nolearning");
    lab.configure(node.host, DEVICE, `${overlayAddress(node)}/32`);
    addMasquerade(lab, node);
  }
  for (const node of nodes) {
    for (const other of nodes.filter((each) => each !== node)) {
      const mac = lab.mac(other.host, DEVICE);
      const via = overlayAddress(other);
      const neighbour = ["neighbour", "add", via, "lladdr", mac, "dev", DEVICE];
      lab.ip(node.host, ...neighbour, "nud", "permanent");
      lab.run(node.host, "bridge", "fdb", "append", mac, "dev", DEVICE, "dst", other.address);
      lab.ip(node.host, "route", "add", podCidr(other), "via", via, "dev", DEVICE, "onlink");
    }
  }
}

/** Between pods nothing changes; what goes to the world outside, or comes from it to another node's pods, gets the node's address. */
function addMasquerade(lab: Lab, node: ClusterNode): void {
  const comment = ["-m", "comment", "--comment", "flanneld masq"];
  const append = (chain: string, ...rule: string[]) =>
    lab.run(node.host, "iptables", "-w", "-t", "nat", "-A", chain, ...comment, ...rule);
  const chain = "FLANNEL-POSTRTG";
  const [pods, cluster] = [podCidr(node), CLUSTER_CIDR];
  lab.run(node.host, "iptables", "-w", "-t", "nat", "-N", chain);
  append("POSTROUTING", "-j", chain);
  append(chain, "-m", "mark", "--mark", "0x4000/0x4000", "-j", "RETURN");
  append(chain, "-s", pods, "-d", cluster, "-j", "RETURN");
  append(chain, "-s", cluster, "-d", pods, "-j", "RETURN");
  append(chain, "!", "-s", cluster, "-d", pods, "-j", "RETURN");
  append(chain, "-s", cluster, "!", "-d", "224.0.0.0/4", "-j", "MASQUERADE", "--random-fully");
  append(chain, "!", "-s", cluster, "-d", cluster, "-j", "MASQUERADE", "--random-fully");
}
