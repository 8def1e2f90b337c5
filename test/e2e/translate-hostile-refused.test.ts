/**
 * Nobody confirms: the peer, or somebody on the way, does not know what a mark is. The client is
 * refused, and no byte of what it would have said gets to the program on the service port.
 */
import { describe, expect, it } from "vitest";
import { FAMILIES, inFamily } from "../support/family.ts";
import { eventually, type Host, type Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import { FLAG } from "../support/packet.ts";
import {
  expectNothingAtService,
  POD,
  type RelayedPlace,
  useRelayedLab,
} from "../support/translate-lab.ts";
import { CLIENT_RULE, SERVICE, WANTED } from "../support/translated.ts";

const MARK = 0x5f0e0000 + WANTED;

/** One that the pod's rules do not allow. */
const FORBIDDEN = 9999;

/** What a pod without our mode follows. */
const WITHOUT = [
  { what: "no sfunnel", rules: {} },
  {
    what: "encap alone",
    rules: { ingress: `tcp dport ${SERVICE} actions unfunnel tcp allow ${WANTED}` },
  },
];

/** What becomes of a handshake on the way. */
const MANGLED = [
  { what: "clears the whole mark", from: "near", kind: "syn", fate: { ack: 0, urgent: 0 } },
  { what: "clears the mark's number", from: "near", kind: "syn", fate: { ack: 0 } },
  { what: "clears the mark's complement", from: "near", kind: "syn", fate: { urgent: 0 } },
  { what: "clears the confirmation", from: "far", kind: "synAck", fate: { urgent: 0 } },
  {
    what: "writes another confirmation",
    from: "far",
    kind: "synAck",
    fate: { urgent: WANTED + 1 },
  },
  {
    what: "sets URG beside the confirmation",
    from: "far",
    kind: "synAck",
    fate: { flags: FLAG.syn | FLAG.ack | FLAG.urg },
  },
  {
    what: "turns the SYN-ACK into a SYN, as if both had begun",
    from: "far",
    kind: "synAck",
    fate: { flags: FLAG.syn },
  },
] as const;

/** Both families at once: the client says something as soon as it may, and never may. */
async function expectRefusals({ client, relay, near }: RelayedPlace): Promise<void> {
  const opened = FAMILIES.map((family) =>
    client.open({ address: inFamily(family, POD), port: WANTED, say: "secret" }),
  );
  for (const [index, connection] of opened.entries()) {
    expect(await connection.refusal()).toBe("ECONNREFUSED");
    const sport = await connection.localPort();
    const syns = await relay.of("near", "syn", FAMILIES[index]);
    expect(syns).toMatchObject([{ sport, dport: SERVICE, ack: MARK, text: "" }]);
  }
  expect(await near.special()).toEqual({ translate_unconfirmed: opened.length });
  // Nothing is left of it.
  const { entries, added } = await near.connections();
  expect({ entries, added }).toEqual({ entries: 0, added: opened.length });
}

/** The kernel of a host has no connection that is only begun. */
async function noneHalfOpen(lab: Lab, host: Host): Promise<boolean> {
  const lines = await lab.execute(host, "ss", "-Htan", "state", "syn-recv");
  return lines.trim() === "";
}

describe.skipIf(skipReason)(titled("a connection that nobody confirms"), () => {
  const { place } = useRelayedLab();

  it.each(WITHOUT)("because the pod knows $what", async ({ rules }) => {
    const { lab, hosts, far, pod, relay } = place();
    await far.begin(rules);
    await expectRefusals(place());
    // The pod asks once more, and then hears that nobody wants it.
    for (const family of FAMILIES) {
      await relay.segment(
        ({ side, kind, ...segment }) =>
          side === "near" && kind === "reset" && segment.family === family,
      );
    }
    await eventually(() => noneHalfOpen(lab, hosts.pod));
    await expectNothingAtService(place());
    expect(await pod.accepted(WANTED)).toBe(0);
  });

  it.each(MANGLED)("because somebody $what", async ({ from, kind, fate }) => {
    const { far, pod, relay } = place();
    await relay.follow([{ from, kind, fate }]);
    await expectRefusals(place());
    await relay.follow([]);
    await expectNothingAtService(place());
    expect(await pod.accepted(WANTED)).toBe(0);
    expect(await pod.heard(WANTED)).toBe("");
    expect(await far.special()).toEqual({});
  });

  it("is one to a port that the pod does not allow, and ends at once", async () => {
    const { client, near, far, relay } = place();
    await near.begin({ egress: CLIENT_RULE.replace(`${WANTED}`, `${FORBIDDEN}`) });
    for (const family of FAMILIES) {
      const connection = client.open({
        address: inFamily(family, POD),
        port: FORBIDDEN,
        say: "secret",
      });
      expect(await connection.refusal()).toBe("ECONNREFUSED");
    }
    expect(await relay.of("near", "syn")).toHaveLength(FAMILIES.length);
    expect(await relay.of("far", "reset")).toHaveLength(FAMILIES.length);
    expect(await far.special()).toEqual({ translate_not_allowed: FAMILIES.length });
    expect(await near.special()).toEqual({});
    expect((await near.connections()).entries).toBe(0);
    expect((await far.connections()).added).toBe(0);
    await expectNothingAtService(place());
  });

  it("works beside encap at the same port, in any order of the rules", async () => {
    const { client, pod, near, far } = place();
    const rules = [
      `tcp dport ${SERVICE} actions unfunnel tcp allow ${WANTED}`,
      `tcp dport ${SERVICE} actions unfunnel translate tcp allow ${WANTED}`,
    ];
    // By the client's own port; none of both serves twice.
    const carrier = `tcp dport ${SERVICE} sport 540`;
    const encap = `tcp sport 30000-30009 dport ${WANTED} actions funnel ${carrier}`;
    await near.begin({ egress: `${encap}; ${CLIENT_RULE}` });
    let from = 30_000;
    for (const ingress of [rules.join(";"), rules.reverse().join(";")]) {
      await far.begin({ ingress });
      const opened = FAMILIES.flatMap((family) => {
        const peer = { address: inFamily(family, POD), port: WANTED };
        return [client.open({ ...peer, from: from++ }), client.open(peer)];
      });
      for (const [index, connection] of opened.entries()) {
        expect(await connection.ask(`${index} `)).toBe(`${WANTED}:${index} `);
      }
      // Half of them came in carriers.
      expect((await far.connections()).added).toBe(FAMILIES.length);
      expect(await far.special()).toEqual({});
    }
    expect((await near.connections()).added).toBe(2 * FAMILIES.length);
    expect(await near.special()).toEqual({});
    expect(await pod.heard(WANTED)).toBe("0 1 2 3 0 1 2 3 ");
    await expectNothingAtService(place());
  });
});
