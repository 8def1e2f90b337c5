/** A node's kube-proxy: the rules that it writes for a service, in either of its modes. */

import type { Transport } from "../../lib/index.ts";
import { execute } from "./execute.ts";
import { type Family, inFamily } from "./family.ts";
import { nftablesRules } from "./kube-proxy-nftables.ts";
import { type Host, IPTABLES, type Lab } from "./lab.ts";

export type ProxyMode = "iptables" | "nftables";

export const MODES: readonly ProxyMode[] = ["iptables", "nftables"];

export interface ServicePort {
  readonly name: string;
  readonly transport: Transport;
  readonly port: number;
  /** Of the pods; the service's own by default. */
  readonly targetPort?: number;
  readonly nodePort?: number;
}

/** With `sessionAffinity: ClientIP`. */
export interface Service {
  readonly namespace: string;
  readonly name: string;
  /** Its cluster IP. */
  readonly address: string;
  readonly affinitySeconds: number;
  readonly ports: readonly ServicePort[];
  readonly loadBalancerAddress?: string;
  /** "Cluster" by default. */
  readonly externalTrafficPolicy?: "Cluster" | "Local";
}

export interface Backend {
  readonly address: string;
  /** On another node. */
  readonly remote?: boolean;
}

export interface ProxyOptions {
  /** Where pods have their addresses (kube-proxy's --cluster-cidr). */
  readonly clusterCidr?: string;
}

/** Imported by address, since it is plain JavaScript and says nothing of its types. */
const { kubeProxyRules } = (await import(
  new URL("../../demo/kube-proxy.mjs", import.meta.url).href
)) as {
  kubeProxyRules(service: Service, backends: readonly Backend[], options: ProxyOptions): string;
};

/** All addresses of IPv4, in the family that is meant. */
function seenIn(family: Family, service: Service, backends: readonly Backend[]) {
  const { address, loadBalancerAddress: balancer } = service;
  return {
    service: {
      ...service,
      address: inFamily(family, address),
      ...(balancer && { loadBalancerAddress: inFamily(family, balancer) }),
    },
    backends: backends.map((backend) => ({
      ...backend,
      address: inFamily(family, backend.address),
    })),
  };
}

/** Rules that lead from the kernel's chains into kube-proxy's; they are there once. */
const JUMP = /^-A (?:PREROUTING|OUTPUT|POSTROUTING|FORWARD) .*\n/gm;
const withJumps = new WeakSet<Host>();

/** What others have written on the node stays. */
function writeIptables(node: Host, family: Family, rules: string): void {
  const command = [`${IPTABLES[family]}-restore`, "--wait", "--noflush"];
  feed(node, command, withJumps.has(node) ? rules.replace(JUMP, "") : rules);
}

function feed({ netns }: Host, command: readonly string[], input: string): void {
  execute("ip", ["netns", "exec", netns, ...command], input);
}

/**
 * Gives a node its rules, in each family of the lab, in place of those that it had of this mode;
 * addresses are those of IPv4.
 */
export function runKubeProxy(
  lab: Lab,
  node: Host,
  mode: ProxyMode,
  { service, backends }: { readonly service: Service; readonly backends: readonly Backend[] },
  { clusterCidr }: ProxyOptions = {},
): void {
  for (const family of lab.families) {
    const seen = seenIn(family, service, backends);
    const options = clusterCidr ? { clusterCidr: inFamily(family, clusterCidr) } : {};
    if (mode === "iptables") {
      writeIptables(node, family, kubeProxyRules(seen.service, seen.backends, options));
    } else {
      feed(node, ["nft", "-f", "-"], nftablesRules(seen.service, seen.backends, options));
    }
  }
  if (mode === "iptables") withJumps.add(node);
}

/** Makes a node forget its connections. */
export function forgetConnections(lab: Lab, node: Host): void {
  lab.run(node, "conntrack", "--flush");
}
