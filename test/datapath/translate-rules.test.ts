/** Both ways to funnel side by side, and what becomes of connections when the rules change. */
import { afterAll, beforeAll, describe, it } from "vitest";
import { Funnel, type FunnelRuleset } from "../../lib/index.ts";
import { Dialogue } from "../support/dialogue.ts";
import { skipReason, titled } from "../support/native.ts";
import { FLAG, ipv4, payload, tcp, tcpCarrier, udp } from "../support/packet.ts";
import { type Row, table } from "../support/table.ts";
import {
  CLIENT_RULE,
  confirmed,
  direct,
  established,
  FIN_ACK,
  type Fields,
  marked,
  OWN,
  own,
  RST_ACK,
  SERVICE,
  SERVICE_RULE,
  SERVICE_SIDE,
  syn,
  synAck,
  unconfirmed,
  WANTED,
  wire,
} from "../support/translated.ts";

// ------------------------------------------------------------------- both kinds on one port

const DECAP = `tcp dport ${SERVICE} actions unfunnel tcp allow ${WANTED}`;
const UDP_DECAP = `tcp dport ${SERVICE} actions unfunnel udp allow 2055`;
const CARRIER = { sport: 540, dport: SERVICE };
const inner = { sport: OWN, dport: WANTED };
const carriedTcp = ipv4({}, tcpCarrier(CARRIER, tcp(inner, payload(9))));
const carriedUdp = ipv4({}, tcpCarrier(CARRIER, udp({ sport: OWN, dport: 2055 }, payload(9))));

table(
  "both kinds of unfunnel rules for one service port, in either order",
  [
    { decap: DECAP, carried: carriedTcp, popped: ipv4({}, tcp(inner, payload(9))) },
    {
      decap: UDP_DECAP,
      carried: carriedUdp,
      popped: ipv4({}, udp({ sport: OWN, dport: 2055 }, payload(9))),
    },
  ].flatMap(({ decap, carried, popped }) =>
    [
      { rules: `${decap}; ${SERVICE_RULE}`, decapRule: 0, translateRule: 1 },
      { rules: `${SERVICE_RULE}; ${decap}`, decapRule: 1, translateRule: 0 },
    ].flatMap(({ rules, decapRule, translateRule }): Row[] => {
      const title = (what: string) => `${rules}: ${what}`;
      return [
        {
          name: title("a carrier"),
          rules,
          direction: "ingress",
          frame: carried,
          outcome: "unfunneled",
          rule: decapRule,
          out: popped,
        },
        {
          name: title("a mark"),
          rules,
          direction: "ingress",
          frame: marked(),
          outcome: "unfunneled",
          rule: translateRule,
          out: syn(),
        },
        {
          name: title("a real SYN"),
          rules,
          direction: "ingress",
          frame: direct(),
          outcome: "not_carrier",
        },
        {
          name: title("a real segment"),
          rules,
          direction: "ingress",
          frame: wire("there", { content: payload(5) }),
          outcome: "not_carrier",
        },
        {
          name: title("a segment of a translated connection"),
          rules,
          direction: "ingress",
          earlier: established(SERVICE_SIDE),
          frame: wire("there", { content: payload(5) }),
          outcome: "unfunneled",
          // The first that matches a plain segment, whatever it is for.
          rule: 0,
          out: own("there", { content: payload(5) }),
        },
      ];
    }),
  ),
);

const ENCAP = `tcp dport 9090 actions funnel tcp dport ${SERVICE} sport 540`;

table("a carrier is no connection", [
  {
    name: "no rule that translates is about it, so it is the next one's",
    rules: `tcp actions funnel translate tcp dport ${SERVICE}; tcp actions accept`,
    direction: "egress",
    frame: carriedTcp,
    outcome: "accepted",
    rule: 1,
  },
  {
    name: "or nobody's",
    rules: `tcp actions funnel translate tcp dport ${SERVICE}`,
    direction: "egress",
    frame: carriedTcp,
    outcome: "no_match",
  },
  {
    name: "nor is it one on the ports of a translated connection",
    rules: `${SERVICE_RULE}; ${DECAP}`,
    direction: "ingress",
    earlier: established(SERVICE_SIDE),
    frame: ipv4({}, tcpCarrier({ sport: OWN, dport: SERVICE }, tcp(inner, payload(9)))),
    outcome: "unfunneled",
    rule: 1,
    out: ipv4({}, tcp(inner, payload(9))),
  },
  {
    name: "a flow that is put into a carrier is none either",
    rules: `${CLIENT_RULE}; ${ENCAP}`,
    direction: "egress",
    frame: ipv4({}, tcp({ sport: OWN, dport: 9090, flags: FLAG.syn }, payload(3))),
    outcome: "funneled",
    rule: 1,
    out: ipv4(
      {},
      tcpCarrier(CARRIER, tcp({ sport: OWN, dport: 9090, flags: FLAG.syn }, payload(3))),
    ),
  },
]);

table("drop and accept", [
  {
    name: "what is dropped is dropped, known or not",
    rules: `tcp dport ${WANTED} tcp sport ${OWN} actions drop; ${CLIENT_RULE}`,
    direction: "egress",
    frame: syn(),
    outcome: "dropped",
  },
  {
    name: "a rule that accepts answers does not keep them from being funneled",
    rules: `tcp sport ${WANTED} actions accept`,
    otherRules: SERVICE_RULE,
    direction: "egress",
    earlier: [SERVICE_SIDE.syn()],
    frame: synAck(),
    outcome: "reply_funneled",
    rule: 0,
    out: confirmed(),
  },
  {
    name: "one that drops them does",
    rules: `tcp sport ${WANTED} actions drop`,
    otherRules: SERVICE_RULE,
    direction: "egress",
    earlier: [SERVICE_SIDE.syn()],
    frame: synAck(),
    outcome: "dropped",
  },
  {
    name: "an exception before the rule",
    rules: `tcp dport ${WANTED} actions accept; ${CLIENT_RULE}`,
    direction: "egress",
    frame: syn(),
    outcome: "accepted",
  },
]);

// ------------------------------------------------------------------------------ rules change

describe.skipIf(skipReason)(titled("connections and other rules"), () => {
  let funnel: Funnel;
  let clients = 0;
  beforeAll(async () => {
    funnel = await Funnel.load({});
  });
  afterAll(() => funnel?.close());

  /** Frames of a client of its own, as the table remembers those of all. */
  async function begin(ruleset: FunnelRuleset) {
    const dialogue = await Dialogue.begin(funnel, ruleset);
    const client = `10.9.0.${++clients}`;
    const from = (fields: Fields = {}): Fields => ({
      ...fields,
      ip: { ...fields.ip, src: client },
    });
    const to = (fields: Fields = {}): Fields => ({ ...fields, ip: { ...fields.ip, dst: client } });
    return { dialogue, from, to };
  }

  async function handshake(
    { dialogue, from, to }: Awaited<ReturnType<typeof begin>>,
    side: "client" | "service",
  ) {
    if (side === "client") {
      await dialogue.send("egress", syn(from()), "funneled", marked(from()));
      await dialogue.send("ingress", confirmed(to()), "reply_unfunneled", synAck(to()));
      await dialogue.send("egress", own("there", from()), "funneled", wire("there", from()));
    } else {
      await dialogue.send("ingress", marked(from()), "unfunneled", syn(from()));
      await dialogue.send("egress", synAck(to()), "reply_funneled", confirmed(to()));
      await dialogue.send("ingress", wire("there", from()), "unfunneled", own("there", from()));
    }
  }

  it("a connection outlives the rule of its client", async () => {
    const talk = await begin({ egress: CLIENT_RULE });
    const { dialogue, from, to } = talk;
    await handshake(talk, "client");
    await dialogue.replace({});
    const more = { content: payload(31) };
    await dialogue.send("egress", own("there", from(more)), "funneled", wire("there", from(more)));
    await dialogue.send(
      "ingress",
      wire("back", to(more)),
      "reply_unfunneled",
      own("back", to(more)),
    );
    // A new one on the same ports is none of its.
    await dialogue.send("egress", syn(from()), "no_match", syn(from()));
    await dialogue.send("ingress", wire("back", to(more)), "no_match");
    await dialogue.send("egress", own("there", from(more)), "no_match");
  });

  it("a connection outlives the rule of its service, and keeps others off its ports", async () => {
    const talk = await begin({ ingress: SERVICE_RULE });
    const { dialogue, from, to } = talk;
    await handshake(talk, "service");
    await dialogue.replace({});
    const more = { content: payload(31) };
    await dialogue.send(
      "ingress",
      wire("there", from(more)),
      "unfunneled",
      own("there", from(more)),
    );
    await dialogue.send("egress", own("back", to(more)), "reply_funneled", wire("back", to(more)));
    await dialogue.send("ingress", marked(from()), "translate_challenged");
    await dialogue.send("ingress", direct(from()), "translate_challenged");
    // Until it is over, as the pod says: a reset of the client may be anybody's.
    const over = { tcp: { flags: FLAG.rst } };
    await dialogue.send("ingress", wire("there", from(over)), "unfunneled");
    await dialogue.send("ingress", direct(from()), "translate_challenged");
    await dialogue.send("egress", own("back", to(over)), "reply_funneled", wire("back", to(over)));
    await dialogue.send("ingress", marked(from()), "no_match", marked(from()));
    await dialogue.send("egress", own("back", to(more)), "no_match");
  });

  it("a rule of a client that leads to another service port begins anew", async () => {
    const talk = await begin({ egress: CLIENT_RULE });
    const { dialogue, from, to } = talk;
    await handshake(talk, "client");
    await dialogue.replace({ egress: CLIENT_RULE.replace(/80$/, "81") });
    const shown = { tcp: { dport: 81 } };
    // What is under way goes on as it began.
    await dialogue.send("egress", own("there", from()), "funneled", wire("there", from()));
    await dialogue.send("egress", syn(from()), "funneled", marked(from(shown)));
    await dialogue.send("ingress", wire("back", to()), "no_match");
    await dialogue.send(
      "ingress",
      confirmed(to({ tcp: { sport: 81 } })),
      "reply_unfunneled",
      synAck(to()),
    );
    await dialogue.send("egress", own("there", from()), "funneled", wire("there", from(shown)));
  });

  it("a rule that encapsulates now begins anew with the next connection", async () => {
    const talk = await begin({ egress: CLIENT_RULE });
    const { dialogue, from, to } = talk;
    await handshake(talk, "client");
    await dialogue.replace({
      egress: `tcp dport ${WANTED} actions funnel tcp dport ${SERVICE} sport 540`,
    });
    await dialogue.send("egress", own("there", from()), "funneled", wire("there", from()));
    const { src } = from().ip ?? {};
    const begun = tcp({ sport: OWN, dport: WANTED, flags: FLAG.syn, ack: 0 });
    const ip = src === undefined ? {} : { src };
    await dialogue.send("egress", syn(from()), "funneled", ipv4(ip, tcpCarrier(CARRIER, begun)));
    await dialogue.send("ingress", wire("back", to()), "no_match");
    await dialogue.send(
      "egress",
      own("there", from()),
      "funneled",
      ipv4(ip, tcpCarrier(CARRIER, tcp({ sport: OWN, dport: WANTED }))),
    );
  });

  it("a rule that comes where connections were before it does not touch them, but cannot know them", async () => {
    const talk = await begin({});
    const { dialogue, from, to } = talk;
    await dialogue.send("egress", own("there", from()), "no_match");
    await dialogue.replace({ egress: CLIENT_RULE });
    await dialogue.send("ingress", own("back", to()), "no_match");
    await dialogue.send("egress", own("there", from()), "translate_lost");
  });

  it("a mark is no matter of a rule for carriers, whether or not another rule has ever translated", async () => {
    await using fresh = await Funnel.load({});
    const dialogue = await Dialogue.begin(fresh, { ingress: DECAP });
    await dialogue.send("ingress", marked(), "no_match", marked());
    await dialogue.send("ingress", direct(), "not_carrier", direct());
    await dialogue.replace({ ingress: `${DECAP}; ${SERVICE_RULE}` });
    await dialogue.send("ingress", marked(), "unfunneled", syn());
    await dialogue.replace({ ingress: DECAP });
    await dialogue.send("ingress", marked(), "no_match", marked());
  });

  it("ports are not tracked any more where the rule has gone", async () => {
    const talk = await begin({ egress: CLIENT_RULE });
    const { dialogue, from } = talk;
    await handshake(talk, "client");
    await dialogue.send("egress", direct(from()), "direct_remapped");
    await dialogue.replace({});
    // This one is known, another is not: it would be mistaken, and so it would be without the rule.
    await dialogue.send("egress", direct(from()), "direct_remapped");
    await dialogue.send("egress", direct(from({ tcp: { sport: 7 } })), "no_match");
  });

  it("a whole connection, from its SYN to a second one on the same ports", async () => {
    const talk = await begin({ egress: CLIENT_RULE });
    const { dialogue, from, to } = talk;
    await handshake(talk, "client");
    for (const length of [1, 31, 1400]) {
      const fields = { content: payload(length) };
      await dialogue.send(
        "egress",
        own("there", from(fields)),
        "funneled",
        wire("there", from(fields)),
      );
      await dialogue.send(
        "ingress",
        wire("back", to(fields)),
        "reply_unfunneled",
        own("back", to(fields)),
      );
    }
    const fin = { tcp: { flags: FIN_ACK } };
    await dialogue.send("egress", own("there", from(fin)), "funneled", wire("there", from(fin)));
    await dialogue.send("ingress", wire("back", to(fin)), "reply_unfunneled", own("back", to(fin)));
    await dialogue.send("egress", own("there", from()), "funneled", wire("there", from()));
    await handshake(talk, "client");
  });

  it("two refusals and a success", async () => {
    const talk = await begin({ egress: CLIENT_RULE });
    const { dialogue, from, to } = talk;
    for (let round = 0; round < 2; round++) {
      await dialogue.send("egress", syn(from()), "funneled", marked(from()));
      const refused = { tcp: { flags: RST_ACK } };
      await dialogue.send("egress", syn(from()), "funneled", marked(from()));
      await dialogue.send(
        "ingress",
        wire("back", to(refused)),
        "reply_unfunneled",
        own("back", to(refused)),
      );
      await dialogue.send("ingress", wire("back", to(refused)), "no_match");
    }
    await handshake(talk, "client");
    await dialogue.send("ingress", unconfirmed(to()), "translate_unconfirmed");
    // It was confirmed before: anybody could have sent that.
    await dialogue.send("egress", own("there", from()), "funneled", wire("there", from()));
    await handshake(talk, "client");
  });
});
