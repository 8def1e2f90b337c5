/**
 * NAT on the way: a masquerade with random ports at the client's end and a load balancer's DNAT, as
 * kube-proxy writes it, at the service's; both drop what conntrack finds INVALID. To them all of it is
 * connections to the service port.
 */
import { describe, expect, it } from "vitest";
import { bulkLab, GATEWAY, type ServicePort } from "../support/bulk.ts";
import { FAMILIES, inFamily } from "../support/family.ts";
import { expectTransfers } from "../support/http.ts";
import { IPTABLES, type Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import { SERVICE, useSides, WANTED } from "../support/translating.ts";
import type { Opening } from "../support/translating-sockets.ts";

/** The service has no other port. */
const PORTS: readonly ServicePort[] = [{ transport: "tcp", port: SERVICE }];
const MB = 1_000_000;
const PAIRS = 100;

/** The masquerade picks ports by chance, for the first packet of each connection. */
function natLab(lab: Lab) {
  const hosts = bulkLab(lab, { nat: PORTS });
  for (const iptables of lab.iptables) {
    const random = ["-p", "tcp", "-o", "uplink", "-j", "MASQUERADE", "--random-fully"];
    lab.run(hosts.gateway, iptables, "-w", "-t", "nat", "-I", "POSTROUTING", ...random);
  }
  return hosts;
}

describe.skipIf(skipReason)(titled("NAT between the two sides"), () => {
  const shared = useSides(natLab);

  describe.each(FAMILIES)("%s", (family) => {
    /** Packets that the gateway and the node have dropped as INVALID. */
    function invalid(): number {
      const { lab, hosts } = shared();
      const counts = [hosts.gateway, hosts.node].map((host) => {
        const rules = lab.run(host, `${IPTABLES[family]}-save`, "-c", "-t", "filter");
        const [, count] = /^\[(\d+):\d+\] -A \S+ .*INVALID/m.exec(rules) ?? [];
        if (count === undefined) throw new Error(`no such rule:\n${rules}`);
        return Number(count);
      });
      return counts.reduce((sum, count) => sum + count, 0);
    }

    it("connections from the same ports get where they want to", async () => {
      const { hosts, sides, talk } = shared();
      await sides.begin();
      const { pod, client } = await talk();
      const address = inFamily(family, hosts.address);
      const openings = (port: number): Opening[] =>
        Array.from({ length: PAIRS }, (_, index) => {
          const from = 3000 + index;
          return { key: `${port} from ${from}`, address, port, from };
        });
      const all = [...openings(WANTED), ...openings(SERVICE)];
      await client.openAll(openings(WANTED));
      await client.openAll(openings(SERVICE));
      const peer = inFamily(family, GATEWAY);
      const answers = await client.askAll(all.map(({ key }) => ({ key, text: key })));
      expect(answers).toMatchObject(all.map(({ key, port }) => ({ port, peer, text: key })));
      // The masquerade has seen to that.
      const notTheirs = answers.filter(({ peerPort, text }) => !text.endsWith(`from ${peerPort}`));
      expect(notTheirs.length).toBeGreaterThan(PAIRS);
      for (const port of [SERVICE, WANTED]) expect(await pod.seen(port)).toHaveLength(PAIRS);

      await Promise.all(all.map(({ key }) => client.finish(key)));
      expect(await sides.near.connections()).toMatchObject({ added: 2 * PAIRS });
      expect(await sides.far.connections()).toMatchObject({ added: PAIRS });
      expect(invalid()).toBe(0);
    });

    it("bodies over HTTP, byte for byte", async () => {
      const { lab, hosts, sides } = shared();
      await sides.begin();
      const address = inFamily(family, hosts.address);
      await expectTransfers(lab, hosts.pod, hosts.client, address, WANTED, [
        { direction: "upload", length: 5 * MB },
        { direction: "download", length: 5 * MB },
      ]);
      await sides.expectAllTranslated();
      expect(invalid()).toBe(0);
    });

    it("a connection goes on to its end, and is reset where it is told to", async () => {
      const { hosts, sides, talk } = shared();
      await sides.begin();
      const { client } = await talk();
      const address = inFamily(family, hosts.address);
      for (const key of ["ends", "is reset", "resets"]) {
        await client.open({ key, address, port: WANTED });
        expect(await client.ask(key, key)).toMatchObject({ port: WANTED, text: key });
      }
      await client.finish("ends");
      expect(await client.tryToAsk("is reset", "reset")).toEqual({ error: "ECONNRESET" });
      await client.close(["resets"], { reset: true });
      await sides.expectAllTranslated();
      expect(invalid()).toBe(0);
    });
  });
});
