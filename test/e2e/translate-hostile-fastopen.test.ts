/**
 * TCP fast open (RFC 7413): what a client says in its SYN must not get to anybody before it is
 * known who that is. It gets there once, after the handshake.
 */
import { beforeAll, describe, expect, it } from "vitest";
import { FAMILIES, inFamily } from "../support/family.ts";
import { eventually, type Host, type Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import { expectNothingAtService, POD, useRelayedLab } from "../support/translate-lab.ts";
import { CLIENT_RULE, SERVICE, WANTED } from "../support/translated.ts";

/** Bits of net.ipv4.tcp_fastopen, for both families. */
const CLIENT_MAY = 1;
const CLIENT_NEEDS_NO_COOKIE = 4;
const SERVER_MAY = 2;
const SERVER_NEEDS_NO_COOKIE = 0x200;
const ALL_LISTENERS = 0x400;

const WITH_COOKIE = {
  how: "with a cookie",
  client: CLIENT_MAY,
  server: SERVER_MAY | ALL_LISTENERS,
};

const WITHOUT_COOKIE = {
  how: "without a cookie",
  client: CLIENT_MAY | CLIENT_NEEDS_NO_COOKIE,
  server: SERVER_MAY | SERVER_NEEDS_NO_COOKIE | ALL_LISTENERS,
};

const MODES = [WITH_COOKIE, WITHOUT_COOKIE];

/**
 * Kinds of a SYN's options, two digits each; of the experimental ones (RFC 6994) whose they are,
 * too.
 */
function kindsOf(options: string): readonly string[] {
  const kinds: string[] = [];
  for (let at = 0; at < options.length; ) {
    const kind = options.slice(at, at + 2);
    const isAlone = kind === "00" || kind === "01";
    kinds.push(kind === "fe" ? kind + options.slice(at + 4, at + 8) : kind);
    at += isAlone ? 2 : 2 * Number.parseInt(options.slice(at + 2, at + 4), 16);
  }
  return kinds;
}

const FAST_OPEN = "22";
const EXPERIMENTAL_FAST_OPEN = "fef989";

function setFastOpen(lab: Lab, host: Host, bits: number): void {
  lab.run(host, "sh", "-c", `echo ${bits} > /proc/sys/net/ipv4/tcp_fastopen`);
}

describe.skipIf(skipReason)(titled("fast open of a translated connection"), () => {
  const { place, kept } = useRelayedLab();

  // Listeners know from the beginning whether they take part.
  beforeAll(() => setFastOpen(kept().lab, kept().hosts.pod, WITHOUT_COOKIE.server));

  /** The client's kernel knows no cookies. */
  function begin(mode: typeof WITH_COOKIE): void {
    const { lab, hosts } = place();
    lab.ip(hosts.client, "tcp_metrics", "flush", "all");
    setFastOpen(lab, hosts.client, mode.client);
    setFastOpen(lab, hosts.pod, mode.server);
  }

  /** Without rules on the way, something is said to a port in a SYN: so both kernels do it. */
  async function expectInSyn(port: number): Promise<void> {
    const { client, near, relay } = place();
    await near.begin({});
    for (const family of FAMILIES) {
      const peer = { address: inFamily(family, POD), port, fast: true };
      // The first one may have to ask for a cookie.
      for (const say of ["first ", "second "]) {
        const connection = client.open({ ...peer, say });
        await connection.answer(say);
        // Rules that come later have nothing to do with it any more.
        connection.close();
        await connection.end();
      }
      expect((await relay.of("near", "syn", family)).at(-1)?.text).toBe("second ");
    }
  }

  it.each(MODES)("$how says it after the handshake, and once", async (mode) => {
    begin(mode);
    await expectInSyn(WANTED);
    const { client, pod, relay, near, far } = place();
    await near.begin({ egress: CLIENT_RULE });
    const spoken = await pod.heard(WANTED);
    const before = (await relay.of("near", "syn")).length;
    for (const family of FAMILIES) {
      const peer = { address: inFamily(family, POD), port: WANTED, fast: true };
      const fast = client.open({ ...peer, say: `fast ${family} ` });
      expect(await fast.answer(" ")).toBe(`${WANTED}:fast ${family} `);
      expect(await fast.ask("more ")).toBe(`${WANTED}:more `);
    }
    const syns = (await relay.of("near", "syn")).slice(before);
    expect(syns).toHaveLength(FAMILIES.length);
    for (const { text, options, dport } of syns) {
      expect({ text, dport }).toEqual({ text: "", dport: SERVICE });
      expect(kindsOf(options)).not.toContain(FAST_OPEN);
    }
    const heard = FAMILIES.map((family) => `fast ${family} more `).join("");
    expect(await pod.heard(WANTED)).toBe(`${spoken}${heard}`);
    expect((await near.connections()).fastOpenRemoved).toBe(FAMILIES.length);
    expect([await near.special(), await far.special()]).toEqual([{}, {}]);
    await expectNothingAtService(place());
  });

  it("asks for no cookie, in either form of the option", async () => {
    const { client, relay, near } = place();
    /** Kinds of options of the SYN of one more connection. */
    const kindsOfNext = async (port: number) => {
      const seen = (await relay.of("near", "syn")).length;
      await client.open({ address: POD, port, fast: true, say: "hello" }).answer("hello");
      return kindsOf(`${(await relay.of("near", "syn"))[seen]?.options}`);
    };
    const forms = expect.stringMatching(`^(${FAST_OPEN}|${EXPERIMENTAL_FAST_OPEN})$`);
    begin(WITH_COOKIE);
    expect(await kindsOfNext(SERVICE)).toContain(FAST_OPEN);
    // Where the option got no answer, the kernel takes to the experimental one once.
    begin(WITH_COOKIE);
    expect(await kindsOfNext(WANTED)).not.toContainEqual(forms);
    expect(await kindsOfNext(SERVICE)).toContain(EXPERIMENTAL_FAST_OPEN);
    begin(WITH_COOKIE);
    expect(await kindsOfNext(WANTED)).not.toContainEqual(forms);
    expect(await kindsOfNext(WANTED)).not.toContainEqual(forms);
    expect((await near.connections()).fastOpenRemoved).toBe(3);
  });

  it("says nothing to a service that takes it before the handshake", async () => {
    begin(WITHOUT_COOKIE);
    await expectInSyn(SERVICE);
    const { client, pod, relay, near, far } = place();
    await far.begin({});
    // It does take it: the client has not heard of the pod when the pod has heard of the client.
    const spoken = await pod.heard(SERVICE);
    await relay.follow([{ from: "far", kind: "synAck", fate: "hold" }]);
    const open = client.open({ address: POD, port: SERVICE, say: "open ", fast: true });
    await eventually(async () => (await pod.heard(SERVICE)) === `${spoken}open `);
    await relay.release();
    await relay.follow([]);
    expect(await open.answer("open ")).toBe(`${SERVICE}:open `);

    await near.begin({ egress: CLIENT_RULE });
    for (const family of FAMILIES) {
      const peer = { address: inFamily(family, POD), port: WANTED, fast: true };
      const fast = client.open({ ...peer, say: "secret" });
      expect(await fast.refusal()).toBe("ECONNREFUSED");
    }
    expect(await near.special()).toEqual({ translate_unconfirmed: FAMILIES.length });
    const after = await client.open({ address: POD, port: SERVICE }).ask("after");
    expect(after).toBe(`${SERVICE}:after`);
    expect(await pod.heard(SERVICE)).toBe(`${spoken}open after`);
    expect(await pod.accepted(SERVICE)).toBe(2 * FAMILIES.length + 2);
  });
});
