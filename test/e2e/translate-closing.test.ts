/** What is left of connections that are over, and segments that come late. */
import { describe, expect, it } from "vitest";
import { counter } from "../support/bulk.ts";
import { FAMILIES } from "../support/family.ts";
import { eventually, IPTABLES } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import { podIn, SERVICE, threeHosts, useSides, WANTED } from "../support/translating.ts";

const CONNECTIONS = 50;

const keys = Array.from({ length: CONNECTIONS }, (_, index) => `${index}`);

/** That they leave a minute later, when others begin, takes a clock that tests have not. */
describe.skipIf(skipReason)(titled("connections that are over"), () => {
  const shared = useSides(threeHosts);

  it.each(FAMILIES)("stay known for segments that come late: %s", async (family) => {
    const { sides, talk } = shared();
    await sides.begin();
    const { client } = await talk();
    const address = podIn(family);
    await client.openAll(keys.map((key) => ({ key, address, port: WANTED })));
    await client.askAll(keys.map((key) => ({ key, text: key })));
    await Promise.all(keys.map((key) => client.finish(key)));
    await sides.expectAllTranslated();
    for (const side of [sides.near, sides.far]) {
      const { added, removed, entries } = await side.connections();
      expect({ added, removed, entries }).toEqual({
        added: CONNECTIONS,
        removed: 0,
        entries: CONNECTIONS,
      });
    }
  });

  it.each(FAMILIES)("a FIN that is sent again gets its answer: %s", async (family) => {
    const { lab, hosts, sides, talk } = shared();
    await sides.begin();
    const { client } = await talk();
    await client.open({ key: "one", address: podIn(family), port: WANTED });
    await client.ask("one", "one");
    // Until the pod has sent its FIN again, all that the client acknowledges gets lost.
    const again = () => counter(lab, hosts.pod, "Tcp", "RetransSegs");
    const before = again();
    const lost = ["-i", "clients", "-p", "tcp", "--tcp-flags", "FIN,ACK", "ACK", "-j", "DROP"];
    const iptables = (what: string) =>
      lab.run(hosts.gateway, IPTABLES[family], "-w", what, "FORWARD", ...lost);
    iptables("-I");
    await client.finish("one");
    await eventually(() => again() > before);
    const waiting = () => lab.run(hosts.pod, "ss", "-Htn", "state", "last-ack");
    expect(waiting()).not.toBe("");
    iptables("-D");
    await eventually(() => waiting() === "");

    await eventually(async () => {
      const { answered, back } = await sides.counts();
      return answered.reply_funneled === back.reply_unfunneled;
    });
    const { out, arrived, answered, back } = await sides.counts();
    expect({ out, arrived, answered, back }).toEqual({
      out: { funneled: expect.any(Number) },
      arrived: { unfunneled: expect.any(Number) },
      answered: { reply_funneled: expect.any(Number) },
      back: { reply_unfunneled: expect.any(Number) },
    });
    expect(arrived.unfunneled).toBeLessThan(out.funneled ?? 0);
    for (const side of [sides.near, sides.far]) {
      expect(await side.connections()).toMatchObject({ added: 1, removed: 0 });
    }
  });

  it.each(FAMILIES)("are free at once where the handshake ends in a reset: %s", async (family) => {
    const { sides, talk } = shared();
    await sides.begin();
    const { client } = await talk([SERVICE]);
    const address = podIn(family);
    for (const key of keys) {
      const result = await client.tryToOpen({ key, address, port: WANTED });
      expect(result).toEqual({ error: "ECONNREFUSED" });
    }
    for (const side of [sides.near, sides.far]) {
      const { added, removed, entries } = await side.connections();
      expect({ added, removed, entries }).toEqual({
        added: CONNECTIONS,
        removed: CONNECTIONS,
        entries: 0,
      });
    }
  });
});
