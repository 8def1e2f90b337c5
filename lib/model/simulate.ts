/** The life of one packet, in the order in which the kernel program takes its decisions. */

import { SfunnelError } from "../errors.ts";
import { checkOptionNames, optionError } from "../rules/options.ts";
import { portsInclude } from "../rules/ports.ts";
import { quoteValue } from "../rules/quote.ts";
import type {
  Action,
  Direction,
  FunnelEncap,
  FunnelTranslate,
  Rule,
  Ruleset,
  UnfunnelDecap,
  UnfunnelTranslate,
} from "../rules/types.ts";
import { normaliseRules } from "../rules/validate.ts";
import { classify } from "./classify.ts";
import { type Carrier, OVERHEAD, pop, push, readCarrier, withPort } from "./encap.ts";
import { ETHERNET_LENGTH, MAX_TOTAL_LENGTH, type Packet, readFrame } from "./frame.ts";
import { carrierSourcePort } from "./hash.ts";
import type { Outcome } from "./outcome.ts";
import { Replies } from "./replies.ts";

const OPERATION = "simulate";

/** How {@link simulate} is to look at a frame. */
export interface SimulateOptions {
  /** The hook that the frame passes: which of the two rule lists applies. */
  readonly direction: Direction;
}

/** What became of a simulated frame. */
export interface Simulation {
  readonly verdict: "pass" | "drop";
  /** The bytes that leave; where the verdict is "drop", the frame as it came. Always a copy. */
  readonly frame: Uint8Array;
  /** Name of the counter that the kernel program would have counted up. */
  readonly outcome: Outcome;
  /** Index of the rule that matched in its direction's list. */
  readonly rule: number | undefined;
}

/**
 * Runs one Ethernet frame through a ruleset, without a kernel: a dry run of rules for your own
 * tests, and the reference that the BPF program is compared with.
 *
 * @throws OptionError for a missing or misspelt option.
 * @throws RuleError for rules that loading would refuse.
 * @throws SfunnelError `SFUNNEL_FRAME` for less than an Ethernet header, `SFUNNEL_NOT_SUPPORTED`
 *   for rules that this version cannot carry out.
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
 * funneled or unfunneled, the reply to it is treated as the kernel would.
 */
export class Simulator {
  readonly #replies = new Replies();
  #rules: Record<Direction, readonly Rule[]>;

  /** Throws as {@link simulate} does. */
  constructor(ruleset: Ruleset) {
    this.#rules = readRuleset(ruleset);
  }

  /** Other rules; what was remembered stays. Throws as {@link simulate} does. */
  replace(ruleset: Ruleset): void {
    this.#rules = readRuleset(ruleset);
  }

  /** Runs one Ethernet frame through the rules. Throws as {@link simulate} does. */
  run(frame: Uint8Array, options: SimulateOptions): Simulation {
    const direction = readDirection(options);
    const rules = this.#rules[direction];
    refuseNoFrame(frame);

    const packet = readFrame(frame);
    if (typeof packet === "string") return untouched(frame, packet);

    const index = classify(rules, packet.flow);
    const rule = index === undefined ? undefined : rules[index];
    const result =
      rule === undefined
        ? this.#follow(packet, direction)
        : this.#act(packet, supportedAction(rule.action, `${direction} rule ${index}`), direction);
    if (UNTOUCHED.has(result.outcome)) this.#replies.forgetUnfunneled(packet.flow, direction);
    return { ...finish(frame, result), rule: index };
  }

  /** No rule has matched: the packet may still belong to a flow that another one has funneled. */
  #follow(packet: Packet, direction: Direction): Result {
    return (
      this.#funnelReply(packet, direction) ??
      this.#unfunnelReply(packet, direction) ?? { outcome: "no_match" }
    );
  }

  #act(packet: Packet, action: SupportedAction, direction: Direction): Result {
    switch (action.kind) {
      case "accept":
        return { outcome: "accepted" };
      case "drop":
        return { outcome: "dropped" };
      case "funnel":
        return this.#funnel(packet, action, direction);
      case "unfunnel":
        return this.#unfunnel(packet, action, direction);
    }
  }

  #funnel(packet: Packet, action: FunnelEncap, direction: Direction): Result {
    const carrier = {
      transport: action.over,
      sport: carrierSourcePort(action.sport, packet.flow),
      dport: action.dport,
    };
    if (!fits(packet, carrier)) return { outcome: "too_big" };
    this.#replies.rememberFunneled(packet.flow, carrier, direction);
    return { outcome: "funneled", frame: push(packet, carrier) };
  }

  #unfunnel(packet: Packet, action: UnfunnelDecap, direction: Direction): Result {
    const inner = readCarrier(packet, action.inner);
    if (inner === undefined) return { outcome: "not_carrier" };
    const { sport, dport } = inner.flow;
    if (action.allow !== undefined && !portsInclude(action.allow, dport)) {
      return { outcome: "not_allowed" };
    }
    const port = this.#replies.rememberUnfunneled(inner, packet.flow, direction);
    if (port === undefined) return { outcome: "no_free_port" };
    const bytes =
      port === sport ? inner.bytes : withPort(inner.bytes, inner.transport, "sport", port);
    return { outcome: "unfunneled", frame: pop(packet, { ...inner, bytes }) };
  }

  #funnelReply(packet: Packet, direction: Direction): Result | undefined {
    const { flow } = packet;
    const known = this.#replies.toFunnel(flow, direction);
    if (known === undefined) return undefined;
    if (!fits(packet, known.carrier)) return { outcome: "too_big" };
    const transport =
      known.port === flow.dport
        ? packet.transport
        : withPort(packet.transport, flow.transport, "dport", known.port);
    return { outcome: "reply_funneled", frame: push({ ...packet, transport }, known.carrier) };
  }

  /** What a carrier carries, it does not tell; UDP is tried first, as its length seldom fits by chance. */
  #unfunnelReply(packet: Packet, direction: Direction): Result | undefined {
    for (const transport of ["udp", "tcp"] as const) {
      const inner = readCarrier(packet, transport);
      if (inner && this.#replies.isToUnfunnel(inner.flow, packet.flow, direction)) {
        return { outcome: "reply_unfunneled", frame: pop(packet, inner) };
      }
    }
    return undefined;
  }
}

/** What became of a packet, and its new bytes if it has any. */
interface Result {
  readonly outcome: Outcome;
  readonly frame?: Uint8Array;
}

/** Left as they came, though rules could have looked at them. */
const UNTOUCHED: ReadonlySet<Outcome> = new Set<Outcome>(["no_match", "not_carrier", "accepted"]);

const DROPPED: ReadonlySet<Outcome> = new Set<Outcome>([
  "dropped",
  "not_allowed",
  "no_free_port",
  "too_big",
]);

function finish(frame: Uint8Array, result: Result): Simulation {
  if (result.frame === undefined) return untouched(frame, result.outcome);
  return { verdict: "pass", frame: result.frame, outcome: result.outcome, rule: undefined };
}

function untouched(frame: Uint8Array, outcome: Outcome): Simulation {
  return {
    verdict: DROPPED.has(outcome) ? "drop" : "pass",
    // Not slice(): a Buffer's shares memory with its source.
    frame: new Uint8Array(frame),
    outcome,
    rule: undefined,
  };
}

function fits(packet: Packet, carrier: Carrier): boolean {
  return packet.totalLength + OVERHEAD[carrier.transport] <= MAX_TOTAL_LENGTH;
}

function readDirection(options: unknown): Direction {
  checkOptionNames(OPERATION, options, ["direction"]);
  const { direction } = options;
  if (direction !== "ingress" && direction !== "egress") {
    const problem = `expected "ingress" or "egress", found ${quoteValue(direction)}`;
    throw optionError(OPERATION, "direction", problem);
  }
  return direction;
}

/**
 * Checks both lists, as loading them would: a rule that the kernel program would never get is
 * refused here too, rather than when a packet meets it.
 */
function readRuleset(ruleset: unknown): Record<Direction, readonly Rule[]> {
  checkOptionNames(OPERATION, ruleset, ["ingress", "egress"]);
  return { ingress: readRules(ruleset, "ingress"), egress: readRules(ruleset, "egress") };
}

/** Lists that were checked before and can never change: what parsers and builders make. */
const checkedLists = new WeakMap<object, readonly Rule[]>();

function readRules(ruleset: Readonly<Record<string, unknown>>, direction: Direction) {
  const list = ruleset[direction] ?? [];
  const checked = typeof list === "object" ? checkedLists.get(list) : undefined;
  if (checked !== undefined) return checked;

  const rules = normaliseRules(list);
  for (const [index, { action }] of rules.entries()) {
    supportedAction(action, `${direction} rule ${index}`);
  }
  if (typeof list === "object" && isFrozenThroughout(list)) checkedLists.set(list, rules);
  return rules;
}

function isFrozenThroughout(data: unknown): boolean {
  if (typeof data !== "object" || data === null) return true;
  return Object.isFrozen(data) && Object.values(data).every(isFrozenThroughout);
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

type SupportedAction = Exclude<Action, FunnelTranslate | UnfunnelTranslate>;

function supportedAction(action: Action, where: string): SupportedAction {
  const refuse = (what: string) =>
    new SfunnelError("SFUNNEL_NOT_SUPPORTED", `${where}: ${what} is not supported yet`, {
      operation: OPERATION,
    });
  if (action.kind === "accept" || action.kind === "drop") return action;
  if (action.mode === "translate") throw refuse(`"${action.kind} translate"`);
  if (action.kind === "funnel" && action.sport.kind === "range" && action.sport.every !== undefined)
    throw refuse('a source port range with "every"');
  return action;
}
