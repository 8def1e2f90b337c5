/**
 * A service's cluster IP, asked by another pod, by one of its own pods, and by a node. Two nodes, whose
 * pods know each other by plain routes; kube-proxy in its iptables mode on both.
 */
import { describe, expect, it } from "vitest";
import { Asker, failures } from "../support/affinity.ts";
import {
  addressesFrom,
  bridgeNode,
  bridgePod,
  CLUSTER_CIDR,
  CLUSTER_IP,
  gatewayOf,
  podCidr,
  routeFrom,
  serviceWith,
  withAddresses,
} from "../support/cluster.ts";
import {
  CLIENTS,
  planned,
  SERVICE_PORTS,
  TRANSLATED,
  useCluster,
} from "../support/cluster-affinity.ts";
import { testAffinity } from "../support/cluster-tests.ts";
import { End } from "../support/ends.ts";
import { FAMILIES, inFamily } from "../support/family.ts";
import { forgetConnections, runKubeProxy } from "../support/kube-proxy.ts";
import type { Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";

/** Each address of the pod that asks is a client of its own to kube-proxy. */
const OWN = "10.244.1.10";
const [CONTROL = [], ...GROUPS] = [0, 1, 2, 3].map((group) =>
  addressesFrom(`10.244.1.${20 + group * CLIENTS}`, CLIENTS),
);

/** The pod that asks and two of the service on one node, the third on the other. */
function twoNodes(lab: Lab) {
  const [one, other] = [bridgeNode(lab, "node1", 1), bridgeNode(lab, "node2", 2)];
  lab.link(one.host, "nodes", "172.16.3.1/24", other.host, "nodes", "172.16.3.2/24");
  lab.route(one.host, "172.16.3.2", podCidr(other));
  lab.route(other.host, "172.16.3.1", podCidr(one));
  // A node looks for a way before kube-proxy gives it another address.
  lab.route(one.host, "172.16.3.2");
  const client = bridgePod(lab, one, "client", 10).host;
  withAddresses(lab, client, [...CONTROL, ...GROUPS.flat()]);
  routeFrom(lab, client, gatewayOf(one), OWN);
  const pods = [
    ...[2, 3].map((last) => bridgePod(lab, one, `pod${last}`, last)),
    bridgePod(lab, other, "pod4", 4),
  ];
  const service = serviceWith(SERVICE_PORTS);
  for (const { host } of [one, other]) {
    runKubeProxy(lab, host, "iptables", { service, backends: pods }, { clusterCidr: CLUSTER_CIDR });
  }
  return { client, node: one, pods, service };
}

describe.skipIf(skipReason)(titled("a cluster IP"), () => {
  const place = useCluster(twoNodes);

  testAffinity(place, {
    address: CLUSTER_IP,
    families: FAMILIES,
    control: CONTROL,
    groups: GROUPS,
  });

  // By way of the bridge it comes back to where it was sent, from the node's address.
  it("a pod of the service that asks for it, and is served by itself", async () => {
    const { lab, network, far } = place();
    const { node, pods, service } = network;
    const [pod] = pods;
    if (!pod) throw new Error("no pod");
    const options = { clusterCidr: CLUSTER_CIDR };
    runKubeProxy(lab, node.host, "iptables", { service, backends: [pod] }, options);
    forgetConnections(lab, node.host);
    const { client, service: ofService } = planned(TRANSLATED, [CLUSTER_IP]);
    const both = { egress: client.egress, ingress: ofService.ingress };
    await place().begin({ client: {}, service: both });
    const asker = await Asker.on(lab, pod.host);
    for (const family of FAMILIES) {
      const answers = await asker.ask({
        address: inFamily(family, CLUSTER_IP),
        sources: [inFamily(family, pod.address)],
        flows: TRANSLATED.asked,
      });
      const ofNode = inFamily(family, gatewayOf(node));
      expect(failures(answers)).toEqual([]);
      expect(answers.map(({ name, sender }) => [name, sender])).toEqual(
        answers.map(() => [pod.name, ofNode]),
      );
    }
    for (const direction of ["egress", "ingress"] as const) {
      const { rules } = (await far.funnel.stats())[direction];
      expect(rules.filter(({ packets }) => packets === 0)).toEqual([]);
    }
  });

  // The address is replaced before a packet comes to any hook of ours.
  it("a node that asks for it: no rule matches, wherever it stands", async () => {
    const { lab, network } = place();
    const { node, pods, service } = network;
    const options = { clusterCidr: CLUSTER_CIDR };
    runKubeProxy(lab, node.host, "iptables", { service, backends: pods }, options);
    forgetConnections(lab, node.host);
    const rules = planned(TRANSLATED, [CLUSTER_IP]);
    await place().begin({ client: {}, service: rules.service });
    await using end = await End.attach(node.host, "cni0");
    await end.funnel.attach("nodes", { netns: node.host.netns });
    await end.begin(rules.client);
    const asker = await Asker.on(lab, node.host);
    const answers = await asker.ask({
      address: CLUSTER_IP,
      sources: [gatewayOf(node)],
      flows: TRANSLATED.asked,
    });
    expect(failures(answers)).toEqual([]);
    expect(Object.keys(await end.counted("egress"))).toEqual(["no_match"]);
  });
});
