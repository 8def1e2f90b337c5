import { DURATION_WORDS, everyProblem, parseDuration } from "./carrier-source.ts";
import type { Cursor } from "./cursor.ts";
import { PORT_WORDS } from "./ports.ts";
import { listWords } from "./quote.ts";
import { readPort, readPorts, readRange } from "./read-ports.ts";
import type { RuleError } from "./rule-error.ts";
import type {
  Action,
  CarrierSourcePort,
  FunnelEncap,
  FunnelTranslate,
  Match,
  PortRange,
  Transport,
} from "./types.ts";
import { ACTION_WORDS } from "./words.ts";

const ACTION_EXPECTED = `an action (${listWords(ACTION_WORDS)})`;
const CARRIER_SOURCE_EXPECTED = `${PORT_WORDS}, a range such as 540-549, or "keep"`;

/** Reads the action of a rule with this match, which not every action goes with. */
export function readAction(cursor: Cursor, match: Match): Action {
  const { word } = cursor;
  switch (word) {
    case "funnel":
      cursor.advance();
      return readFunnel(cursor, match);
    case "unfunnel":
      cursor.advance();
      return readUnfunnel(cursor, match);
    case "accept":
    case "drop":
      cursor.advance();
      return { kind: word };
    case "dnat":
      throw cursor.error({
        reason: "unknown-action",
        problem: "dnat is not supported: sfunnel leaves IP addresses as they are",
        expected: ACTION_EXPECTED,
        found: '"dnat"',
        hint: "let nftables or the service do it",
      });
    default: {
      const reason = word === "" ? "no-action" : "unknown-action";
      throw cursor.unexpected(ACTION_EXPECTED, reason, cursor.wordHint(ACTION_WORDS));
    }
  }
}

function readFunnel(cursor: Cursor, match: Match): Action {
  const translate = cursor.isWord("translate");
  if (translate) {
    expectTranslatable(cursor, match);
  }
  const named = translate || cursor.isWord("encap");
  if (named) {
    cursor.advance();
  }
  const over = readTransport(cursor, named ? [] : ["encap", "translate"], translate);
  return translate ? readFunnelTranslate(cursor) : readFunnelEncap(cursor, over);
}

/** Behind "funnel translate tcp". */
function readFunnelTranslate(cursor: Cursor): FunnelTranslate {
  if (cursor.isWord("dport")) {
    cursor.advance();
    const dport = readPort(cursor, PORT_WORDS);
    refuseSourceOfTranslate(cursor);
    return { kind: "funnel", mode: "translate", over: "tcp", dport };
  }
  refuseSourceOfTranslate(cursor);
  throw missingPort(cursor, "dport", "write for instance: funnel translate tcp dport 80");
}

function refuseSourceOfTranslate(cursor: Cursor): void {
  if (cursor.isWord("sport")) {
    throw cursor.error({
      reason: "translate-only-tcp",
      problem: "funnel translate takes no sport: the flow keeps its own source port",
      expected: "only dport",
      found: '"sport"',
    });
  }
}

/** Behind "funnel encap tcp": both ports of the carrier, in any order. */
function readFunnelEncap(cursor: Cursor, over: Transport): FunnelEncap {
  let dport: number | undefined;
  let sport: CarrierSourcePort | undefined;
  for (;;) {
    if (cursor.isWord("dport")) {
      expectFirstOfCarrier(cursor, dport);
      cursor.advance();
      dport = readPort(cursor, PORT_WORDS);
    } else if (cursor.isWord("sport")) {
      expectFirstOfCarrier(cursor, sport);
      cursor.advance();
      sport = readCarrierSource(cursor);
    } else {
      break;
    }
  }
  if (dport === undefined || sport === undefined) {
    const missing = dport === undefined ? "dport" : "sport";
    const example = `funnel ${over} dport 179 sport 540`;
    throw missingPort(cursor, missing, `a funnel names both ports of its carrier: ${example}`);
  }
  return { kind: "funnel", mode: "encap", over, dport, sport };
}

function readCarrierSource(cursor: Cursor): CarrierSourcePort {
  if (cursor.isWord("keep")) {
    cursor.advance();
    refuseEvery(cursor);
    return { kind: "keep" };
  }
  const { first, last, isRange } = readRange(cursor, CARRIER_SOURCE_EXPECTED);
  if (!isRange) {
    refuseEvery(cursor);
    return { kind: "fixed", port: first };
  }
  if (!cursor.isWord("every")) {
    return { kind: "range", first, last };
  }
  cursor.advance();
  const every = parseDuration(cursor.word);
  if (every === undefined) {
    throw cursor.unexpected(`${DURATION_WORDS}, a day at most`, "bad-duration");
  }
  const problem = everyProblem({ first, last }, every);
  if (problem !== undefined) {
    throw cursor.error(problem);
  }
  cursor.advance();
  return { kind: "range", first, last, every };
}

function refuseEvery(cursor: Cursor): void {
  if (cursor.isWord("every")) {
    throw cursor.error({
      reason: "every-without-range",
      problem: '"every" moves through a range of source ports, and there is none before it',
      expected: "a range such as 540-549 before it",
      found: '"every"',
    });
  }
}

function readUnfunnel(cursor: Cursor, match: Match): Action {
  const translate = cursor.isWord("translate");
  if (translate) {
    expectTranslatable(cursor, match);
  }
  const named = translate || cursor.isWord("decap");
  if (named) {
    cursor.advance();
  }
  const inner = readTransport(cursor, named ? [] : ["decap", "translate"], translate);
  let allow: PortRange[] | undefined;
  if (cursor.isWord("allow")) {
    cursor.advance();
    allow = readPorts(cursor);
  }
  if (!translate) {
    const action = { kind: "unfunnel", mode: "decap", inner } as const;
    return allow === undefined ? action : { ...action, allow };
  }
  if (allow === undefined) {
    throw cursor.unexpected(
      '"allow" and ports',
      "no-allow",
      "unfunnel translate names the ports that may be put back",
    );
  }
  return { kind: "unfunnel", mode: "translate", inner: "tcp", allow };
}

function readTransport(cursor: Cursor, modes: readonly string[], onlyTcp: boolean): Transport {
  const { word } = cursor;
  if (word !== "tcp" && word !== "udp") {
    const words = ["tcp", "udp", ...modes];
    const expected = onlyTcp ? '"tcp"' : listWords(words.map((each) => `"${each}"`));
    throw cursor.unexpected(expected, "unexpected", cursor.wordHint(words));
  }
  if (onlyTcp && word === "udp") {
    throw cursor.error({
      reason: "translate-only-tcp",
      problem: "only TCP can be translated, and only over TCP",
      expected: '"tcp"',
      found: '"udp"',
      hint: "encap takes UDP too",
    });
  }
  cursor.advance();
  return word;
}

/** At the word "translate". */
function expectTranslatable(cursor: Cursor, match: Match): void {
  if (match.transport !== "tcp") {
    throw cursor.error({
      reason: "translate-only-tcp",
      problem: "only TCP can be translated, and this rule matches udp",
      expected: 'a rule that matches "tcp"',
      found: '"udp"',
      hint: "encap takes UDP too",
    });
  }
}

function expectFirstOfCarrier(cursor: Cursor, earlier: unknown): void {
  if (earlier !== undefined) {
    const { word } = cursor;
    throw cursor.error({
      reason: "repeated",
      problem: `"${word}" of the carrier is named twice`,
      expected: `"${word}" once`,
      found: `a second "${word}"`,
    });
  }
}

function missingPort(cursor: Cursor, word: "dport" | "sport", hint: string): RuleError {
  const expected = `"${word}" and a port`;
  return cursor.unexpected(expected, "no-carrier-port", cursor.wordHint([word]) ?? hint);
}
