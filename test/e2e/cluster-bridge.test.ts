/**
 * kube-proxy in its iptables and in its nftables mode, on a node whose pods are on a bridge. Clients
 * outside come to a load balancer's address with `externalTrafficPolicy: Local`, and so with their own.
 */
import { describe, expect, it } from "vitest";
import {
  addressesFrom,
  BALANCER_IP,
  bridgeNode,
  bridgePod,
  CLUSTER_CIDR,
  routeFrom,
  serviceWith,
  withAddresses,
} from "../support/cluster.ts";
import {
  BULK,
  CLIENTS,
  ENCAPSULATED,
  expectAddressesKept,
  planned,
  SERVICE_PORTS,
  TRANSLATED,
  useCluster,
} from "../support/cluster-affinity.ts";
import { testAffinity } from "../support/cluster-tests.ts";
import { FAMILIES, inFamily } from "../support/family.ts";
import { expectTransfers } from "../support/http.ts";
import { MODES, type ProxyMode, runKubeProxy } from "../support/kube-proxy.ts";
import { endpointName, servicePortName } from "../support/kube-proxy-nftables.ts";
import type { Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";

const OWN = "10.1.0.2";
const GATEWAY = "10.1.0.1";
/** Each test has clients of its own, of whom no load balancer has heard. */
const [CONTROL = [], ...GROUPS] = [0, 1, 2, 3, 4].map((group) =>
  addressesFrom(`10.1.0.${10 + group * CLIENTS}`, CLIENTS),
);
const MB = 1_000_000;

/** client eth0 - uplink node cni0 - eth0 of three pods. */
function bridged(lab: Lab, mode: ProxyMode) {
  const client = lab.host("client");
  const node = bridgeNode(lab, "node", 1);
  lab.link(client, "eth0", `${OWN}/24`, node.host, "uplink", `${GATEWAY}/24`);
  withAddresses(lab, client, [...CONTROL, ...GROUPS.flat()]);
  routeFrom(lab, client, GATEWAY, OWN);
  const pods = [2, 3, 4].map((last) => bridgePod(lab, node, `pod${last}`, last));
  const service = serviceWith(SERVICE_PORTS, {
    loadBalancerAddress: BALANCER_IP,
    externalTrafficPolicy: "Local",
  });
  runKubeProxy(lab, node.host, mode, { service, backends: pods }, { clusterCidr: CLUSTER_CIDR });
  return { client, node: node.host, pods };
}

describe.skipIf(skipReason).each(MODES)(titled("kube-proxy: %s, on a bridge"), (mode) => {
  const place = useCluster((lab) => bridged(lab, mode));

  testAffinity(place, {
    address: BALANCER_IP,
    families: FAMILIES,
    control: CONTROL,
    groups: GROUPS,
  });

  // The node's own hook comes before kube-proxy.
  it(`each client has one pod, funneled on the node: ${TRANSLATED.title}`, async () => {
    const { network, near } = place();
    const { netns } = network.node;
    await using _attachment = await near.funnel.attach("uplink", { netns });
    const rules = planned(TRANSLATED, [BALANCER_IP], FAMILIES, "gateway");
    const sources = GROUPS.at(-1) ?? [];
    const clients = { address: BALANCER_IP, sources, flows: TRANSLATED.asked };
    const all = FAMILIES.map((family) => ({ ...clients, family }));
    const at = { out: "ingress", back: "egress" } as const;
    expectAddressesKept(await place().expectTogether(rules, all, at));
  });

  // One family in each mode: what differs between them is tried without a cluster.
  const family = mode === "iptables" ? "IPv4" : "IPv6";
  it.each([TRANSLATED, ENCAPSULATED].map((way) => [way.title, way] as const))(
    `bulk of a client goes where the rest does, ${family}: %s`,
    async (_, way) => {
      const { lab, network } = place();
      await place().begin(planned(way, [BALANCER_IP], [family]));
      const clients = { family, address: BALANCER_IP, flows: way.asked } as const;
      const { host } = await place().podOf({ ...clients, source: OWN });
      const address = inFamily(family, BALANCER_IP);
      await expectTransfers(lab, host, network.client, address, BULK.tcp, [
        { direction: "upload", length: MB },
        { direction: "download", length: MB },
      ]);
    },
  );
});

describe("kube-proxy's rules for nftables", () => {
  it("go by the names that kube-proxy gives its chains and sets", () => {
    const port = { name: "p80", transport: "tcp", port: 80 } as const;
    const service = { ...serviceWith([]), namespace: "ns1", name: "svc1" };
    expect(servicePortName(service, port)).toBe("ULMVA6XW-ns1/svc1/tcp/p80");
    expect(endpointName(service, port, "10.180.0.1")).toBe(
      "5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80",
    );
  });
});
