/** Errors about a connection that is being opened reach the socket that opens it. */
import { describe, expect, it } from "vitest";
import { FAMILIES, type Family } from "../support/family.ts";
import { type Host, IPTABLES, type Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import {
  onClient,
  onGateway,
  podIn,
  SERVICE,
  threeHosts,
  useSides,
  WANTED,
} from "../support/translating.ts";

/** What a host answers instead of passing on, as iptables names it, and what the socket says then. */
const HOST = {
  title: "host unreachable",
  how: { IPv4: "icmp-host-unreachable", IPv6: "icmp6-addr-unreachable" },
  error: "EHOSTUNREACH",
} as const;
const PORT = {
  title: "port unreachable",
  how: { IPv4: "icmp-port-unreachable", IPv6: "icmp6-port-unreachable" },
  error: "ECONNREFUSED",
} as const;

const PLACES = [
  { title: "on the client, at egress", near: onClient, kinds: [HOST, PORT] },
  { title: "on a gateway, at ingress", near: onGateway, kinds: [HOST] },
] as const;

const reject = (port: number, how: string) =>
  ["-p", "tcp", "--dport", `${port}`, "-j", "REJECT", "--reject-with", how] as const;

/** Until it is disposed of, a host has this rule. */
function ruling(lab: Lab, host: Host, family: Family, chain: string, rule: readonly string[]) {
  const iptables = (what: string) => lab.run(host, IPTABLES[family], "-w", what, chain, ...rule);
  iptables("-I");
  return { [Symbol.dispose]: () => void iptables("-D") };
}

describe.skipIf(skipReason).each(PLACES)(
  titled("an error, translated $title"),
  ({ near, kinds }) => {
    const shared = useSides(threeHosts, near);

    describe.each(FAMILIES)("%s", (family) => {
      const opening = { key: "refused", address: podIn(family), port: WANTED };

      it.each(kinds)("of a router on the way: $title", async ({ how, error }) => {
        const { lab, hosts, sides, talk } = shared();
        await sides.begin();
        const { pod, client } = await talk();
        // On the way all that there is goes to the service port.
        using _rule = ruling(lab, hosts.gateway, family, "FORWARD", reject(SERVICE, how[family]));
        expect(await client.tryToOpen(opening)).toEqual({ error });
        // While a call holds the socket, IPv6 takes the first error for a passing trouble.
        const { out, ...others } = await sides.counts();
        const { funneled: count } = out;
        expect(out).toEqual({ funneled: count });
        expect(others).toEqual({ arrived: {}, answered: {}, back: { error_unfunneled: count } });
        expect(await pod.seen(SERVICE)).toEqual([]);
      });

      // What follows does not depend on the place.
      if (near !== onClient) return;

      it.each(kinds)("of the pod itself: $title", async ({ how, error }) => {
        const { lab, hosts, sides, talk } = shared();
        await sides.begin();
        const { client } = await talk();
        // It knows the connection by the port that was wanted.
        using _rule = ruling(lab, hosts.pod, family, "INPUT", reject(WANTED, how[family]));
        expect(await client.tryToOpen(opening)).toEqual({ error });
        const { out, ...others } = await sides.counts();
        const { funneled: count } = out;
        expect(out).toEqual({ funneled: count });
        expect(others).toEqual({
          arrived: { unfunneled: count },
          answered: { error_funneled: count },
          back: { error_unfunneled: count },
        });
      });

      it("a port on which nobody listens", async () => {
        const { sides, talk } = shared();
        await sides.begin();
        const { client } = await talk([SERVICE]);
        expect(await client.tryToOpen(opening)).toEqual({ error: "ECONNREFUSED" });
        expect(await sides.counts()).toEqual({
          out: { funneled: 1 },
          arrived: { unfunneled: 1 },
          answered: { reply_funneled: 1 },
          back: { reply_unfunneled: 1 },
        });
        // Nothing is left of it.
        for (const side of [sides.near, sides.far]) {
          expect(await side.connections()).toMatchObject({ added: 1, removed: 1, entries: 0 });
        }
      });
    });
  },
);
