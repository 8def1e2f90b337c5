/**
 * Node ports, with kube-proxy in its nftables mode. A client knows the service by a node's address and
 * another port than the pod does, so either side is planned with the port that it sees.
 */
import { beforeAll, describe, expect, it } from "vitest";
import {
  addressesFrom,
  bridgeNode,
  bridgePod,
  CLUSTER_CIDR,
  gatewayOf,
  routeFrom,
  serviceWith,
  withAddresses,
} from "../support/cluster.ts";
import {
  type BothSides,
  CLIENTS,
  type Clients,
  ENCAPSULATED,
  expectAddressesKept,
  OVER_UDP,
  planned,
  SERVICE_PORTS,
  TRANSLATED,
  useCluster,
  type Way,
} from "../support/cluster-affinity.ts";
import { FAMILIES, inFamily } from "../support/family.ts";
import { runKubeProxy } from "../support/kube-proxy.ts";
import type { Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";

const OWN = "10.1.0.2";
/** The node's own, which clients speak to. */
const NODE = "10.1.0.1";
const GROUPS = Array.from({ length: 5 }, (_, group) =>
  addressesFrom(`10.1.0.${10 + group * CLIENTS}`, CLIENTS),
);

/** Kubernetes takes node ports from 30000-32767. */
const NODE_PORTS: Readonly<Record<number, number>> = {
  80: 30_080,
  8080: 30_081,
  179: 30_179,
  2055: 32_055,
  4739: 32_739,
};

function nodePort(port: number): number {
  return NODE_PORTS[port] ?? port;
}

/** At its cluster IP the service has yet others. */
const PORTS = SERVICE_PORTS.map(({ transport, port }) => ({
  ...{ transport, port: 10_000 + port, targetPort: port, nodePort: nodePort(port) },
}));

function oneNode(lab: Lab) {
  const client = lab.host("client");
  const node = bridgeNode(lab, "node", 1);
  lab.link(client, "eth0", `${OWN}/24`, node.host, "uplink", `${NODE}/24`);
  withAddresses(lab, client, GROUPS.flat());
  routeFrom(lab, client, NODE, OWN);
  const pods = [2, 3, 4].map((last) => bridgePod(lab, node, `pod${last}`, last));
  return { client, node, pods };
}

/** The client's rules from a plan for the node port, the pod's from one for its own port. */
function bothPlans(way: Way): BothSides {
  const port = nodePort(way.service.port);
  const ofClient = { ...way, service: { ...way.service, port } };
  return { client: planned(ofClient, [NODE]).client, service: planned(way, [NODE]).service };
}

/** The service port is asked for by its node port; what is funneled to it, as ever. */
function askedAt({ service, asked }: Way): Way["asked"] {
  return asked.map((flow) =>
    flow.transport === service.protocol && flow.port === service.port
      ? { ...flow, port: nodePort(flow.port) }
      : flow,
  );
}

describe.skipIf(skipReason)(titled("node ports"), () => {
  const place = useCluster(oneNode);
  const inBoth = (rest: Omit<Clients, "family" | "address">) =>
    FAMILIES.map((family) => ({ ...rest, family, address: NODE }));
  const apply = (externalTrafficPolicy: "Local" | "Cluster") => {
    const { lab, network } = place();
    const service = serviceWith(PORTS, { externalTrafficPolicy });
    const options = { clusterCidr: CLUSTER_CIDR };
    const { node, pods } = network;
    runKubeProxy(lab, node.host, "nftables", { service, backends: pods }, options);
  };
  const [control = [], ...groups] = GROUPS;

  describe("externalTrafficPolicy: Cluster", () => {
    beforeAll(() => apply("Cluster"));

    it.each(FAMILIES)("without sfunnel clients are split: %s", async (family) => {
      const flows = TRANSLATED.asked.map((flow) => ({ ...flow, port: nodePort(flow.port) }));
      const clients = { family, address: NODE, sources: control, flows };
      const answers = await place().expectSplit(clients);
      const ofNode = inFamily(family, gatewayOf({ number: 1 }));
      expect(new Set(answers.map(({ sender }) => sender))).toEqual(new Set([ofNode]));
    });

    it(`each client has one pod: ${TRANSLATED.title}`, async () => {
      const [sources = []] = groups;
      const all = inBoth({ sources, flows: askedAt(TRANSLATED) });
      await place().expectTogether(bothPlans(TRANSLATED), all);
    });
  });

  describe("externalTrafficPolicy: Local", () => {
    beforeAll(() => apply("Local"));

    it.each(
      [TRANSLATED, ENCAPSULATED, OVER_UDP].map((way, index) => [way.title, way, index] as const),
    )("each client has one pod: %s", async (_, way, index) => {
      const sources = groups[1 + index] ?? [];
      const all = inBoth({ sources, flows: askedAt(way) });
      expectAddressesKept(await place().expectTogether(bothPlans(way), all));
    });
  });
});
