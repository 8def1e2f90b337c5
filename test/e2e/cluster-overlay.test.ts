/**
 * An overlay as flannel builds it: two nodes, between which pods' packets travel in VXLAN, and MTUs of
 * 1450 for the pods where all else has 1500. Pods ask the cluster IP, clients outside a load
 * balancer's address. kube-proxy in its iptables mode.
 */
import { beforeAll, describe, expect, it } from "vitest";
import {
  addressesFrom,
  BALANCER_IP,
  bridgeNode,
  bridgePod,
  CLUSTER_CIDR,
  CLUSTER_IP,
  gatewayOf,
  routeFrom,
  serviceWith,
  withAddresses,
} from "../support/cluster.ts";
import {
  BULK,
  CLIENTS,
  ENCAPSULATED,
  OVER_UDP,
  planned,
  SERVICE_PORTS,
  TRANSLATED,
  useCluster,
} from "../support/cluster-affinity.ts";
import { testAffinity } from "../support/cluster-tests.ts";
import { overlayAddress, runFlannel, VXLAN_OVERHEAD } from "../support/flannel.ts";
import { expectTransfers } from "../support/http.ts";
import { forgetConnections, runKubeProxy } from "../support/kube-proxy.ts";
import type { Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import { sockets } from "../support/sockets.ts";

const OUTER_MTU = 1500;
const MTU = OUTER_MTU - VXLAN_OVERHEAD;
const OWN = "10.244.1.10";
const OUTSIDE = "10.1.0.2";
const [CONTROL = [], ...GROUPS] = [0, 1, 2, 3].map((group) =>
  addressesFrom(`10.244.1.${20 + group * CLIENTS}`, CLIENTS),
);
const [OUTSIDE_CONTROL = [], OUTSIDERS = []] = [0, 1].map((group) =>
  addressesFrom(`10.1.0.${10 + group * CLIENTS}`, CLIENTS),
);
const MB = 1_000_000;

/** A client pod and one pod of the service on one node, two on the other; a client outside at the first. */
function overlay(lab: Lab) {
  const [one, other] = [1, 2].map((number) => ({
    ...bridgeNode(lab, `node${number}`, number, { mtu: MTU, masquerade: false }),
    address: `172.16.3.${number}`,
  }));
  if (!one || !other) throw new Error("no nodes");
  const nodes = [one, other];
  lab.link(one.host, "nodes", `${one.address}/24`, other.host, "nodes", `${other.address}/24`);
  const client = bridgePod(lab, one, "client", 10).host;
  withAddresses(lab, client, [...CONTROL, ...GROUPS.flat()]);
  routeFrom(lab, client, gatewayOf(one), OWN);
  const outside = lab.host("outside");
  lab.link(outside, "eth0", `${OUTSIDE}/24`, one.host, "uplink", "10.1.0.1/24");
  withAddresses(lab, outside, [...OUTSIDE_CONTROL, ...OUTSIDERS]);
  routeFrom(lab, outside, "10.1.0.1", OUTSIDE);
  const pods = [
    bridgePod(lab, one, "pod2", 2),
    ...[3, 4].map((last) => bridgePod(lab, other, `pod${last}`, last)),
  ];
  const service = serviceWith(SERVICE_PORTS, { loadBalancerAddress: BALANCER_IP });
  for (const { host } of nodes) {
    runKubeProxy(lab, host, "iptables", { service, backends: pods }, { clusterCidr: CLUSTER_CIDR });
  }
  runFlannel(lab, nodes, "nodes", OUTER_MTU);
  return { client, outside, node: one, pods, service };
}

const IPV4 = ["IPv4"] as const;
/** Headers of IP and TCP, and the timestamps in each segment; those of IP and UDP. */
const OF_TCP = 40 + 12;
const OF_UDP = 28;

describe.skipIf(skipReason)(titled("an overlay of VXLAN"), () => {
  const place = useCluster(overlay, IPV4);
  const ofOthers = { family: "IPv4", address: BALANCER_IP, fromOutside: true } as const;

  testAffinity(place, {
    address: CLUSTER_IP,
    families: IPV4,
    control: CONTROL,
    groups: GROUPS,
  });

  it("without sfunnel clients outside are split", async () => {
    await place().expectSplit({ ...ofOthers, sources: OUTSIDE_CONTROL, flows: TRANSLATED.asked });
  });

  it(`each client outside has one pod: ${TRANSLATED.title}`, async () => {
    const rules = planned(TRANSLATED, [BALANCER_IP], IPV4);
    const clients = { ...ofOthers, sources: OUTSIDERS, flows: TRANSLATED.asked };
    const answers = await place().expectTogether(rules, [clients]);
    // To this node's pods from its bridge, to the other's from its end of the overlay.
    const { node } = place().network;
    const ofNode = [gatewayOf(node), overlayAddress(node)];
    expect(answers.filter(({ sender = "" }) => !ofNode.includes(sender))).toEqual([]);
  });

  describe("to a pod on the other node", () => {
    const network = () => place().network;
    /** With what a carrier takes of a packet. */
    const cases = [
      { title: "a pod", way: TRANSLATED, ofTcp: 0, ofUdp: 20 },
      { title: "a pod", way: ENCAPSULATED, ofTcp: 20, ofUdp: 20 },
      { title: "a pod", way: OVER_UDP, ofTcp: 8, ofUdp: 8 },
      { title: "outside", way: TRANSLATED, ofTcp: 0, ofUdp: 20 },
    ].map((row) => [row.title, row.way.title, row] as const);

    beforeAll(() => {
      const { node, pods, service } = network();
      const backends = pods.slice(-1);
      const options = { clusterCidr: CLUSTER_CIDR };
      runKubeProxy(place().lab, node.host, "iptables", { service, backends }, options);
      forgetConnections(place().lab, node.host);
    });

    it.each(cases)("packets from %s find room: %s", async (title, _, { way, ofTcp, ofUdp }) => {
      const { lab } = place();
      const { client, outside, pods } = network();
      const [host, address, before] =
        title === "outside" ? [outside, BALANCER_IP, OUTER_MTU] : [client, CLUSTER_IP, MTU];
      const pod = pods.at(-1)?.host;
      if (!pod) throw new Error("no pods");
      await place().begin(planned(way, [CLUSTER_IP, BALANCER_IP], IPV4));

      const [sink, drain] = await Promise.all([
        sockets(lab, pod, "sink", { port: BULK.tcp }).ready(),
        sockets(lab, pod, "drain", { port: BULK.udp, count: 1 }).ready(),
      ]);
      const pour = { address, port: BULK.tcp, lengths: [10], times: 1 };
      const poured = sockets(lab, host, "pour", pour);
      const segment = MTU - ofTcp - OF_TCP;
      expect(await poured.event("sent")).toMatchObject({ segment });
      expect(await sink.event("received")).toMatchObject({ segment });

      // Not before: what it finds out about the path, TCP goes by as well. The first datagram fits the
      // client's own device with its carrier, if that is larger.
      const largest = before === MTU ? MTU - OF_UDP : before - ofUdp - OF_UDP;
      const fits = MTU - ofUdp - OF_UDP;
      const lengths = [largest, fits + 1, fits];
      const probe = sockets(lab, host, "probe", { address, port: BULK.udp, lengths });
      expect(await probe.event("discovered")).toMatchObject({
        ...{ before, after: MTU - ofUdp, pending: "EMSGSIZE", errors: ["EMSGSIZE", null] },
      });
      expect(await drain.event("drained")).toMatchObject({ seen: [[2, fits]] });
      await sink.end();
      for (const each of [client, outside]) lab.ip(each, "route", "flush", "cache");
    });

    it.each([TRANSLATED, ENCAPSULATED].map((way) => [way.title, way] as const))(
      "bulk arrives, and comes back: %s",
      async (_, way) => {
        const { client, pods } = network();
        await place().begin(planned(way, [CLUSTER_IP], IPV4));
        const pod = pods.at(-1)?.host;
        if (!pod) throw new Error("no pods");
        await expectTransfers(place().lab, pod, client, CLUSTER_IP, BULK.tcp, [
          { direction: "upload", length: MB },
          { direction: "download", length: MB },
        ]);
      },
    );
  });
});
