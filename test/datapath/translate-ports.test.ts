/** Connections that would look the same on the way, or at their end, if one of them kept its port. */
import { Simulator } from "../../lib/model/index.ts";
import { parseRules } from "../../lib/rules/index.ts";
import { FAMILIES } from "../support/both-ways.ts";
import { FLAG, mss, payload } from "../support/packet.ts";
import { locate } from "../support/packet-readers.ts";
import { type Earlier, type Row, table } from "../support/table.ts";
import {
  CLIENT_RULE,
  CLIENT_SEQ,
  CLIENT_SIDE,
  closed,
  confirmed,
  data,
  direct,
  established,
  type Fields,
  marked,
  markFor,
  OWN,
  own,
  RST_ACK,
  SERVICE,
  SERVICE_RULE,
  SERVICE_SEQ,
  SERVICE_SIDE,
  SYN_ACK,
  syn,
  synAck,
  unconfirmed,
  WANTED,
  wire,
} from "../support/translated.ts";

const BOTH_WANTED = `tcp dport {${WANTED}, 9090} actions funnel translate tcp dport ${SERVICE}`;

const CLIENT_OUT = { rules: CLIENT_RULE, direction: "egress" } as const;
const CLIENT_BACK = { rules: "", otherRules: CLIENT_RULE, direction: "ingress" } as const;
const SERVICE_IN = { rules: SERVICE_RULE, direction: "ingress" } as const;
const SERVICE_BACK = { rules: "", otherRules: SERVICE_RULE, direction: "egress" } as const;

/** The source port with which the model lets the last of these frames leave. */
function portOf(
  row: Pick<Row, "rules" | "otherRules" | "direction" | "earlier" | "frame">,
): number {
  const list = { rules: parseRules(row.rules), others: parseRules(row.otherRules ?? "") };
  const simulator = new Simulator(
    row.direction === "egress"
      ? { egress: list.rules, ingress: list.others }
      : { ingress: list.rules, egress: list.others },
  );
  for (const { frame, direction } of row.earlier ?? []) simulator.run(frame, { direction });
  const { frame } = simulator.run(row.frame, { direction: row.direction });
  const start = locate(frame)?.start ?? 0;
  return ((frame[start] ?? 0) << 8) | (frame[start + 1] ?? 0);
}

const directly = (like: Fields = {}): Earlier => ({
  direction: "egress",
  frame: direct(like),
  outcome: "no_match",
});

// ---------------------------------------------------------------------- where flows are funneled

table(
  "one connection straight to the service port, then one that is funneled to it, from the same port",
  FAMILIES.flatMap((family) => {
    const like: Fields = { family };
    const first = [directly(like)];
    const begun: Earlier = { direction: "egress", frame: syn(like), outcome: "funneled" };
    const port = portOf({ ...CLIENT_OUT, earlier: first, frame: syn(like) });
    const shown = (fields: Fields, way: "there" | "back"): Fields => ({
      ...fields,
      family,
      tcp: { ...fields.tcp, ...(way === "there" ? { sport: port } : { dport: port }) },
    });
    const both: Earlier[] = [
      ...first,
      begun,
      { direction: "ingress", frame: confirmed(shown({}, "back")), outcome: "reply_unfunneled" },
      { direction: "egress", frame: own("there", { family }), outcome: "funneled" },
    ];
    const long: Fields = { content: payload(31), tcp: { checksum: { wrongBy: 5 } } };
    const rows: Row[] = [
      {
        ...CLIENT_OUT,
        name: "the second gets another port",
        earlier: first,
        frame: syn({ ...like, tcp: { options: mss(1460) } }),
        outcome: "funneled",
        out: marked(shown({ tcp: { options: mss(1460) } }, "there")),
      },
      {
        ...CLIENT_OUT,
        name: "the same where its SYN is sent again",
        earlier: [...first, begun],
        frame: syn(like),
        outcome: "funneled",
        out: marked(shown({}, "there")),
      },
      {
        ...CLIENT_BACK,
        name: "its confirmation finds back",
        earlier: [...first, begun],
        frame: confirmed(shown({}, "back")),
        outcome: "reply_unfunneled",
        out: synAck(like),
      },
      {
        ...CLIENT_BACK,
        name: "so does what confirms nothing",
        earlier: [...first, begun],
        frame: unconfirmed(shown({}, "back")),
        outcome: "translate_unconfirmed",
        out: synAck({ ...like, tcp: { flags: RST_ACK } }),
      },
      {
        ...CLIENT_OUT,
        name: "after which the second is forgotten",
        earlier: [
          ...first,
          begun,
          {
            direction: "ingress",
            frame: unconfirmed(shown({}, "back")),
            outcome: "translate_unconfirmed",
          },
        ],
        frame: own("there", { family, tcp: { flags: FLAG.rst } }),
        outcome: "translate_lost",
      },
      {
        ...CLIENT_OUT,
        name: "its segments leave from that port",
        earlier: both,
        frame: own("there", { ...long, family }),
        outcome: "funneled",
        out: wire("there", shown(long, "there")),
      },
      {
        ...CLIENT_BACK,
        name: "and come back to its own",
        earlier: both,
        frame: wire("back", shown(long, "back")),
        outcome: "reply_unfunneled",
        out: own("back", { ...long, family }),
      },
      {
        ...CLIENT_OUT,
        name: "the first stays as it is",
        earlier: both,
        frame: wire("there", { ...long, family }),
        outcome: "no_match",
        rule: undefined,
      },
      {
        ...CLIENT_BACK,
        name: "its answers too",
        earlier: both,
        frame: wire("back", { ...long, family }),
        outcome: "no_match",
      },
      {
        ...CLIENT_OUT,
        name: "its own SYN sent again as well",
        earlier: both,
        frame: direct(like),
        outcome: "no_match",
      },
    ];
    return rows.map((row) => ({ ...row, name: `${family}: ${row.name}` }));
  }),
);

table(
  "one connection that is funneled, then one straight to the service port, from the same port",
  FAMILIES.flatMap((family) => {
    const like: Fields = { family };
    const first = established(CLIENT_SIDE, like);
    const port = portOf({ ...CLIENT_OUT, earlier: first, frame: direct(like) });
    const shown = (fields: Fields, way: "there" | "back"): Fields => ({
      ...fields,
      family,
      tcp: { ...fields.tcp, ...(way === "there" ? { sport: port } : { dport: port }) },
    });
    const begun: Earlier = { direction: "egress", frame: direct(like), outcome: "direct_remapped" };
    const both = [...first, begun];
    const answer: Fields = { family, tcp: { flags: SYN_ACK } };
    const long: Fields = { content: payload(31), tcp: { checksum: { wrongBy: 5 } } };
    const rows: Row[] = [
      {
        ...CLIENT_OUT,
        name: "the second gets another port, and no mark",
        earlier: first,
        frame: direct({ ...long, family }),
        outcome: "direct_remapped",
        out: direct(shown(long, "there")),
      },
      {
        ...CLIENT_OUT,
        name: "the same where its SYN is sent again",
        earlier: both,
        frame: direct(like),
        outcome: "direct_remapped",
        out: direct(shown({}, "there")),
      },
      {
        ...CLIENT_BACK,
        name: "its SYN-ACK finds back",
        earlier: both,
        frame: wire("back", shown(answer, "back")),
        outcome: "direct_remapped",
        out: wire("back", answer),
      },
      {
        ...CLIENT_OUT,
        name: "its segments leave from that port",
        earlier: both,
        frame: wire("there", { ...long, family }),
        outcome: "direct_remapped",
        out: wire("there", shown(long, "there")),
      },
      {
        ...CLIENT_BACK,
        name: "and come back to its own",
        earlier: both,
        frame: wire("back", shown(long, "back")),
        outcome: "direct_remapped",
        out: wire("back", { ...long, family }),
      },
      {
        ...CLIENT_OUT,
        name: "the first stays as it is",
        earlier: both,
        frame: own("there", { ...long, family }),
        outcome: "funneled",
        out: wire("there", { ...long, family }),
      },
      {
        ...CLIENT_BACK,
        name: "its answers too",
        earlier: both,
        frame: wire("back", { ...long, family }),
        outcome: "reply_unfunneled",
        out: own("back", { ...long, family }),
      },
      {
        ...CLIENT_OUT,
        name: "once its reset has come, a segment of it goes as it is",
        earlier: [
          ...both,
          {
            direction: "ingress",
            frame: wire("back", shown({ tcp: { flags: RST_ACK } }, "back")),
            outcome: "direct_remapped",
          },
        ],
        frame: wire("there", { ...long, family }),
        outcome: "no_match",
        rule: undefined,
      },
    ];
    return rows.map((row) => ({ ...row, name: `${family}: ${row.name}` }));
  }),
);

table(
  "two connections that are funneled to one service port, from the same port",
  FAMILIES.flatMap((family) => {
    const rules = { rules: BOTH_WANTED, direction: "egress" } as const;
    const back = { rules: "", otherRules: BOTH_WANTED, direction: "ingress" } as const;
    const first = established(CLIENT_SIDE, { family });
    const second: Fields = { family, tcp: { dport: 9090 } };
    const port = portOf({ ...rules, earlier: first, frame: syn(second) });
    const begun: Earlier = { direction: "egress", frame: syn(second), outcome: "funneled" };
    const rows: Row[] = [
      {
        ...rules,
        name: "the second gets another port",
        earlier: first,
        frame: syn(second),
        outcome: "funneled",
        out: marked({ family, tcp: { sport: port, ...markFor(9090) } }),
      },
      {
        ...back,
        name: "its confirmation is of its own port",
        earlier: [...first, begun],
        frame: confirmed({ family, tcp: { dport: port, urgent: 9090 } }),
        outcome: "reply_unfunneled",
        out: synAck({ family, tcp: { sport: 9090 } }),
      },
      {
        ...back,
        name: "that of the first is none",
        earlier: [...first, begun],
        frame: confirmed({ family, tcp: { dport: port } }),
        outcome: "translate_unconfirmed",
        out: synAck({ family, tcp: { sport: 9090, flags: RST_ACK } }),
      },
      {
        ...back,
        name: "segments of the first come back to it",
        earlier: [...first, begun],
        frame: wire("back", { family, content: payload(3) }),
        outcome: "reply_unfunneled",
        out: own("back", { family, content: payload(3) }),
      },
      {
        ...rules,
        name: "after the end of the first, its port is still its own",
        earlier: closed(CLIENT_SIDE, { family }),
        frame: syn(second),
        outcome: "funneled",
        out: marked({ family, tcp: { sport: port, ...markFor(9090) } }),
      },
      {
        ...rules,
        name: "after a reset of the first before it was one, its port is free",
        earlier: [
          CLIENT_SIDE.syn({ family }),
          CLIENT_SIDE.back({ family, tcp: { flags: RST_ACK } }),
        ],
        frame: syn(second),
        outcome: "funneled",
        out: marked({ family, tcp: markFor(9090) }),
      },
    ];
    return rows.map((row) => ({ ...row, name: `${family}: ${row.name}` }));
  }),
);

/** SYNs whose ports a hash has chosen: all that one of this sequence number would get are taken. */
function allTaken(): Earlier[] {
  const taken: Earlier[] = [directly()];
  for (;;) {
    const port = portOf({ ...CLIENT_OUT, earlier: taken, frame: syn() });
    // A frame that is dropped is as it came.
    if (port === OWN) return taken;
    taken.push(directly({ tcp: { sport: port } }));
  }
}

table("where all ports that are tried are taken", [
  {
    ...CLIENT_OUT,
    name: "a SYN is dropped",
    earlier: allTaken(),
    frame: syn(),
    outcome: "no_free_port",
  },
  {
    ...CLIENT_OUT,
    name: "and so it is the next time, data and all",
    earlier: [...allTaken(), { direction: "egress", frame: syn(), outcome: "no_free_port" }],
    frame: syn({ content: payload(5) }),
    outcome: "no_free_port",
  },
  {
    ...CLIENT_OUT,
    name: "one of another sequence number has other ports to try",
    earlier: allTaken(),
    frame: syn({ tcp: { seq: 1 } }),
    outcome: "funneled",
    out: marked({
      tcp: {
        seq: 1,
        sport: portOf({ ...CLIENT_OUT, earlier: allTaken(), frame: syn({ tcp: { seq: 1 } }) }),
      },
    }),
  },
  {
    ...CLIENT_OUT,
    name: "what was there before goes on",
    earlier: [...allTaken(), { direction: "egress", frame: syn(), outcome: "no_free_port" }],
    frame: wire("there", { content: payload(5) }),
    outcome: "no_match",
    rule: undefined,
  },
]);

// ------------------------------------------------------------------- where they are unfunneled

const POD_DIRECT: Earlier = { direction: "ingress", frame: syn(), outcome: "no_match" };

table(
  "a real connection to a port of the pod, and one that was funneled, from the same port",
  FAMILIES.flatMap((family) => {
    const like: Fields = { family };
    const real: Earlier = { ...POD_DIRECT, frame: syn(like) };
    const port = portOf({ ...SERVICE_IN, earlier: [real], frame: marked(like) });
    const begun: Earlier = { direction: "ingress", frame: marked(like), outcome: "unfunneled" };
    const other = portOf({ ...SERVICE_IN, earlier: [begun], frame: syn(like) });
    const rows: Row[] = [
      {
        ...SERVICE_IN,
        name: "the funneled one gets another port, if it is the second",
        earlier: [real],
        frame: marked({ family, content: payload(31) }),
        outcome: "unfunneled",
        out: syn({ family, content: payload(31), tcp: { sport: port } }),
      },
      {
        ...SERVICE_BACK,
        name: "its SYN-ACK confirms to the port on the way",
        earlier: [real, begun],
        frame: synAck({ family, tcp: { dport: port } }),
        outcome: "reply_funneled",
        out: confirmed(like),
      },
      {
        ...SERVICE_IN,
        name: "its segments go to that port",
        earlier: [real, begun],
        frame: wire("there", { family, content: payload(31) }),
        outcome: "unfunneled",
        out: own("there", { family, content: payload(31), tcp: { sport: port } }),
      },
      {
        ...SERVICE_BACK,
        name: "the real one's SYN-ACK confirms nothing",
        earlier: [real, begun],
        frame: synAck({ family, tcp: { urgent: 3 } }),
        outcome: "no_match",
      },
      {
        ...SERVICE_IN,
        name: "the real one goes on as it is",
        earlier: [real, begun],
        frame: own("there", { family, content: payload(31) }),
        outcome: "no_match",
        rule: undefined,
      },
      {
        ...SERVICE_IN,
        name: "the real one gets another port, if it is the second",
        earlier: [begun],
        frame: syn({ family, content: payload(31) }),
        outcome: "direct_remapped",
        out: syn({ family, content: payload(31), tcp: { sport: other } }),
      },
      {
        ...SERVICE_BACK,
        name: "and its answers find back",
        earlier: [begun, { ...real, outcome: "direct_remapped" }],
        frame: synAck({ family, tcp: { dport: other } }),
        outcome: "direct_remapped",
        out: synAck(like),
      },
    ];
    return rows.map((row) => ({ ...row, name: `${family}: ${row.name}` }));
  }),
);

table("a real connection that was under way before anybody looked", [
  {
    ...SERVICE_IN,
    name: "is not mistaken for one that is funneled later",
    earlier: [{ direction: "ingress", frame: own("there"), outcome: "no_match" }],
    frame: marked(),
    outcome: "unfunneled",
    out: syn({
      tcp: {
        sport: portOf({
          ...SERVICE_IN,
          earlier: [{ direction: "ingress", frame: own("there"), outcome: "no_match" }],
          frame: marked(),
        }),
      },
    }),
  },
  ...[FLAG.ack, SYN_ACK, FLAG.fin, FLAG.syn | FLAG.fin, 0].map((flags): Row => {
    const seen = (more: number): Earlier => ({
      direction: "ingress",
      frame: own("there", { tcp: { flags: more } }),
      outcome: "no_match",
    });
    const row = { ...SERVICE_IN, earlier: [seen(flags), seen(FLAG.rst)], frame: marked() };
    return {
      ...row,
      name: `is known after its reset, if it was before: flags ${flags}`,
      outcome: "unfunneled",
      out: syn({ tcp: { sport: portOf(row) } }),
    };
  }),
  {
    ...SERVICE_IN,
    name: "leaves no trace by its reset",
    earlier: [
      {
        direction: "ingress",
        frame: own("there", { tcp: { flags: RST_ACK } }),
        outcome: "no_match",
      },
    ],
    frame: marked(),
    outcome: "unfunneled",
    out: syn(),
  },
  {
    ...SERVICE_IN,
    name: "cannot be told from one that was funneled before: that one keeps the ports",
    earlier: [
      ...established(SERVICE_SIDE),
      { direction: "ingress", frame: own("there"), outcome: "no_match" },
    ],
    frame: wire("there", { content: payload(4) }),
    outcome: "unfunneled",
    out: own("there", { content: payload(4) }),
  },
]);

// ------------------------------------------------------------------------------ what ends what

const known = (frame: Uint8Array, outcome: Earlier["outcome"]): Earlier => ({
  direction: "egress",
  frame,
  outcome,
});

const ANSWER: Fields = { tcp: { flags: SYN_ACK, seq: SERVICE_SEQ } };

table("a rule that has gone, or has come", [
  // Rows have no more than one list of rules; what else changes is in the dialogues.
  {
    ...SERVICE_IN,
    name: "a port that a mark does not name: a real connection to the service port goes as it is",
    frame: direct(),
    outcome: "not_carrier",
  },
  {
    ...SERVICE_IN,
    name: "and is known by its port alone where that is allowed",
    rules: `tcp dport ${SERVICE} actions unfunnel translate tcp allow 1-65535`,
    earlier: [{ direction: "ingress", frame: direct(), outcome: "not_carrier" }],
    frame: wire("there", data("there")),
    outcome: "not_carrier",
  },
  {
    ...CLIENT_OUT,
    name: "a connection straight to the service port is known after its reset, too",
    earlier: [
      directly(),
      { direction: "ingress", frame: wire("back", ANSWER), outcome: "no_match" },
      known(wire("there"), "no_match"),
      known(wire("there", { tcp: { flags: FLAG.rst } }), "no_match"),
    ],
    frame: syn({ tcp: { seq: CLIENT_SEQ } }),
    outcome: "funneled",
    out: marked({ tcp: { sport: portOf({ ...CLIENT_OUT, earlier: [directly()], frame: syn() }) } }),
  },
  {
    ...CLIENT_OUT,
    name: "and forgotten where that came before it was one",
    earlier: [directly(), known(wire("there", { tcp: { flags: FLAG.rst } }), "no_match")],
    frame: syn(),
    outcome: "funneled",
    out: marked(),
  },
]);

// ------------------------------------------------------------------- several service ports for one

/** The program finds connections quicker by the first service port that it sees for a wanted one. */
const OTHER = 81;
const there: Fields = { tcp: { dport: OTHER } };
const back: Fields = { tcp: { sport: OTHER } };

const SERVICES = [
  { name: `service port ${SERVICE}`, to: {}, from: {} },
  { name: `service port ${OTHER}`, to: there, from: back },
].map(({ name, to, from }) => {
  const port = to === there ? OTHER : SERVICE;
  const client = `tcp dport ${WANTED} actions funnel translate tcp dport ${port}`;
  const service = `tcp dport {${SERVICE}, ${OTHER}} actions unfunnel translate tcp allow ${WANTED}`;
  const begun: Earlier = { direction: "egress", frame: syn(), outcome: "funneled" };
  const answered: Earlier = {
    direction: "ingress",
    frame: confirmed(from),
    outcome: "reply_unfunneled",
  };
  const goesOn: Earlier = { direction: "egress", frame: own("there"), outcome: "funneled" };
  const came: Earlier = { direction: "ingress", frame: marked(to), outcome: "unfunneled" };
  const established: Earlier[] = [
    came,
    { direction: "egress", frame: synAck(), outcome: "reply_funneled" },
    { direction: "ingress", frame: wire("there", to), outcome: "unfunneled" },
  ];
  return { name, to, from, client, service, begun, answered, goesOn, came, established };
});

table(
  "a wanted port with one service port or another",
  SERVICES.flatMap((one, index): Row[] => {
    const { name, to, from, client, service, begun, answered, goesOn, came, established } = one;
    const other = SERVICES[1 - index] ?? one;
    const clientOut = { rules: client, direction: "egress" } as const;
    const clientBack = { rules: "", otherRules: client, direction: "ingress" } as const;
    const serviceIn = { rules: service, direction: "ingress" } as const;
    const serviceBack = { rules: "", otherRules: service, direction: "egress" } as const;
    const port = portOf({ ...serviceIn, earlier: established, frame: marked(other.to) });
    return [
      {
        ...clientOut,
        name: `${name}, client's side: there`,
        earlier: [begun, answered, goesOn],
        frame: own("there"),
        outcome: "funneled",
        out: wire("there", to),
      },
      {
        ...clientBack,
        name: `${name}, client's side: back`,
        earlier: [begun, answered, goesOn],
        frame: wire("back", from),
        outcome: "reply_unfunneled",
        out: own("back"),
      },
      {
        ...serviceIn,
        name: `${name}, service's side: there`,
        earlier: established,
        frame: wire("there", to),
        outcome: "unfunneled",
        out: own("there"),
      },
      {
        ...serviceBack,
        name: `${name}, service's side: back`,
        earlier: established,
        frame: own("back"),
        outcome: "reply_funneled",
        out: wire("back", from),
      },
      {
        ...serviceIn,
        name: `${name}: who comes by the other one from the same port gets another port`,
        earlier: established,
        frame: marked(other.to),
        outcome: "unfunneled",
        out: syn({ tcp: { sport: port } }),
      },
      {
        ...serviceBack,
        name: `${name}: and the answer to that finds back`,
        earlier: [came, { ...came, frame: marked(other.to) }],
        frame: synAck({ tcp: { dport: port } }),
        outcome: "reply_funneled",
        out: confirmed(other.from),
      },
    ];
  }),
);
