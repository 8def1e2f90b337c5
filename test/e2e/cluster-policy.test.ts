/**
 * Two nodes that take in traffic for a load balancer's address. With `externalTrafficPolicy: Local`
 * it stays on its node and keeps its address. With `Cluster` it may go on to the other, and the node
 * puts its own address and any port in place of the client's (mark 0x4000, MASQUERADE).
 */
import { beforeAll, describe, expect, it } from "vitest";
import { snippetsOf } from "../docs/document.ts";
import { readDocument } from "../docs/documents.ts";
import { type Answer, type AskedFlow, failures, splitClients } from "../support/affinity.ts";
import {
  addressesFrom,
  BALANCER_IP,
  bridgeNode,
  bridgePod,
  CLUSTER_CIDR,
  gatewayOf,
  podCidr,
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
  WAYS,
  type Way,
} from "../support/cluster-affinity.ts";
import { FAMILIES, type Family, inFamily } from "../support/family.ts";
import { runKubeProxy } from "../support/kube-proxy.ts";
import { eventually, type Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";

const OWN = "10.1.0.2";
const GATEWAY = "10.1.0.1";
/** Each test has clients of its own, of whom no load balancer has heard. */
const GROUPS = Array.from({ length: 15 }, (_, group) =>
  addressesFrom(`10.1.0.${10 + group * CLIENTS}`, CLIENTS),
);

/**
 * What is funneled comes from the same ports of every client, and looks alike behind one address. A
 * carrier from the flow's own port is to conntrack a connection from that port to the service port: so
 * none of the others comes from there.
 */
function fromSharedPorts(flows: Way["asked"]): Way["asked"] {
  return flows.map((flow) => (flow.port === 80 ? flow : { ...flow, from: 20_000 + flow.port }));
}

/** A client, a router to two nodes, and a link between these; three pods on the first, one on the second. */
function twoNodes(lab: Lab) {
  const client = lab.host("client");
  const router = lab.router("router");
  lab.link(client, "eth0", `${OWN}/24`, router, "clients", `${GATEWAY}/24`);
  withAddresses(lab, client, GROUPS.flat());
  routeFrom(lab, client, GATEWAY, OWN);
  const nodes = [1, 2].map((number) => {
    const node = bridgeNode(lab, `node${number}`, number);
    const [near, far] = [`172.16.${number}.1`, `172.16.${number}.2`];
    lab.link(router, `node${number}`, `${near}/24`, node.host, "uplink", `${far}/24`);
    lab.route(node.host, near);
    return { ...node, address: far };
  });
  const [one, other] = nodes;
  if (!one || !other) throw new Error("no nodes");
  lab.link(one.host, "nodes", "172.16.3.1/24", other.host, "nodes", "172.16.3.2/24");
  lab.route(one.host, "172.16.3.2", podCidr(other));
  lab.route(other.host, "172.16.3.1", podCidr(one));
  lab.route(router, one.address, `${BALANCER_IP}/32`);
  const ofOne = [2, 3, 4].map((last) => bridgePod(lab, one, `pod${last}`, last));
  const pods = [...ofOne, bridgePod(lab, other, "remote", 5)];
  return { client, router, nodes, pods };
}

type TwoNodes = ReturnType<typeof twoNodes>;

/** What each node's kube-proxy makes of the service. */
function apply(lab: Lab, { nodes, pods }: TwoNodes, policy: "Local" | "Cluster"): void {
  const service = serviceWith(SERVICE_PORTS, {
    loadBalancerAddress: BALANCER_IP,
    externalTrafficPolicy: policy,
  });
  for (const { host, number } of nodes) {
    const backends = pods.map(({ address, node }) => ({ address, remote: node.number !== number }));
    runKubeProxy(lab, host, "iptables", { service, backends }, { clusterCidr: CLUSTER_CIDR });
  }
}

/** The router has two ways to the load balancer's address: either node takes it. */
function spread(lab: Lab, { router, nodes }: TwoNodes): void {
  for (const family of lab.families) {
    const ways = nodes.flatMap(({ address }) => ["nexthop", "via", inFamily(family, address)]);
    lab.ip(router, "route", "replace", inFamily(family, `${BALANCER_IP}/32`), ...ways);
  }
}

/** What decides on the way: values of fib_multipath_hash_policy, and of the fields that it takes. */
function hashBy(lab: Lab, { router }: TwoNodes, what: "ports" | "addresses"): void {
  const [policy, fields] = what === "ports" ? [1, 7] : [3, 3];
  const set = ["ipv4", "ipv6"].flatMap((family) => [
    `echo ${fields} > /proc/sys/net/${family}/fib_multipath_hash_fields`,
    `echo ${policy} > /proc/sys/net/${family}/fib_multipath_hash_policy`,
  ]);
  lab.run(router, "sh", "-c", set.join("; "));
}

/** What a node's pods see of those that it lets in: its own pods, and those of the other node. */
const SENDERS = [
  [gatewayOf({ number: 1 }), "172.16.3.1"],
  [gatewayOf({ number: 2 }), "172.16.3.2"],
] as const;

function sendersIn(family: Family, node: 0 | 1): readonly string[] {
  return SENDERS[node].map((address) => inFamily(family, address));
}

/** None of the first node's clients was seen with its own address. */
function expectMasqueraded(answers: readonly Answer[]): void {
  const ofNode = FAMILIES.flatMap((family) => sendersIn(family, 0));
  expect(answers.filter(({ sender = "" }) => !ofNode.includes(sender))).toEqual([]);
}

/** The rules of docs/kubernetes.md that say this. */
function documented(part: string): string {
  const snippets = snippetsOf(readDocument("docs/kubernetes.md"));
  const found = snippets.find(
    ({ language, text }) => language === "sfunnel" && text.includes(part),
  );
  if (!found) throw new Error(`no rules with "${part}"`);
  return found.text;
}

/**
 * Behind a node that picks another source port, one kind of carriers is known by its form. Two kinds,
 * or carriers of UDP, are known by the range out of which the kernel picks: below 512 it stays there,
 * from 600 to 1023 a port from 512 on.
 */
const BEHIND_MASQUERADE: readonly {
  readonly title: string;
  readonly rules: BothSides;
  readonly asked: Way["asked"];
}[] = [
  {
    title: "TCP translated, UDP in carriers from one port, as plan() makes it",
    rules: planned(TRANSLATED, [BALANCER_IP]),
    asked: TRANSLATED.asked,
  },
  {
    title: "TCP translated, UDP in carriers from its own port, which all clients share",
    rules: {
      client: {
        egress: `udp dport 2055 actions funnel tcp dport 80 sport keep
                 tcp dport 8080 actions funnel translate tcp dport 80`,
      },
      service: {
        ingress: `tcp dport 80 actions unfunnel udp allow 2055
                  tcp dport 80 actions unfunnel translate tcp allow 8080`,
      },
    },
    asked: fromSharedPorts(TRANSLATED.asked),
  },
  {
    title: "TCP in carriers from its own port, which all clients share",
    rules: {
      client: { egress: "tcp dport 8080 actions funnel tcp dport 80 sport keep" },
      service: { ingress: "tcp dport 80 actions unfunnel tcp allow 8080" },
    },
    asked: fromSharedPorts(TRANSLATED.asked.filter(({ transport }) => transport === "tcp")),
  },
  {
    title: "TCP and UDP in carriers of UDP, told by the range of their source ports",
    rules: {
      client: { egress: documented("sport 100") },
      service: { ingress: documented("sport 1-511") },
    },
    asked: OVER_UDP.asked,
  },
];

describe.skipIf(skipReason)(titled("two nodes"), () => {
  const place = useCluster(twoNodes);
  const [ofLocal = [], ofCluster = [], ...others] = GROUPS;
  const clients = { address: BALANCER_IP, flows: TRANSLATED.asked };
  const inBoth = (rest: Omit<Clients, "family" | "address">) =>
    FAMILIES.map((family) => ({ ...rest, family, address: BALANCER_IP }));

  describe("externalTrafficPolicy: Local", () => {
    beforeAll(() => apply(place().lab, place().network, "Local"));

    it.each(FAMILIES)("without sfunnel clients are split: %s", async (family) => {
      const answers = await place().expectSplit({ ...clients, family, sources: ofLocal });
      expectAddressesKept(answers);
      expect(answers.map(({ name }) => name)).not.toContain("remote");
    });

    it.each(WAYS.map((way, index) => [way.title, way, others[index] ?? []] as const))(
      "each client has one pod: %s",
      async (_, way, sources) => {
        const rules = planned(way, [BALANCER_IP]);
        const answers = await place().expectTogether(rules, inBoth({ sources, flows: way.asked }));
        expectAddressesKept(answers);
        expect(answers.map(({ name }) => name)).not.toContain("remote");
      },
    );
  });

  describe("externalTrafficPolicy: Cluster", () => {
    const fresh = others.slice(WAYS.length);
    beforeAll(() => apply(place().lab, place().network, "Cluster"));

    it.each(FAMILIES)("without sfunnel clients are split: %s", async (family) => {
      const answers = await place().expectSplit({ ...clients, family, sources: ofCluster });
      expectMasqueraded(answers);
    });

    it.each(BEHIND_MASQUERADE.map((way, index) => [way.title, way, fresh[index] ?? []] as const))(
      "each client has one pod: %s",
      async (_, { rules, asked }, sources) => {
        const { far } = place();
        const { remapped } = (await far.funnel.stats()).flows;
        const all = inBoth({ sources, flows: asked });
        const answers = await place().expectTogether(rules, all);
        // Where they look alike the pod's side keeps them apart.
        const alike = asked.some(({ from }) => from !== undefined);
        expect((await far.funnel.stats()).flows.remapped > remapped).toBe(alike);
        expectMasqueraded(answers);
      },
    );

    // Of which plan() warns: "source-port-matters".
    it.each([ENCAPSULATED, OVER_UDP].map((way) => [way.title, way] as const))(
      "carriers that are told by one source port get no answer: %s",
      async (_, way) => {
        const { near, far } = place();
        await place().begin(planned(way, [BALANCER_IP]));
        const questions = inBoth({ sources: [OWN], flows: way.asked, limit: 300 });
        const answers = (await Promise.all(questions.map((each) => place().ask(each)))).flat();
        const named = ({ transport, port }: AskedFlow) => `${transport} ${port}`;
        const { protocol, port } = way.service;
        const funneled = way.asked.map(named).filter((name) => name !== `${protocol} ${port}`);
        expect(new Set(failures(answers).map(named))).toEqual(new Set(funneled));
        // They do arrive, and nobody knows what they are.
        const sent = await near.counted("egress");
        const all = (sent.funneled ?? 0) + (sent.no_match ?? 0);
        await eventually(async () => (await far.packets("ingress", "no_match")) >= all);
        expect(await far.packets("ingress", "unfunneled")).toBe(0);
      },
    );
  });

  it("a carrier from a flow's own port is a connection to conntrack: a real one gets no answer", async () => {
    const [sources = []] = others.slice(-3);
    const keep = BEHIND_MASQUERADE.find(({ asked }) =>
      asked.some(({ from }) => from !== undefined),
    );
    if (!keep) throw new Error("no rules");
    await place().begin(keep.rules);
    const [carried, real] = [
      { transport: "udp", port: 2055, from: 20_000 },
      { transport: "tcp", port: 80, from: 20_000 },
    ] as const;
    for (const each of inBoth({
      sources: sources.slice(0, 1),
      flows: [carried, real],
      limit: 300,
    })) {
      expect(failures(await place().ask(each))).toMatchObject([{ transport: "tcp", port: 80 }]);
    }
  });

  // Each node has an affinity of its own. (A router that goes by IPv6's flow label does not go by
  // addresses alone.)
  describe("a router in front that spreads flows over the nodes", () => {
    const [byPorts = [], byAddresses = []] = others.slice(-2);
    const asked = [TRANSLATED.asked, TRANSLATED.asked, TRANSLATED.asked].flat();
    beforeAll(() => spread(place().lab, place().network));

    it("by ports: splits clients, funneled as they are", async () => {
      const { lab, network } = place();
      hashBy(lab, network, "ports");
      await place().begin(planned(TRANSLATED, [BALANCER_IP]));
      for (const each of inBoth({ sources: byPorts, flows: asked })) {
        const answers = await place().ask(each);
        expect(failures(answers)).toEqual([]);
        expect(splitClients(answers).length).toBeGreaterThan(0);
      }
    });

    it("by addresses: each client has one pod", async () => {
      const { lab, network } = place();
      hashBy(lab, network, "addresses");
      const all = inBoth({ sources: byAddresses, flows: asked });
      const answers = await place().expectTogether(planned(TRANSLATED, [BALANCER_IP]), all);
      // They do come by both nodes.
      const senders = new Set(answers.map(({ sender = "" }) => sender));
      for (const node of [0, 1] as const) {
        const ofNode = FAMILIES.flatMap((family) => sendersIn(family, node));
        expect(ofNode.filter((address) => senders.has(address))).not.toEqual([]);
      }
    });
  });
});
