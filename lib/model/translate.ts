/**
 * Funneling by translation: the ports of a TCP connection are rewritten in place, and both sides
 * remember how. A connection is funneled as a whole or not at all, so it goes on as it began, whatever
 * the rules say meanwhile.
 */

import { portsInclude } from "../rules/ports.ts";
import type { Action, Direction, UnfunnelTranslate } from "../rules/types.ts";
import type { Connections, Entry, Kind } from "./connections.ts";
import { type Packet, withTransport } from "./frame.ts";
import { confirms, markedPort, NO_MARK, takesConfirmation } from "./mark.ts";
import type { Outcome } from "./outcome.ts";
import { resetFor } from "./reset.ts";
import type { Result } from "./result.ts";
import { type SegmentFields, sequenceOf, withFields } from "./segment.ts";
import { funneledSyn } from "./syn.ts";
import { answersBegin, begins, FLAG, hasFlag } from "./tcp-flags.ts";
import { isSigned } from "./tcp-options.ts";

/** A packet of TCP without a carrier, and what there is to know besides the connections. */
export interface Step {
  readonly packet: Packet;
  /** Of the rule that matches; not "drop". */
  readonly action: Action | undefined;
  readonly direction: Direction;
  /** Whether a real connection to the packet's port might be mistaken for a funneled one. */
  readonly isTracked: boolean;
  /** What becomes of the packet as one of no connection that is known. */
  readonly untranslated: () => Result;
}

/** What becomes of a packet that goes on with other ports. */
const OUTCOME: Readonly<Record<Kind, Outcome>> = {
  funnel: "funneled",
  unfunnel: "unfunneled",
  funnel_reply: "reply_funneled",
  unfunnel_reply: "reply_unfunneled",
  direct: "direct_remapped",
};

/** Nothing is touched, and the encapsulating rules take what they leave. */
const LEFT_ALONE: ReadonlySet<Outcome> = new Set<Outcome>(["no_match", "accepted", "not_carrier"]);

/** What becomes of a packet. */
export function translate(step: Step, connections: Connections): Result {
  const known = connections.find(step.packet.flow, step.direction);
  if (begins(step.packet.transport)) return begin(step, connections, known);
  if (known !== undefined) return goOn(step, connections, known);
  return step.action?.kind === "funnel" && step.action.mode === "translate"
    ? withoutConnection(step, connections)
    : untracked(step, connections);
}

// -------------------------------------------------------------------------------- a SYN

function begin(step: Step, connections: Connections, known: Entry | undefined): Result {
  const { action, packet } = step;
  if (action?.kind === "funnel" && action.mode === "translate") {
    return beginFunnel(step, connections, known, action.dport);
  }
  if (action?.kind === "funnel") {
    if (known) connections.remove(known);
    return step.untranslated();
  }
  const port = markedPort(packet.transport);
  return action?.kind === "unfunnel" && action.mode === "translate" && port !== undefined
    ? beginUnfunnel(step, connections, known, action, port)
    : beginDirect(step, connections, known);
}

/** Client side: to the service port, with a mark that tells the port of the flow. */
function beginFunnel(
  step: Step,
  connections: Connections,
  known: Entry | undefined,
  dport: number,
): Result {
  const { packet, direction } = step;
  const { flow, transport } = packet;
  const funneled = ({ ports }: Entry): Result => ({
    outcome: "funneled",
    frame: funneledSyn(packet, ports),
  });
  const signed = isSigned(transport);
  if (!signed && known?.kind === "funnel" && known.ports.dport === dport) {
    if (known.connection.isClosing) known.connection.beginAgain();
    return funneled(known);
  }
  if (known) connections.remove(known);
  if (signed) return { outcome: "translate_signed" };
  const sport = connections.freePort(flow, direction, dport, sequenceOf(transport));
  if (sport === undefined) return { outcome: "no_free_port" };
  return funneled(connections.add("funnel", flow, direction, { sport, dport }));
}

/** Service side: to the port that the mark tells, if the rule allows it. */
function beginUnfunnel(
  step: Step,
  connections: Connections,
  known: Entry | undefined,
  { allow }: UnfunnelTranslate,
  dport: number,
): Result {
  const { packet, direction } = step;
  const { flow, transport } = packet;
  if (!portsInclude(allow, dport)) return refused("translate_not_allowed", packet);
  const unfunneled = (entry: Entry) => rewritten(packet, entry, NO_MARK);
  if (known?.kind === "unfunnel" && known.ports.dport === dport) {
    const { connection } = known;
    if (connection.isDead) connection.beginAgain();
    else connection.takeBackReset();
    return unfunneled(known);
  }
  if (known?.kind === "unfunnel" && isAlive(known)) return challenge(packet, known);
  if (known) connections.remove(known);
  const sport = connections.freePort(flow, direction, dport, sequenceOf(transport));
  if (sport === undefined) return { outcome: "no_free_port" };
  return unfunneled(connections.add("unfunnel", flow, direction, { sport, dport }));
}

/** Either side: a SYN that no rule funnels or unfunnels. */
function beginDirect(step: Step, connections: Connections, known: Entry | undefined): Result {
  const { packet, direction, isTracked } = step;
  const { flow, transport } = packet;
  switch (known?.kind) {
    case "unfunnel":
      if (isAlive(known)) return challenge(packet, known);
      connections.remove(known);
      break;
    case "funnel":
      // Its rule is gone, and this is a new connection.
      connections.remove(known);
      break;
    case "unfunnel_reply":
      return unconfirmed(packet, connections, known);
    case "funnel_reply":
      return goOn(step, connections, known);
    case "direct":
      if (known.connection.isClosing) known.connection.beginAgain();
      return passDirect(step, known);
  }
  if (!isTracked) return step.untranslated();
  const { dport } = flow;
  const sport = connections.freePort(flow, direction, dport, sequenceOf(transport));
  if (sport === undefined) return { outcome: "no_free_port" };
  return passDirect(step, connections.add("direct", flow, direction, { sport, dport }));
}

/** Whether a connection that was unfunneled may be alive. */
function isAlive({ connection }: Entry): boolean {
  return connection.isEstablished && !connection.isDead;
}

// --------------------------------------------------------------------------- any other segment

/** A segment of a connection that is known. */
function goOn(step: Step, connections: Connections, known: Entry): Result {
  const { packet } = step;
  const { transport, flow } = packet;
  const { kind, connection, side, ports } = known;
  const isAnswer = kind === "unfunnel_reply" && hasFlag(transport, "syn");
  if (isAnswer && !confirms(transport, ports.sport)) {
    return unconfirmed(packet, connections, known);
  }
  if (connection.sees(transport, side, kind).isOver) connections.remove(known);
  if (kind === "direct") return passDirect(step, known);
  if (isAnswer) return rewritten(packet, known, { urgent: 0 });
  if (kind === "funnel_reply" && takesConfirmation(transport)) {
    return rewritten(packet, known, { urgent: flow.sport });
  }
  return rewritten(packet, known);
}

/** Client side: a segment that would be funneled if it were known how. */
function withoutConnection(step: Step, connections: Connections): Result {
  const { packet } = step;
  const { transport } = packet;
  if (answersBegin(transport)) {
    addAsItIs(step, connections);
    return { outcome: "translate_inbound" };
  }
  if (isSigned(transport)) return { outcome: "translate_signed" };
  if (hasFlag(transport, "rst")) return { outcome: "translate_lost" };
  return refused("translate_lost", packet);
}

/** A segment of a connection that nobody saw begin, and that no rule translates. */
function untracked(step: Step, connections: Connections): Result {
  const { packet, isTracked } = step;
  const result = step.untranslated();
  if (isTracked && LEFT_ALONE.has(result.outcome) && !hasFlag(packet.transport, "rst")) {
    addAsItIs(step, connections);
  }
  return result;
}

/** A real connection that is under way: nothing can be changed any more of a port that is taken. */
function addAsItIs({ packet, direction }: Step, connections: Connections): void {
  const { flow } = packet;
  const { sport, dport } = flow;
  if (!connections.isFree(flow, direction, { sport, dport })) return;
  connections.add("direct", flow, direction, { sport, dport });
}

// ------------------------------------------------------------------------------ what leaves

function rewritten(packet: Packet, known: Entry, fields?: SegmentFields): Result {
  const outcome = OUTCOME[known.kind];
  // An update by nothing would make the other zero of a checksum that is one.
  if (fields === undefined && keepsPorts(packet, known)) return { outcome };
  const segment = withFields(packet.transport, { ...fields, ...known.ports });
  return { outcome, frame: withTransport(packet, segment) };
}

function passDirect(step: Step, known: Entry): Result {
  return keepsPorts(step.packet, known) ? step.untranslated() : rewritten(step.packet, known);
}

function keepsPorts({ flow }: Packet, { ports }: Entry): boolean {
  return ports.sport === flow.sport && ports.dport === flow.dport;
}

/**
 * Another connection wants the ports of one that may be alive. Whoever has that one answers as to any
 * stray SYN (RFC 5961 section 4): with an acknowledgment if it lives, with a reset if not.
 */
function challenge(packet: Packet, { ports }: Entry): Result {
  const segment = withFields(packet.transport, { ...NO_MARK, ...ports, flags: FLAG.ack });
  return { outcome: "translate_challenged", frame: withTransport(packet, segment) };
}

/**
 * Who answers has not understood the mark: the client would talk to another program than it wanted. A
 * connection that was confirmed before stays, because anybody can send such an answer.
 */
function unconfirmed(packet: Packet, connections: Connections, known: Entry): Result {
  if (!known.connection.isEstablished) connections.remove(known);
  const fields = { ...known.ports, flags: FLAG.rst | FLAG.ack, urgent: 0 };
  const segment = withFields(packet.transport, fields);
  return { outcome: "translate_unconfirmed", frame: withTransport(packet, segment) };
}

function refused(outcome: Outcome, packet: Packet): Result {
  const frame = resetFor(packet);
  return frame === undefined ? { outcome } : { outcome, frame };
}
