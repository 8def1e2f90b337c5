/**
 * A node that puts packets straight into the namespaces of its pods (bpf_redirect_peer) and takes
 * theirs straight to its uplink, as Cilium does with BPF host routing and without kube-proxy. Its IP stack
 * sees nothing of it.
 */
import { describe, expect, it } from "vitest";
import { addressesFrom, BALANCER_IP, routeFrom, withAddresses } from "../support/cluster.ts";
import {
  BULK,
  CLIENTS,
  ENCAPSULATED,
  expectAddressesKept,
  planned,
  TRANSLATED,
  useCluster,
} from "../support/cluster-affinity.ts";
import { testAffinity } from "../support/cluster-tests.ts";
import { expectTransfers } from "../support/http.ts";
import type { Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import { deliverToPeers, podsBeside } from "../support/peer-node.ts";

const OWN = "10.1.0.2";
const GATEWAY = "10.1.0.1";
const [CONTROL = [], ...GROUPS] = [0, 1, 2, 3, 4].map((group) =>
  addressesFrom(`10.1.0.${10 + group * CLIENTS}`, CLIENTS),
);
const IPV4 = ["IPv4"] as const;
const MB = 1_000_000;

async function peers(lab: Lab) {
  const client = lab.host("client");
  // Not a router: nothing is forwarded by the stack.
  const node = lab.host("node");
  lab.link(client, "eth0", `${OWN}/24`, node, "uplink", `${GATEWAY}/24`);
  withAddresses(lab, client, [...CONTROL, ...GROUPS.flat()]);
  routeFrom(lab, client, GATEWAY, OWN);
  const pods = podsBeside(lab, node);
  await deliverToPeers(lab, node, "uplink", BALANCER_IP, pods);
  return { client, node, pods };
}

describe.skipIf(skipReason)(titled("a node that delivers with bpf_redirect_peer"), () => {
  const place = useCluster(peers, IPV4);
  const clients = { family: "IPv4", address: BALANCER_IP } as const;

  testAffinity(place, {
    address: BALANCER_IP,
    families: IPV4,
    control: CONTROL,
    groups: GROUPS,
  });

  it("delivers, and forwards nothing", () => {
    const { lab, network } = place();
    expect(lab.run(network.node, "cat", "/proc/sys/net/ipv4/ip_forward").trim()).toBe("0");
  });

  // The node's own hook comes before all that delivers and balances.
  it(`each client has one pod, funneled on the node: ${TRANSLATED.title}`, async () => {
    const { network, near } = place();
    const { netns } = network.node;
    await using _attachment = await near.funnel.attach("uplink", { netns });
    const rules = planned(TRANSLATED, [BALANCER_IP], IPV4, "gateway");
    const all = [{ ...clients, sources: GROUPS.at(-1) ?? [], flows: TRANSLATED.asked }];
    const at = { out: "ingress", back: "egress" } as const;
    expectAddressesKept(await place().expectTogether(rules, all, at));
  });

  it.each([TRANSLATED, ENCAPSULATED].map((way) => [way.title, way] as const))(
    "bulk of a client goes where the rest does: %s",
    async (_, way) => {
      const { lab, network } = place();
      await place().begin(planned(way, [BALANCER_IP], IPV4));
      const { host } = await place().podOf({ ...clients, source: OWN, flows: way.asked });
      await expectTransfers(lab, host, network.client, BALANCER_IP, BULK.tcp, [
        { direction: "upload", length: MB },
        { direction: "download", length: MB },
      ]);
    },
  );
});
