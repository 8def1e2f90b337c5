/**
 * Limits of kube-proxy's affinity, which no funneling changes, and of what conntrack knows of carriers.
 * One node with its pods on a bridge, and clients outside.
 */
import { describe, expect, it } from "vitest";
import {
  type Answer,
  type AskedFlow,
  failures,
  podsOf,
  splitClients,
} from "../support/affinity.ts";
import {
  addressesFrom,
  BALANCER_IP,
  bridgeNode,
  bridgePod,
  CLUSTER_CIDR,
  type Pod,
  routeFrom,
  serviceWith,
} from "../support/cluster.ts";
import {
  BULK,
  CLIENTS,
  ENCAPSULATED,
  planned,
  SERVICE_PORTS,
  TRANSLATED,
  useCluster,
} from "../support/cluster-affinity.ts";
import { forgetConnections, type ProxyMode, runKubeProxy } from "../support/kube-proxy.ts";
import { eventually, type Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import { serve, talk } from "../support/talk.ts";

const IPV4 = ["IPv4"] as const;
const OWN = "10.1.0.2";
const GATEWAY = "10.1.0.1";
const FEW = addressesFrom("10.1.0.10", CLIENTS);
/** xt_recent keeps so many addresses a list (ip_list_tot), and there is a list for each of the pods. */
const LIST = 100;
const MANY = [1, 2].flatMap((third) => addressesFrom(`10.1.${third}.1`, 200));

/** A client at a node with its pods on a bridge. */
function bridged(lab: Lab) {
  const client = lab.host("client");
  const node = bridgeNode(lab, "node", 1);
  lab.link(client, "eth0", `${OWN}/16`, node.host, "uplink", `${GATEWAY}/16`);
  lab.configure(client, "eth0", ...[...FEW, ...MANY].map((address) => `${address}/16`));
  routeFrom(lab, client, GATEWAY, OWN);
  const pods = [2, 3, 4].map((last) => bridgePod(lab, node, `pod${last}`, last));
  return { client, node: node.host, pods };
}

describe.skipIf(skipReason)(titled("limits of affinity"), () => {
  const place = useCluster(bridged, IPV4);
  const rules = () => planned(TRANSLATED, [BALANCER_IP], IPV4);
  const clients = { family: "IPv4", address: BALANCER_IP } as const;

  /** kube-proxy's rules, with all pods or some; what was known is forgotten. */
  const apply = (mode: ProxyMode, backends: readonly Pod[] = place().network.pods) => {
    const { lab, network } = place();
    const service = serviceWith(SERVICE_PORTS, {
      loadBalancerAddress: BALANCER_IP,
      externalTrafficPolicy: "Local",
    });
    const options = { clusterCidr: CLUSTER_CIDR };
    runKubeProxy(lab, network.node, mode, { service, backends }, options);
    forgetConnections(lab, network.node);
  };
  const onNode = (command: string) => place().lab.run(place().network.node, "sh", "-c", command);

  /** Answers of so many clients that they do not all come at once. */
  const askMany = async (flow: AskedFlow) => {
    const answers: Answer[] = [];
    for (let first = 0; first < MANY.length; first += LIST) {
      const sources = MANY.slice(first, first + LIST);
      answers.push(...(await place().ask({ ...clients, sources, flows: [flow] })));
    }
    expect(failures(answers)).toEqual([]);
    return answers;
  };

  /** Clients that another pod serves once the node has forgotten their connections. */
  const movedOfMany = async () => {
    const flow = { transport: "udp", port: 2055 } as const;
    const answers = await askMany(flow);
    forgetConnections(place().lab, place().network.node);
    const again = await askMany(flow);
    return answers.filter(({ name }, index) => again[index]?.name !== name).length;
  };

  /** What xt_recent knows of a client at the service port. */
  const known = (client: string) =>
    onNode(`grep -h '^src=${client} ' /proc/net/xt_recent/KUBE-SEP-* || true`).trim();

  it("kube-proxy, iptables: a flow that never pauses stays, though its affinity is over", async () => {
    apply("iptables");
    await place().begin(rules());
    const ask = (flows: readonly AskedFlow[]) => place().ask({ ...clients, sources: FEW, flows });
    const [carried = [], connections = []] = [["udp"], ["tcp"]].map((transports) =>
      TRANSLATED.asked.filter(({ transport }) => transports.includes(transport)),
    );
    const before = await ask(TRANSLATED.asked);
    expect(failures(before)).toEqual([]);
    expect(splitClients(before)).toEqual([]);

    const pods = podsOf(before);
    // No packet of carriers that go on is a new connection, and none renews the affinity.
    const [first = ""] = FEW;
    const renewed = known(first);
    expect(renewed).toContain("last_seen");
    await ask(carried);
    expect(known(first)).toBe(renewed);
    await ask(connections);
    expect(known(first)).not.toBe(renewed);

    // As if nobody had come within the time-out: xt_recent empties a list when it is told "/".
    onNode("for list in /proc/net/xt_recent/KUBE-SEP-*; do echo / > $list; done");
    expect(podsOf(await ask(carried))).toEqual(pods);
    const later = await ask(connections);
    expect(failures(later)).toEqual([]);
    expect(splitClients([...before, ...later]).length).toBeGreaterThan(0);
  });

  // Carriers of TCP begin no connection in the eyes of conntrack, which forgets them after 120 seconds.
  it("what a pod sends by itself after a long silence waits for the client's next packet", async () => {
    const { lab, network, near } = place();
    const [pod] = network.pods;
    if (!pod) throw new Error("no pod");
    apply("iptables", [pod]);
    await place().begin(planned(ENCAPSULATED, [BALANCER_IP], IPV4));
    const server = await serve(lab, pod.host, "tcp", { port: BULK.tcp });
    const peer = { address: BALANCER_IP, port: BULK.tcp };
    const client = await talk(lab, network.client, "tcp", peer);
    await client.ask("one");
    const strange = await near.packets("ingress", "no_match");
    // As if the time had passed.
    forgetConnections(lab, network.node);
    server.say(JSON.stringify({ say: "by itself" }));
    // It arrives from an address of which the client knows nothing.
    await eventually(async () => (await near.packets("ingress", "no_match")) > strange);
    expect(client.answered).toEqual(["one"]);
    client.say("two");
    await client.endpoint.message(({ text }) => text === "two");
    await client.endpoint.message(({ text }) => text === "by itself");
    await client.close();
    await server.gone();
  });

  it("kube-proxy, iptables: each pod's list has room for 100 clients, and more make it forget", async () => {
    apply("iptables");
    expect(await movedOfMany()).toBeGreaterThan(0);
    const lengths = onNode("wc -l /proc/net/xt_recent/KUBE-SEP-*").match(/\d+(?= \/proc)/g);
    expect(Math.max(...(lengths ?? []).map(Number))).toBe(LIST);
  });

  it("kube-proxy, nftables: all of them are remembered", async () => {
    onNode("iptables -w -t nat -F PREROUTING");
    apply("nftables");
    expect(await movedOfMany()).toBe(0);
  });
});
