/** What a list of rules makes the program look at besides the rules themselves. */
import type { PortMatch, PortRange, Rule } from "../rules/types.ts";
import { ReplyKind } from "./abi.gen.ts";

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

/** Sees one rule of a list after the other. */
export class ConsequencesOfRules implements Consequences {
  replies = 0;
  translates = false;
  readonly #shared = new Ranges();
  readonly #translated = new Ranges();

  get sharedPorts(): readonly PortRange[] {
    return this.#shared.all;
  }

  get translatedPorts(): readonly PortRange[] {
    return this.#translated.all;
  }

  add({ match, action }: Rule): void {
    if (action.kind === "accept" || action.kind === "drop") return;
    if (action.mode === "translate") {
      this.translates = true;
      const others =
        action.kind === "unfunnel" ? action.allow : [{ first: action.dport, last: action.dport }];
      this.#shared.add(others);
      this.#translated.add(others);
      this.#translated.add(portsOf(match.dport));
    } else if (action.kind === "unfunnel") {
      this.replies |= ReplyKind.REPLY_TO_FUNNEL;
    } else {
      this.replies |= action.over === "tcp" ? ReplyKind.REPLY_IN_TCP : ReplyKind.REPLY_IN_UDP;
    }
  }
}
