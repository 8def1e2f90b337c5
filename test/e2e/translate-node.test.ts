/**
 * A node that masquerades: what comes through it and what comes from itself, as a kubelet's probe
 * does, have one address, and to the pod may look alike.
 */
import { describe, expect, it } from "vitest";
import { FAMILIES, inFamily } from "../support/family.ts";
import { IPTABLES, type Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import { GATEWAY, podIn, SERVICE, threeHosts, useSides, WANTED } from "../support/translating.ts";
import { Sockets } from "../support/translating-sockets.ts";

const PAIRS = 200;

function masquerading(lab: Lab) {
  const hosts = threeHosts(lab);
  for (const family of lab.families) {
    const rule = ["-A", "POSTROUTING", "-o", "pods", "-j", "MASQUERADE"];
    lab.run(hosts.gateway, IPTABLES[family], "-w", "-t", "nat", ...rule);
  }
  return hosts;
}

const CASES = FAMILIES.flatMap((family, index) =>
  [
    { first: "its own", second: "a client's" },
    { first: "a client's", second: "its own" },
  ].map((order, which) => ({ ...order, family, lowest: 3000 + 1000 * (2 * index + which) })),
);

describe.skipIf(skipReason)(titled("behind a node that masquerades"), () => {
  const shared = useSides(masquerading);

  it.each(CASES)("$first and $second from the same ports: $family", async (row) => {
    const { first, second, family, lowest } = row;
    const { lab, hosts, sides, talk } = shared();
    await sides.begin();
    const { pod, client } = await talk();
    const node = await Sockets.on(lab, hosts.gateway);
    const ofNode = { "its own": node, "a client's": client } as const;
    const address = podIn(family);
    const froms = Array.from({ length: PAIRS }, (_, index) => lowest + index);
    const openings = (who: string) =>
      froms.map((from) => ({ key: `${who} from ${from}`, address, port: WANTED, from }));
    const [one, other] = [first, second].map((who) => ofNode[who as keyof typeof ofNode]);
    await one?.openAll(openings(first));
    await other?.openAll(openings(second));

    for (const [who, sockets] of Object.entries(ofNode)) {
      const asked = openings(who).map(({ key }) => ({ key, text: key }));
      const peer = inFamily(family, GATEWAY);
      const answers = await sockets.askAll(asked);
      expect(answers).toMatchObject(asked.map(({ text }) => ({ text, port: WANTED, peer })));
      // The earlier ones have kept their own port, but for one that a connection of an earlier test
      // may have got by chance; the later ones cannot have.
      const kept = answers.filter(({ peerPort, text }) => text.endsWith(`from ${peerPort}`));
      if (who === first) expect(kept.length).toBeGreaterThan(0.9 * PAIRS);
      else expect(kept).toEqual([]);
    }
    expect(await pod.seen(WANTED)).toHaveLength(2 * PAIRS);
    expect(await pod.seen(SERVICE)).toEqual([]);
    // It is the pod's side that keeps them apart; on the way they are.
    expect(await sides.near.connections()).toMatchObject({ added: PAIRS, remapped: 0 });
    const { added, remapped } = await sides.far.connections();
    expect(added).toBe(2 * PAIRS);
    expect(remapped).toBeGreaterThanOrEqual(PAIRS);
  });
});
