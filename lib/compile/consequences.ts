/** What a list of rules makes the program look at besides the rules themselves. */
import type { Sliced } from "../rules/sliced.ts";
import type { PortMatch, PortRange, Rule } from "../rules/types.ts";
import { ReplyKind } from "./abi.gen.ts";

/** Rules between two chances to leave. */
const PART = 512;
const ALL_PORTS: readonly PortRange[] = [{ first: 0, last: 65535 }];

export interface Consequences {
  /** What replies may come by at the opposite hook: bits of ReplyKind. */
  readonly replies: number;
  /** Whether a rule translates ports: then either hook looks connections up. */
  readonly translates: boolean;
  /**
   * The ports to which real connections could collide with translated ones: service ports of what is
   * funneled, and ports that are put back.
   */
  readonly sharedPorts: readonly PortRange[];
  /**
   * The ports that rules translate from or to. Connections that are translated, and real ones that
   * could collide with them, are between such a port and another one.
   */
  readonly translatedPorts: readonly PortRange[];
}

/** Ports that a match can hold for; all of them where it does not say which. */
function portsOf(match: PortMatch | undefined): readonly PortRange[] {
  return match === undefined || match.negate ? ALL_PORTS : match.ranges;
}

/** Ranges, each of them once. */
class Ranges {
  readonly #seen = new Set<number>();
  readonly all: PortRange[] = [];

  add(ranges: readonly PortRange[]): void {
    for (const range of ranges) {
      const key = range.first * 65536 + range.last;
      if (this.#seen.has(key)) continue;
      this.#seen.add(key);
      this.all.push(range);
    }
  }
}

export function* consequencesOf(rules: readonly Rule[]): Sliced<Consequences> {
  let replies = 0;
  let translates = false;
  const shared = new Ranges();
  const translated = new Ranges();
  for (const [index, { match, action }] of rules.entries()) {
    if (index % PART === PART - 1) yield;
    if (action.kind === "accept" || action.kind === "drop") continue;
    if (action.mode === "translate") {
      translates = true;
      const others =
        action.kind === "unfunnel" ? action.allow : [{ first: action.dport, last: action.dport }];
      shared.add(others);
      translated.add(others);
      translated.add(portsOf(match.dport));
    } else if (action.kind === "unfunnel") {
      replies |= ReplyKind.REPLY_TO_FUNNEL;
    } else {
      replies |= action.over === "tcp" ? ReplyKind.REPLY_IN_TCP : ReplyKind.REPLY_IN_UDP;
    }
  }
  return { replies, translates, sharedPorts: shared.all, translatedPorts: translated.all };
}
