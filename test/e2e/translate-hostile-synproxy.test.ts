/**
 * A router on the way that answers SYNs in the place of the service (synproxy of nftables), and opens
 * a connection of its own to it. The mark does not get through, so nothing else does.
 */
import { describe, expect, it } from "vitest";
import { FAMILIES, inFamily } from "../support/family.ts";
import type { Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import { expectNothingAtService, POD, useTranslatedLab } from "../support/translate-lab.ts";
import { SERVICE, WANTED } from "../support/translated.ts";

/** Before the service port: who has not shown that he is there is not let through. */
const PROXY = `table inet proxy {
  chain first {
    type filter hook prerouting priority raw
    tcp dport ${SERVICE} tcp flags & (fin | syn | rst | ack) == syn notrack
  }
  chain forward {
    type filter hook forward priority filter
    tcp dport ${SERVICE} ct state { invalid, untracked } counter synproxy mss 1400 wscale 7 timestamp sack-perm
    ct state invalid drop
  }
}`;

function protect(lab: Lab, router: { readonly netns: string }): void {
  lab.run(router, "nft", PROXY);
  // The last ACK of a handshake that was not seen is no connection.
  lab.run(router, "sh", "-c", "echo 0 > /proc/sys/net/netfilter/nf_conntrack_tcp_loose");
}

/** client - router with a SYN proxy - pod. */
function proxied(lab: Lab) {
  const [client, router, pod] = [lab.host("client"), lab.router("router"), lab.host("pod")];
  lab.link(client, "eth0", "10.6.0.1/24", router, "near", "10.6.0.254/24");
  lab.link(router, "far", "10.5.0.254/24", pod, "eth0", `${POD}/24`);
  lab.route(client, "10.6.0.254");
  lab.route(pod, "10.5.0.254");
  protect(lab, router);
  return { client, router, pod };
}

describe.skipIf(skipReason)(titled("a SYN proxy on the way"), () => {
  const { place } = useTranslatedLab(proxied);

  it("answers connections to the service port, and no others get to it", async () => {
    const { lab, hosts, client, pod, near, far } = place();
    // The control: it is there, and it does its work.
    await expectNothingAtService(place());
    const listed = lab.run(hosts.router, "nft", "list", "chain", "inet", "proxy", "forward");
    expect(listed).toMatch(/counter packets [1-9]\d* .*synproxy/);

    const { entries } = await near.connections();
    for (const family of FAMILIES) {
      const peer = { address: inFamily(family, POD), port: WANTED };
      expect(await client.open({ ...peer, say: "secret" }).refusal()).toBe("ECONNREFUSED");
    }
    expect(await near.special()).toEqual({ translate_unconfirmed: FAMILIES.length });
    expect(await far.special()).toEqual({});
    expect((await far.connections()).added).toBe(0);
    expect((await near.connections()).entries).toBe(entries);
    const before = await pod.heard(SERVICE);
    const last = client.open({ address: POD, port: SERVICE });
    expect(await last.ask("last")).toBe(`${SERVICE}:last`);
    expect(await pod.heard(SERVICE)).toBe(`${before}last`);
    expect(await pod.accepted(SERVICE)).toBe(FAMILIES.length + 1);
    expect(await pod.accepted(WANTED)).toBe(0);
  });
});
