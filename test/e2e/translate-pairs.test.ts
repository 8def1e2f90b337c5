/**
 * One rule a side: connections to a port travel through another one, their replies follow, and what
 * goes to that other port itself goes on beside them.
 */
import { describe, expect, it } from "vitest";
import { FAMILIES, inFamily } from "../support/family.ts";
import { expectTransfers, type Transfer } from "../support/http.ts";
import { skipReason, titled } from "../support/native.ts";
import {
  CLIENT,
  onClient,
  onGateway,
  podIn,
  SERVICE,
  threeHosts,
  useSides,
  WANTED,
} from "../support/translating.ts";

const PLACES = [
  { title: "on the client, at egress", near: onClient },
  { title: "on a gateway, at ingress", near: onGateway },
] as const;

const CONNECTIONS = 20;
const MB = 1_000_000;

const TRANSFERS: readonly Transfer[] = [1, 2, 3].flatMap((size) => [
  { direction: "upload", length: size * MB },
  { direction: "download", length: size * MB + 77 },
]);

describe.skipIf(skipReason).each(PLACES)(titled("translated $title"), ({ near }) => {
  const shared = useSides(threeHosts, near);

  describe.each(FAMILIES)("%s", (family) => {
    const address = podIn(family);
    const peer = inFamily(family, CLIENT);

    it("connections get to their port through the service port, beside those to it", async () => {
      const { sides, talk } = shared();
      await sides.begin();
      const { pod, client } = await talk();
      const ports = [SERVICE, WANTED];
      const keys = ports.flatMap((port) =>
        Array.from({ length: CONNECTIONS }, (_, index) => ({ port, key: `${port} ${index}` })),
      );
      await client.openAll(keys.map(({ port, key }) => ({ key, port, address })));
      for (const round of [1, 2, 3]) {
        const asked = keys.map(({ key }) => ({ key, text: `${key} ${round}` }));
        const answers = await client.askAll(asked);
        expect(answers).toMatchObject(
          keys.map(({ port, key }) => ({ port, peer, text: `${key} ${round}` })),
        );
      }
      // What each server has heard is what was meant for it, from the client's own address.
      for (const port of ports) {
        const heard = await pod.seen(port);
        expect(heard).toHaveLength(3 * CONNECTIONS);
        expect(heard.every(([from, , text]) => from === peer && text.startsWith(`${port} `))).toBe(
          true,
        );
      }
      await Promise.all(keys.map(({ key }) => client.finish(key)));

      const { out, arrived, answered, back } = await sides.counts();
      expect(Object.keys(out).sort()).toEqual(["funneled", "no_match"]);
      expect(Object.keys(arrived).sort()).toEqual(["not_carrier", "unfunneled"]);
      expect(Object.keys(answered).sort()).toEqual(["no_match", "reply_funneled"]);
      expect(Object.keys(back).sort()).toEqual(["no_match", "reply_unfunneled"]);
      expect(await sides.near.connections()).toMatchObject({
        // Real ones to the service port are known as well: they could be taken for the others.
        added: 2 * CONNECTIONS,
        entries: 2 * CONNECTIONS,
        remapped: 0,
        evicted: 0,
        notAdded: 0,
        fastOpenRemoved: 0,
      });
      expect(await sides.far.connections()).toMatchObject({ added: CONNECTIONS, remapped: 0 });
    });

    it("HTTP, byte for byte", async () => {
      const { lab, hosts, sides } = shared();
      await sides.begin();
      await expectTransfers(lab, hosts.pod, hosts.client, address, WANTED, TRANSFERS);
      await sides.expectAllTranslated();
    });

    // What follows does not depend on the place.
    if (near !== onClient) return;

    it("a rule of this family leaves the other alone", async () => {
      const { sides, talk } = shared();
      const word = { IPv4: "ip", IPv6: "ip6" }[family];
      await sides.begin({
        near: `${word} tcp dport ${WANTED} actions funnel translate tcp dport ${SERVICE}`,
        far: `${word} tcp dport ${SERVICE} actions unfunnel translate tcp allow ${WANTED}`,
      });
      const { client } = await talk();
      await client.open({ key: "ours", address, port: WANTED });
      expect(await client.ask("ours", "ours")).toMatchObject({ port: WANTED, peer });
      const { out } = await sides.counts();
      expect(Object.keys(out)).toEqual(["funneled"]);
      for (const other of FAMILIES.filter((each) => each !== family)) {
        await client.open({ key: "other", address: podIn(other), port: WANTED });
        const from = inFamily(other, CLIENT);
        expect(await client.ask("other", "other")).toMatchObject({ port: WANTED, peer: from });
      }
      const { out: both } = await sides.counts();
      expect(both).toEqual({ funneled: out.funneled, no_match: expect.any(Number) });
    });

    it("a port that the rule on the service side does not allow is refused", async () => {
      const { sides, talk } = shared();
      const near = `tcp dport 9090 actions funnel translate tcp dport ${SERVICE}`;
      await sides.begin({ near });
      const { pod, client } = await talk([SERVICE, 9090]);
      const result = await client.tryToOpen({ key: "refused", address, port: 9090 });
      expect(result).toEqual({ error: "ECONNREFUSED" });
      expect(await pod.seen(SERVICE)).toEqual([]);
      expect(await pod.seen(9090)).toEqual([]);
      const { arrived, back } = await sides.counts();
      expect(arrived).toEqual({ translate_not_allowed: 1 });
      // Its reset is rewritten as what it answers was.
      expect(back).toEqual({ reply_unfunneled: 1 });
      expect((await sides.near.connections()).entries).toBe(0);
    });
  });
});
