/**
 * Handshakes that go wrong on the way: segments that get lost, come twice or in another order, and
 * connections that end before they have begun.
 */
import { describe, expect, it } from "vitest";
import { FAMILIES, inFamily } from "../support/family.ts";
import { eventually } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import { FLAG } from "../support/packet.ts";
import { expectNothingAtService, POD, useRelayedLab } from "../support/translate-lab.ts";
import { SERVICE, WANTED } from "../support/translated.ts";

/** One that the rules allow and nobody serves. */
const CLOSED = 9090;

describe.skipIf(skipReason)(titled("a translated handshake"), () => {
  const { place } = useRelayedLab();

  it.each([
    { what: "SYN", from: "near", kind: "syn" },
    { what: "SYN-ACK", from: "far", kind: "synAck" },
  ] as const)("whose first $what gets lost goes on with the second", async ({ from, kind }) => {
    const { client, pod, relay, near, far } = place();
    // Both families wait for their second one at the same time.
    await relay.follow(
      FAMILIES.map((family) => ({ from, kind, family, times: 1, fate: "drop" as const })),
    );
    const opened = FAMILIES.map((family) =>
      client.open({ address: inFamily(family, POD), port: WANTED }),
    );
    for (const [index, connection] of opened.entries()) {
      expect(await connection.ask(`hello ${index}`)).toBe(`${WANTED}:hello ${index}`);
      const localPort = await connection.localPort();
      // Of a SYN-ACK that gets lost, either end may be the first to try again.
      expect((await relay.of(from, kind, FAMILIES[index])).length).toBeGreaterThanOrEqual(2);
      const syns = await relay.of("near", "syn", FAMILIES[index]);
      expect(syns.length).toBeGreaterThanOrEqual(1);
      // The same ports and mark each time.
      for (const syn of syns) {
        expect(syn).toMatchObject({ sport: localPort, dport: SERVICE, ack: 0x5f0e0000 + WANTED });
      }
    }
    await expectNothingAtService(place());
    expect(await pod.heard(WANTED)).toBe("hello 0hello 1");
    expect((await far.connections()).added).toBe(opened.length);
    expect([await near.special(), await far.special()]).toEqual([{}, {}]);
  });

  it.each([
    { what: "first data before the ACK", from: "near", kind: "ack" },
    { what: "first data before the SYN-ACK's second copy", from: "far", kind: "synAck" },
  ] as const)("with $what", async ({ from, kind }) => {
    const { client, pod, relay, near, far } = place();
    for (const family of FAMILIES) {
      if (kind === "ack") await relay.follow([{ from, kind, family, times: 1, fate: "hold" }]);
      const connection = client.open({ address: inFamily(family, POD), port: WANTED });
      expect(await connection.ask(`early ${family}`)).toBe(`${WANTED}:early ${family}`);
      if (kind === "ack") await relay.release();
      else await relay.repeat("far", "synAck");
      expect(await connection.ask(`late ${family}`)).toBe(`${WANTED}:late ${family}`);
    }
    await expectNothingAtService(place());
    expect(await pod.heard(WANTED)).toBe(
      FAMILIES.map((each) => `early ${each}late ${each}`).join(""),
    );
    expect([await near.special(), await far.special()]).toEqual([{}, {}]);
  });

  it("whose SYN comes once more in mid-flow", async () => {
    const { client, pod, relay, near, far } = place();
    for (const family of FAMILIES) {
      const connection = client.open({ address: inFamily(family, POD), port: WANTED });
      await connection.ask("one ");
      await relay.repeat("near", "syn");
      expect(await connection.ask("two ")).toBe(`${WANTED}:two `);
    }
    await expectNothingAtService(place());
    expect(await pod.heard(WANTED)).toBe("one two one two ");
    // The pod's kernel answers it, and nobody else has to.
    expect([await near.special(), await far.special()]).toEqual([{}, {}]);
  });

  it("that the pod refuses ends at once on both sides", async () => {
    const { client, near, far, relay } = place();
    const closed = `tcp dport ${CLOSED} actions funnel translate tcp dport ${SERVICE}`;
    await near.begin({ egress: closed });
    for (const family of FAMILIES) {
      const refused = client.open({ address: inFamily(family, POD), port: CLOSED });
      expect(await refused.refusal()).toBe("ECONNREFUSED");
    }
    for (const side of [near, far]) {
      const { added, removed, entries } = await side.connections();
      expect({ added, removed, entries }).toEqual({ added: 2, removed: 2, entries: 0 });
    }
    expect(await relay.of("near", "syn")).toHaveLength(FAMILIES.length);
    expect([await near.special(), await far.special()]).toEqual([{}, {}]);
    await expectNothingAtService(place());
  });

  it("that its client resets never comes to be", async () => {
    const { client, pod, near, far, relay } = place();
    await relay.follow([
      { from: "near", kind: "ack", times: FAMILIES.length, fate: { flags: FLAG.rst } },
    ]);
    for (const family of FAMILIES) {
      client.open({ address: inFamily(family, POD), port: WANTED });
    }
    await eventually(async () => (await far.connections()).added === FAMILIES.length);
    await expectNothingAtService(place());
    // A reset from the wire may be anybody's, so what has begun goes with time.
    const { added, removed, entries } = await far.connections();
    expect({ added, removed, entries }).toEqual({ added: 2, removed: 0, entries: 2 });
    expect(await pod.accepted(WANTED)).toBe(0);
    expect([await near.special(), await far.special()]).toEqual([{}, {}]);
  });
});
