/**
 * Hosts for plans: a client behind a gateway, and a balancer that has the service's address and
 * passes its one port on to a pod. What is not funneled reaches nobody.
 */
import type { Transport } from "../../lib/index.ts";
import { FAMILIES, inFamily } from "./family.ts";
import { type Host, IPTABLES, type Lab } from "./lab.ts";

/** Addresses of IPv4; those of IPv6 follow from them. */
export const CLIENT = "10.1.0.77";
export const SERVICE = "203.0.113.10";
const POD = "10.2.0.1";

export interface PlanLab {
  readonly client: Host;
  /** By which flows go there; its interface to the client is "clients". */
  readonly gateway: Host;
  /** By which answers come back: the same one, unless the lab has two. */
  readonly wayBack: Host;
  readonly pod: Host;
}

export interface ServicePort {
  readonly protocol: Transport;
  readonly port: number;
}

/** `gateways`: answers take the second one, where there are two. */
export function planLab(lab: Lab, service: ServicePort, gateways: 1 | 2): PlanLab {
  const client = plainRouter(lab, "client");
  const gateway = plainRouter(lab, "there");
  const balancer = plainRouter(lab, "balancer");
  const pod = lab.host("pod");
  lab.link(client, "eth0", `${CLIENT}/24`, gateway, "clients", "10.1.0.1/24");
  lab.link(gateway, "uplink", "172.16.0.2/24", balancer, "there", "172.16.0.1/24");
  lab.link(balancer, "pods", "10.2.0.254/24", pod, "eth0", `${POD}/24`);
  lab.route(client, "10.1.0.1");
  lab.route(gateway, "172.16.0.1");
  lab.route(pod, "10.2.0.254");
  balance(lab, balancer, service);
  if (gateways === 1) {
    lab.route(balancer, "172.16.0.2");
    return { client, gateway, wayBack: gateway, pod };
  }
  const wayBack = plainRouter(lab, "back");
  lab.link(client, "eth1", "10.1.1.77/24", wayBack, "clients", "10.1.1.1/24");
  lab.link(wayBack, "uplink", "172.16.1.2/24", balancer, "back", "172.16.1.1/24");
  lab.route(balancer, "172.16.1.2");
  lab.route(wayBack, "10.1.1.77", `${CLIENT}/32`);
  return { client, gateway, wayBack, pod };
}

/** A router that does not mind by which way a packet comes. */
function plainRouter(lab: Lab, name: string): Host {
  const router = lab.router(name);
  const mindless =
    "cd /proc/sys/net/ipv4/conf; for i in all default; do echo 0 > $i/rp_filter; done";
  lab.run(router, "sh", "-c", mindless);
  return router;
}

/** As kube-proxy does: DNAT of the service's port, and what conntrack finds INVALID is dropped. */
function balance(lab: Lab, balancer: Host, { protocol, port }: ServicePort): void {
  for (const family of FAMILIES) {
    const iptables = (...args: string[]) => lab.run(balancer, IPTABLES[family], "-w", ...args);
    iptables(
      ...["-t", "nat", "-A", "PREROUTING", "-d", inFamily(family, SERVICE), "-p", protocol],
      ...["--dport", `${port}`, "-j", "DNAT", "--to-destination", inFamily(family, POD)],
    );
    iptables("-A", "FORWARD", "-m", "conntrack", "--ctstate", "INVALID", "-j", "DROP");
    // Nobody else has the service's address.
    iptables("-A", "FORWARD", "-d", inFamily(family, SERVICE), "-j", "DROP");
  }
}
