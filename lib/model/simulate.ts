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
import { OVERHEAD, pop, push, readCarrier } from "./encap.ts";
import { ETHERNET_LENGTH, MAX_TOTAL_LENGTH, type Packet, readFrame } from "./frame.ts";
import { carrierSourcePort } from "./hash.ts";
import type { Outcome } from "./outcome.ts";

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
  const direction = readDirection(options);
  const rules = readRuleset(ruleset)[direction];
  refuseNoFrame(frame);

  const untouched = (verdict: "pass" | "drop", outcome: Outcome, rule?: number): Simulation => ({
    verdict,
    // Not slice(): a Buffer's shares memory with its source.
    frame: new Uint8Array(frame),
    outcome,
    rule,
  });

  const packet = readFrame(frame);
  if (typeof packet === "string") return untouched("pass", packet);

  const index = classify(rules, packet.flow);
  const rule = index === undefined ? undefined : rules[index];
  if (rule === undefined) return untouched("pass", "no_match");

  const action = supportedAction(rule.action, `${direction} rule ${index}`);
  switch (action.kind) {
    case "accept":
      return untouched("pass", "accepted", index);
    case "drop":
      return untouched("drop", "dropped", index);
    case "funnel": {
      const result = funnel(packet, action);
      if (typeof result === "string") return untouched("drop", result, index);
      return { verdict: "pass", frame: result, outcome: "funneled", rule: index };
    }
    case "unfunnel": {
      const result = unfunnel(packet, action);
      // A real connection to the service port goes on unharmed; a carrier for a port behind
      // the lock does not.
      if (result === "not_carrier") return untouched("pass", result, index);
      if (result === "not_allowed") return untouched("drop", result, index);
      return { verdict: "pass", frame: result, outcome: "unfunneled", rule: index };
    }
  }
}

function funnel(packet: Packet, action: FunnelEncap): Uint8Array | "too_big" {
  if (packet.totalLength + OVERHEAD[action.over] > MAX_TOTAL_LENGTH) return "too_big";
  return push(packet, {
    transport: action.over,
    sport: carrierSourcePort(action.sport, packet.flow),
    dport: action.dport,
  });
}

function unfunnel(
  packet: Packet,
  action: UnfunnelDecap,
): Uint8Array | "not_carrier" | "not_allowed" {
  const inner = readCarrier(packet, action.inner);
  if (inner === undefined) return "not_carrier";
  if (action.allow !== undefined && !portsInclude(action.allow, inner.dport)) return "not_allowed";
  return pop(packet, inner);
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
