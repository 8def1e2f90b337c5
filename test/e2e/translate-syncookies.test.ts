/**
 * A pod that answers each SYN with a cookie and remembers nothing of it, and one whose backlog is
 * full: the connection is known to us before it is to the pod.
 */
import { describe, expect, it } from "vitest";
import { counter } from "../support/bulk.ts";
import { FAMILIES } from "../support/family.ts";
import { eventually } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import { podIn, SERVICE, threeHosts, useSides, WANTED } from "../support/translating.ts";

const PAIRS = 50;
const BACKLOG = 2;
/** The queue of Linux takes one more than it is told. */
const WAITING = BACKLOG + 1;
const TOO_MANY = 3;

const NEVER = 0;
const ALWAYS = 2;
const COOKIES = [
  { title: "always", value: ALWAYS },
  { title: "never", value: NEVER },
] as const;

describe.skipIf(skipReason)(titled("a pod under a flood"), () => {
  const shared = useSides(threeHosts);

  /** Of both families, whatever the name says. */
  function cookies(value: number): void {
    const { lab, hosts } = shared();
    lab.run(hosts.pod, "sh", "-c", `echo ${value} > /proc/sys/net/ipv4/tcp_syncookies`);
  }

  it.each(FAMILIES)("answers with cookies: %s", async (family) => {
    const { lab, hosts, sides, talk } = shared();
    cookies(ALWAYS);
    await sides.begin();
    const { client } = await talk();
    const address = podIn(family);
    const sent = counter(lab, hosts.pod, "TcpExt", "SyncookiesSent");
    const received = counter(lab, hosts.pod, "TcpExt", "SyncookiesRecv");
    const all = [WANTED, SERVICE].flatMap((port) =>
      Array.from({ length: PAIRS }, (_, index) => ({ key: `${port} ${index}`, address, port })),
    );
    await client.openAll(all);
    const answers = await client.askAll(all.map(({ key }) => ({ key, text: key })));
    expect(answers).toMatchObject(all.map(({ key, port }) => ({ text: key, port })));
    expect(counter(lab, hosts.pod, "TcpExt", "SyncookiesSent") - sent).toBe(2 * PAIRS);
    expect(counter(lab, hosts.pod, "TcpExt", "SyncookiesRecv") - received).toBe(2 * PAIRS);
    expect(await sides.far.connections()).toMatchObject({ added: PAIRS, removed: 0 });
  });

  it.each(COOKIES)(
    "lets those wait for whom there is no room, cookies $title",
    async ({ value }) => {
      const { lab, hosts, sides, talk } = shared();
      cookies(value);
      await sides.begin();
      const { pod, client } = await talk([SERVICE]);
      await pod.listen({ port: WANTED, backlog: BACKLOG, accepting: false });
      const address = podIn("IPv4");
      const keys = (kind: string, length: number) =>
        Array.from({ length }, (_, index) => `${kind} ${index}`);
      const [first, later] = [keys("first", WAITING), keys("later", TOO_MANY)];
      await client.openAll(first.map((key) => ({ key, address, port: WANTED })));
      const full = () => counter(lab, hosts.pod, "TcpExt", "ListenOverflows");
      const before = full();
      const opening = client.openAll(later.map((key) => ({ key, address, port: WANTED })));
      await eventually(() => full() - before >= TOO_MANY);
      // The service port is not concerned.
      await client.open({ key: "direct", address, port: SERVICE });
      expect(await client.ask("direct", "direct")).toMatchObject({ port: SERVICE });

      // Their SYNs are sent again, and are known as what they are.
      await pod.accept(WANTED);
      await opening;
      const all = [...first, ...later];
      const answers = await client.askAll(all.map((key) => ({ key, text: key })));
      expect(answers).toMatchObject(all.map((key) => ({ text: key, port: WANTED })));
      for (const side of [sides.near, sides.far]) {
        const { removed } = await side.connections();
        expect(removed).toBe(0);
      }
      expect(await sides.far.connections()).toMatchObject({ added: WAITING + TOO_MANY });
      const { out, arrived } = await sides.counts();
      expect(Object.keys(out).sort()).toEqual(["funneled", "no_match"]);
      expect(Object.keys(arrived).sort()).toEqual(["not_carrier", "unfunneled"]);
    },
  );
});
