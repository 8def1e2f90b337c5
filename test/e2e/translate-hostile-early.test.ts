/**
 * Somebody sends segments of his own while a client waits for the answer to its SYN: as if they had
 * overtaken it, or as if both sides had begun. It may cost another SYN, or the
 * connection, and nobody else hears of it.
 */
import { describe, expect, it } from "vitest";
import { FAMILIES, inFamily } from "../support/family.ts";
import { skipReason, titled } from "../support/native.ts";
import { FLAG, type TcpFields } from "../support/packet.ts";
import { expectNothingAtService, forged, POD, useRelayedLab } from "../support/translate-lab.ts";
import type { End } from "../support/translate-relay.ts";
import { SERVICE, WANTED } from "../support/translated.ts";

const SEGMENTS: readonly {
  readonly what: string;
  readonly to: End;
  readonly fields: TcpFields;
  /** What the client's side counts of it that is out of the ordinary. */
  readonly met?: Readonly<Record<string, number>>;
}[] = [
  {
    what: "a SYN from the service port, as if both had begun",
    to: "near",
    fields: { flags: FLAG.syn, ack: 0 },
    met: { translate_unconfirmed: 1 },
  },
  {
    what: "a SYN-ACK for another SYN",
    to: "near",
    fields: { flags: FLAG.syn | FLAG.ack },
    met: { translate_unconfirmed: 1 },
  },
  { what: "an ACK", to: "near", fields: { flags: FLAG.ack } },
  { what: "a reset", to: "near", fields: { flags: FLAG.rst } },
  { what: "an ACK", to: "far", fields: { flags: FLAG.ack } },
  { what: "a reset", to: "far", fields: { flags: FLAG.rst } },
];

describe.skipIf(skipReason)(titled("while a connection begins"), () => {
  const { place } = useRelayedLab();

  it.each(SEGMENTS)("$what is sent to the $to side", async ({ to, fields, met = {} }) => {
    const { client, pod, relay, near, far } = place();
    await relay.follow([{ from: "far", kind: "synAck", times: FAMILIES.length, fate: "hold" }]);
    // Both families wait at the same time.
    const opened = FAMILIES.map((family) => ({
      family,
      connection: client.open({ address: inFamily(family, POD), port: WANTED, say: "hello" }),
    }));
    for (const { family, connection } of opened) {
      await relay.segment((each) => each.kind === "synAck" && each.family === family);
      const localPort = await connection.localPort();
      await relay.inject(to, [forged(place(), to, { family, localPort }, fields)]);
    }
    await relay.release();
    for (const { connection } of opened) {
      expect(await connection.answer("hello")).toBe(`${WANTED}:hello`);
    }
    for (const syn of await relay.of("near", "syn")) expect(syn).toMatchObject({ dport: SERVICE });
    const counts = Object.entries(met).map(([name, count]) => [name, count * FAMILIES.length]);
    expect(await near.special()).toEqual(Object.fromEntries(counts));
    expect(await far.special()).toEqual({});
    expect(await pod.heard(WANTED)).toBe("hellohello");
    await expectNothingAtService(place());
  });
});
