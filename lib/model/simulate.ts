/** The life of one packet, in the order in which the kernel program takes its decisions. */

import { SfunnelError } from "../errors.ts";
import { portsInclude } from "../rules/ports.ts";
import { quoteValue } from "../rules/quote.ts";
import type {
  Action,
  Direction,
  FunnelEncap,
  Rule,
  Ruleset,
  UnfunnelDecap,
} from "../rules/types.ts";
import { type Carrier, shownCarrier } from "./carrier.ts";
import { carrierOf } from "./carrier-source.ts";
import { classify } from "./classify.ts";
import { Connections } from "./connections.ts";
import { type Inner, pop, push, readCarrier } from "./encap.ts";
import { ETHERNET_LENGTH } from "./ethernet.ts";
import { type Packet, readFrame } from "./frame.ts";
import { type Hook, readHook, type SimulateOptions } from "./hook.ts";
import { formOf } from "./mark.ts";
import { clampMss, largestSegment } from "./mss.ts";
import type { Outcome } from "./outcome.ts";
import { Replies } from "./replies.ts";
import { finish, type Result, type Simulation } from "./result.ts";
import { withoutRoom } from "./room.ts";
import { readRuleset } from "./ruleset.ts";
import { translate } from "./translate.ts";
import { leadTo } from "./translate-rules.ts";
import { withPort } from "./transport.ts";
import { turnError } from "./turn-error.ts";

const OPERATION = "simulate";

/**
 * Runs one Ethernet frame through a ruleset, without a kernel: a dry run of rules for your own
 * tests, and the reference that the BPF program is compared with.
 *
 * @throws OptionError for a missing or misspelt option.
 * @throws RuleError for rules that loading would refuse.
 * @throws SfunnelError `SFUNNEL_FRAME` for less than an Ethernet header.
 */
export function simulate(
  ruleset: Ruleset,
  frame: Uint8Array,
  options: SimulateOptions,
): Simulation {
  return new Simulator(ruleset).run(frame, options);
}

/**
 * An interface with rules on it, that remembers from frame to frame: after a frame that was
 * funneled or unfunneled, the reply to it is treated as the kernel would, and so is an ICMP error
 * about it.
 */
export class Simulator {
  readonly #replies = new Replies();
  readonly #connections = new Connections();
  #rules: Record<Direction, readonly Rule[]>;

  /** Throws as {@link simulate} does. */
  constructor(ruleset: Ruleset) {
    this.#rules = readRuleset(OPERATION, ruleset);
  }

  /** Other rules; what was remembered stays. Throws as {@link simulate} does. */
  replace(ruleset: Ruleset): void {
    this.#rules = readRuleset(OPERATION, ruleset);
  }

  /** Runs one Ethernet frame through the rules. Throws as {@link simulate} does. */
  run(frame: Uint8Array, options: SimulateOptions): Simulation {
    const hook = readHook(OPERATION, options);
    const { direction } = hook;
    const rules = this.#rules[direction];
    refuseNoFrame(frame);

    const packet = readFrame(frame);
    if (packet === "not_tcp_udp") {
      return finish(frame, turnError(frame, direction, this.#replies, this.#connections));
    }
    if (typeof packet === "string") return finish(frame, { outcome: packet });

    const form = formOf(packet);
    const index = classify(rules, packet.flow, form);
    const action = index === undefined ? undefined : rules[index]?.action;
    const mayBeTranslated =
      packet.flow.transport === "tcp" && form !== "carrier" && action?.kind !== "drop";
    const result = mayBeTranslated
      ? this.#translate(packet, action, hook)
      : this.#act(packet, action, hook);
    if (UNTOUCHED.has(result.outcome)) this.#replies.forgetUnfunneled(packet.flow, direction);
    return finish(frame, result, index);
  }

  /** A segment that may be of a connection whose ports are rewritten. */
  #translate(packet: Packet, action: Action | undefined, hook: Hook): Result {
    const { direction } = hook;
    const isTracked = leadTo(this.#rules[direction], packet.flow.dport);
    const untranslated = () => this.#act(packet, action, hook);
    return translate({ packet, action, direction, isTracked, untranslated }, this.#connections);
  }

  /** What the rule alone does, which has no connection in mind. */
  #act(packet: Packet, action: Action | undefined, hook: Hook): Result {
    switch (action?.kind) {
      case undefined:
        return this.#follow(packet, hook);
      case "accept":
        return { outcome: "accepted" };
      case "drop":
        return { outcome: "dropped" };
      case "funnel":
        return action.mode === "encap"
          ? this.#funnel(packet, action, hook)
          : { outcome: "translate_inbound" };
      case "unfunnel":
        return action.mode === "decap"
          ? this.#unfunnel(packet, action, hook)
          : { outcome: "not_carrier" };
    }
  }

  /** No rule has matched: the packet may still belong to a flow that another one has funneled. */
  #follow(packet: Packet, hook: Hook): Result {
    return (
      this.#funnelReply(packet, hook) ??
      this.#unfunnelReply(packet, hook) ?? { outcome: "no_match" }
    );
  }

  #funnel(packet: Packet, action: FunnelEncap, hook: Hook): Result {
    const carrier = carrierOf(action, packet.flow, hook.time);
    const refused = withoutRoom(packet, carrier, hook);
    if (refused !== undefined) return refused;
    this.#replies.rememberFunneled(packet.flow, carrier, hook.direction);
    return { outcome: "funneled", frame: funneled(packet, carrier, hook) };
  }

  #unfunnel(packet: Packet, action: UnfunnelDecap, hook: Hook): Result {
    const inner = readCarrier(packet, action.inner);
    if (inner === undefined) return { outcome: "not_carrier" };
    const { sport, dport } = inner.flow;
    if (action.allow !== undefined && !portsInclude(action.allow, dport)) {
      return { outcome: "not_allowed" };
    }
    const carrier = shownCarrier(packet.flow, packet.transport);
    const port = this.#replies.rememberUnfunneled(inner, carrier, hook.direction);
    if (port === undefined) return { outcome: "no_free_port" };
    const bytes =
      port === sport ? inner.bytes : withPort(inner.bytes, inner.transport, "sport", port);
    return { outcome: "unfunneled", frame: unfunneled(packet, { ...inner, bytes }, hook) };
  }

  #funnelReply(packet: Packet, hook: Hook): Result | undefined {
    const { flow } = packet;
    const known = this.#replies.toFunnel(flow, hook.direction);
    if (known === undefined) return undefined;
    const refused = withoutRoom(packet, known.carrier, hook);
    if (refused !== undefined) return refused;
    const transport =
      known.port === flow.dport
        ? packet.transport
        : withPort(packet.transport, flow.transport, "dport", known.port);
    const frame = funneled({ ...packet, transport }, known.carrier, hook);
    return { outcome: "reply_funneled", frame };
  }

  /** What a carrier carries, it does not tell; UDP is tried first, as its length seldom fits by chance. */
  #unfunnelReply(packet: Packet, hook: Hook): Result | undefined {
    for (const transport of ["udp", "tcp"] as const) {
      const inner = readCarrier(packet, transport);
      if (inner && this.#replies.isToUnfunnel(inner.flow, packet.flow, hook.direction)) {
        return { outcome: "reply_unfunneled", frame: unfunneled(packet, inner, hook) };
      }
    }
    return undefined;
  }
}

/** Left as they came, though rules could have looked at them. */
const UNTOUCHED: ReadonlySet<Outcome> = new Set<Outcome>([
  "no_match",
  "not_carrier",
  "accepted",
  "translate_inbound",
  "translate_signed",
]);

function funneled(packet: Packet, carrier: Carrier, { mtu }: Hook): Uint8Array {
  const limit = largestSegment(mtu, packet.flow.family, carrier);
  const transport = clampMss(packet.transport, packet.flow.transport, limit);
  return push({ ...packet, transport }, carrier);
}

function unfunneled(packet: Packet, inner: Inner, { mtu }: Hook): Uint8Array {
  // What answers this goes back in the same kind of carrier.
  const limit = largestSegment(mtu, packet.flow.family, packet.flow);
  return pop(packet, { ...inner, bytes: clampMss(inner.bytes, inner.transport, limit) });
}

function refuseNoFrame(frame: Uint8Array): void {
  // Not instanceof: test runners that give each test file its own globals lend it Node's Buffer.
  if (Object.prototype.toString.call(frame) !== "[object Uint8Array]") {
    throw new SfunnelError(
      "SFUNNEL_FRAME",
      `expected a frame as Uint8Array, got ${quoteValue(frame)}`,
      { operation: OPERATION },
    );
  }
  if (frame.length < ETHERNET_LENGTH) {
    throw new SfunnelError(
      "SFUNNEL_FRAME",
      `expected at least ${ETHERNET_LENGTH} bytes (an Ethernet header), got ${frame.length}`,
      { operation: OPERATION },
    );
  }
}
