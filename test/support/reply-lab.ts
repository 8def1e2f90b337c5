/** Hosts of the tests of replies, and what those tests look at. */
import type { Direction, Funnel } from "../../lib/index.ts";
import { outcomesMet } from "./flows.ts";
import type { Host, Lab } from "./lab.ts";

/** Of the pod, wherever it stands. Its sum differs from that of every other address here. */
export const POD = "10.2.0.77";

export interface TwoHosts {
  readonly client: Host;
  readonly pod: Host;
}

export const CLIENT = "10.2.0.1";

/** A client and a pod, side by side. */
export function twoHosts(lab: Lab): TwoHosts {
  const client = lab.host("client");
  const pod = lab.host("pod");
  lab.link(client, "eth0", `${CLIENT}/24`, pod, "eth0", `${POD}/24`);
  return { client, pod };
}

export interface Routed {
  readonly clients: readonly Host[];
  readonly gateway: Host;
  readonly pod: Host;
}

/** Of the gateway, as the pod sees it. */
export const GATEWAY = "10.2.0.254";

/** Address of a client behind the gateway, whose interface to it is `clientN`. */
export function clientAddress(index: number): string {
  return `10.1.${index}.2`;
}

/** Clients, each on a link of its own, behind a gateway with the pod on the other side. */
export function routedLab(
  lab: Lab,
  options: { readonly clients: number; readonly masquerade?: boolean },
): Routed {
  const gateway = lab.router("gateway");
  const pod = lab.host("pod");
  lab.link(gateway, "pod", `${GATEWAY}/24`, pod, "eth0", `${POD}/24`);
  lab.route(pod, GATEWAY);
  const clients = Array.from({ length: options.clients }, (_, index) => {
    const client = lab.host(`client${index}`);
    const near = `10.1.${index}.1`;
    const address = `${clientAddress(index)}/24`;
    lab.link(client, "eth0", address, gateway, `client${index}`, `${near}/24`);
    lab.route(client, near);
    return client;
  });
  if (options.masquerade) {
    const masquerade = ["-A", "POSTROUTING", "-o", "pod", "-j", "MASQUERADE"];
    for (const iptables of lab.iptables)
      lab.run(gateway, iptables, "-w", "-t", "nat", ...masquerade);
  }
  return { clients, gateway, pod };
}

/** What TCP and UDP packets have met in both directions. */
export async function met(funnel: Funnel): Promise<Record<Direction, readonly string[]>> {
  return {
    ingress: await outcomesMet(funnel, "ingress"),
    egress: await outcomesMet(funnel, "egress"),
  };
}
