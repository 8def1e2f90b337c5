/**
 * Somebody who knows the addresses and ports of a connection, and not its numbers, sends segments
 * of his own (RFC 5961). The connection lives.
 */
import { describe, expect, it } from "vitest";
import { FAMILIES, inFamily } from "../support/family.ts";
import { skipReason, titled } from "../support/native.ts";
import { FLAG, type TcpFields } from "../support/packet.ts";
import { expectNothingAtService, forged, POD, useRelayedLab } from "../support/translate-lab.ts";
import type { End } from "../support/translate-relay.ts";
import { markFor, WANTED } from "../support/translated.ts";

/** Another port that the pod allows. */
const OTHER = 9090;

/** Far from what anybody expects. */
const ANYWHERE = 0x40000000;

const SYN: TcpFields = { flags: FLAG.syn, ack: 0 };
const RST: TcpFields = { flags: FLAG.rst, ack: 0 };
const SYN_ACK: TcpFields = { flags: FLAG.syn | FLAG.ack };

/** `to`: the side that gets it; `met`: what that side counts that is out of the ordinary. */
interface Attack {
  readonly what: string;
  readonly to: End;
  readonly segments: readonly TcpFields[];
  readonly met?: Readonly<Record<string, number>>;
}

const CHALLENGED = { translate_challenged: 1 };
const UNCONFIRMED = { translate_unconfirmed: 1 };

const ATTACKS: readonly Attack[] = [
  { what: "a SYN", to: "far", segments: [SYN], met: CHALLENGED },
  {
    what: "a SYN with the mark of another port",
    to: "far",
    segments: [{ ...SYN, ...markFor(OTHER) }],
    met: CHALLENGED,
  },
  { what: "a SYN with its mark", to: "far", segments: [{ ...SYN, ...markFor(WANTED) }] },
  { what: "a reset", to: "far", segments: [RST] },
  { what: "a reset with ACK", to: "far", segments: [{ flags: FLAG.rst | FLAG.ack }] },
  { what: "a FIN", to: "far", segments: [{ flags: FLAG.fin | FLAG.ack }] },
  { what: "a reset, then a SYN", to: "far", segments: [RST, SYN], met: CHALLENGED },
  {
    what: "a reset, then a SYN with the mark of another port",
    to: "far",
    segments: [RST, { ...SYN, ...markFor(OTHER) }],
    met: CHALLENGED,
  },
  { what: "a SYN", to: "near", segments: [SYN], met: UNCONFIRMED },
  { what: "a SYN-ACK that confirms nothing", to: "near", segments: [SYN_ACK], met: UNCONFIRMED },
  { what: "a SYN-ACK that confirms", to: "near", segments: [{ ...SYN_ACK, urgent: WANTED }] },
  { what: "a reset", to: "near", segments: [RST] },
  { what: "a FIN", to: "near", segments: [{ flags: FLAG.fin | FLAG.ack }] },
  { what: "a reset, then a SYN-ACK", to: "near", segments: [RST, SYN_ACK], met: UNCONFIRMED },
];

describe.skipIf(skipReason)(titled("a translated connection survives"), () => {
  const { place } = useRelayedLab();

  it.each(ATTACKS)("$what, sent to the $to side", async ({ to, segments, met = {} }) => {
    const { client, pod, relay, near, far } = place();
    const attacked = to === "far" ? far : near;
    for (const family of FAMILIES) {
      const connection = client.open({ address: inFamily(family, POD), port: WANTED });
      await connection.ask("before ");
      const localPort = await connection.localPort();
      const [last] = (await relay.of(to === "far" ? "near" : "far", "data", family)).slice(-1);
      const seq = ((last?.seq ?? 0) + ANYWHERE) >>> 0;
      const frames = segments.map((fields) =>
        forged(place(), to, { family, localPort }, { seq, ...fields }),
      );
      await relay.inject(to, frames);
      expect(await connection.ask("after ")).toBe(`${WANTED}:after `);
    }
    const special = Object.entries(met).map(([name, count]) => [name, count * FAMILIES.length]);
    expect(await attacked.special()).toEqual(Object.fromEntries(special));
    expect(await pod.heard(WANTED)).toBe("before after before after ");
    await expectNothingAtService(place());
  });
});
