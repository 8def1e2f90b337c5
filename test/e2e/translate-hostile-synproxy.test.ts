/**
 * A router on the way that answers SYNs in the place of the service (iptables' SYNPROXY), and opens
 * a connection of its own to it. The mark does not get through, so nothing else does.
 */
import { describe, expect, it } from "vitest";
import { FAMILIES, inFamily } from "../support/family.ts";
import type { Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import { expectNothingAtService, POD, useTranslatedLab } from "../support/translate-lab.ts";
import { SERVICE, WANTED } from "../support/translated.ts";

/** As the kernel's documentation has it, before the service port. */
function protect(lab: Lab, router: { readonly netns: string }): void {
  const loose = "/proc/sys/net/netfilter/nf_conntrack_tcp_loose";
  const to = ["-p", "tcp", "--dport", `${SERVICE}`];
  const untracked = ["-m", "conntrack", "--ctstate", "INVALID,UNTRACKED"];
  const answer = ["-j", "SYNPROXY", "--sack-perm", "--timestamp", "--wscale", "7", "--mss", "1400"];
  for (const iptables of lab.iptables) {
    for (const rule of [
      ["-t", "raw", "-A", "PREROUTING", ...to, "--syn", "-j", "CT", "--notrack"],
      ["-A", "FORWARD", ...to, ...untracked, ...answer],
      ["-A", "FORWARD", "-m", "conntrack", "--ctstate", "INVALID", "-j", "DROP"],
    ]) {
      lab.run(router, iptables, "-w", ...rule);
    }
  }
  lab.run(router, "sh", "-c", `echo 0 > ${loose}`);
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
    const counters = lab.iptables.map((each) => lab.run(hosts.router, each, "-nvxL", "FORWARD"));
    for (const counted of counters) expect(counted).toMatch(/^\s*[1-9]\d*\s.*SYNPROXY/m);

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
