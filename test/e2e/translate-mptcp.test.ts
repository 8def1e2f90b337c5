/** Multipath TCP: its options pass, so a connection stays what it is and may get a second path. */
import { describe, expect, it } from "vitest";
import { counter } from "../support/bulk.ts";
import { FAMILIES, inFamily } from "../support/family.ts";
import { eventually } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import { CLIENT, podIn, SERVICE, threeHosts, useSides, WANTED } from "../support/translating.ts";
import { Sockets } from "../support/translating-sockets.ts";

/** A second address of the client, from which it joins with another path. */
const SECOND = "10.1.0.79";

const BYTES = 300_000;

/** Signs of a connection that went on as plain TCP. */
const FALLBACKS = ["MPCapableFallbackACK", "MPCapableFallbackSYNACK", "MPFallbackTokenInit"];

describe.skipIf(skipReason)(titled("Multipath TCP"), () => {
  const shared = useSides((lab) => {
    const hosts = threeHosts(lab);
    lab.configure(hosts.client, "eth0", `${SECOND}/24`);
    for (const host of [hosts.client, hosts.pod]) {
      lab.ip(host, "mptcp", "limits", "set", "subflows", "1", "add_addr_accepted", "1");
    }
    return hosts;
  });

  it.each(FAMILIES)("a translated connection stays one: %s", async (family) => {
    const { lab, hosts, sides } = shared();
    await sides.begin();
    const second = inFamily(family, SECOND);
    lab.ip(hosts.client, "mptcp", "endpoint", "flush");
    lab.ip(hosts.client, "mptcp", "endpoint", "add", second, "dev", "eth0", "subflow");
    const count = (host: keyof typeof hosts, name: string) =>
      counter(lab, hosts[host], "MPTcpExt", name);
    const [accepted, joined] = [count("pod", "MPCapableACKRX"), count("pod", "MPJoinAckRx")];

    const pod = await Sockets.on(lab, hosts.pod);
    for (const port of [SERVICE, WANTED]) await pod.listen({ port, mptcp: true });
    const client = await Sockets.on(lab, hosts.client);
    const source = inFamily(family, CLIENT);
    for (const port of [WANTED, SERVICE]) {
      const key = `to ${port}`;
      await client.open({ key, address: podIn(family), port, source, mptcp: true });
      expect(await client.ask(key, key)).toMatchObject({ port, peer: source });
    }
    await client.open({ key: "bulk", address: podIn(family), port: WANTED, source, mptcp: true });
    const poured = await client.pour("bulk", BYTES);
    expect(count("pod", "MPCapableACKRX") - accepted).toBe(3);
    // The second path is there as soon as the peer has confirmed the first.
    await eventually(() => count("pod", "MPJoinAckRx") - joined === 3);
    expect(await client.finish("bulk")).toEqual(poured);
    for (const host of ["client", "pod"] as const) {
      for (const name of FALLBACKS) expect(count(host, name)).toBe(0);
    }
    // Both paths of each; those of the one to the service port are known to the client's side alone.
    expect(await sides.near.connections()).toMatchObject({ added: 6 });
    expect(await sides.far.connections()).toMatchObject({ added: 4 });
  });
});
