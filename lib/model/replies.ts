/**
 * The memory that lets replies follow by themselves: which flows came or went funneled, and
 * under which carrier. The kernel's table forgets the least recently used flow when it is full,
 * and lets a UDP flow that has long been silent give way; the model forgets nothing and knows
 * no time.
 */

import type { Direction } from "../rules/types.ts";
import { type Carrier, isOfSameFlow, isSameCarrier, turnedRound } from "./carrier.ts";
import type { Inner } from "./encap.ts";
import { answering, type Flow } from "./frame.ts";
import { flowHash, hashWord, portOfHash } from "./hash.ts";
import { opposite } from "./hook.ts";

/** How many ports are tried for a client whose own is taken. */
const CANDIDATES = 4;
const LOWEST_CANDIDATE = 1024;
const HIGHEST_CANDIDATE = 65_535;

/** What to do with a reply. */
type Treatment = "funnel" | "unfunnel";

interface Remembered {
  /** The carrier as the flow showed it. */
  readonly carrier: Carrier;
  /** The client's own port. */
  readonly port: number;
}

function keyOf(reply: Flow, direction: Direction, treatment: Treatment): string {
  const { family, transport, saddr, sport, daddr, dport } = reply;
  return [
    direction,
    treatment,
    family,
    transport,
    saddr.join("."),
    sport,
    daddr.join("."),
    dport,
  ].join(" ");
}

/** What an error quotes of a carrier need not tell whose flow it is. */
function withoutId({ transport, sport, dport }: Carrier): Carrier {
  return { transport, sport, dport };
}

/** How a packet looked in its carrier. */
export interface Carried {
  readonly carrier: Carrier;
  /** The source port of the packet itself. */
  readonly sport: number;
}

/** All that one interface remembers. */
export class Replies {
  readonly #known = new Map<string, Remembered>();

  /** Client side: a flow left under this carrier. */
  rememberFunneled(flow: Flow, carrier: Carrier, direction: Direction): void {
    const key = keyOf(answering(flow), opposite(direction), "unfunnel");
    this.#known.set(key, { carrier, port: flow.sport });
  }

  /**
   * Service side: a flow came under this carrier. Gives the port under which the pod sees the
   * client: its own, unless another client of that address has it; undefined if none is free.
   */
  rememberUnfunneled(inner: Inner, carrier: Carrier, direction: Direction): number | undefined {
    const { flow } = inner;
    const keyFor = (sport: number) =>
      keyOf(answering({ ...flow, sport }), opposite(direction), "funnel");
    const mine = (known: Remembered) =>
      isOfSameFlow(known.carrier, carrier) && known.port === flow.sport;
    const remember = (port: number) => {
      this.#known.set(keyFor(port), { carrier, port: flow.sport });
      return port;
    };

    /** What a carrier says of its flow counts where it is another one than before. */
    const goOn = (known: Remembered, port: number) =>
      isSameCarrier(known.carrier, carrier) ? port : remember(port);

    const known = this.#known.get(keyFor(flow.sport));
    if (known === undefined) return remember(flow.sport);
    if (mine(known)) return goOn(known, flow.sport);

    const hash = flowHash(flow);
    const candidates = Array.from({ length: CANDIDATES }, (_, attempt) =>
      portOfHash(
        hashWord(hash, ((carrier.flowId ?? carrier.sport) << 16) | attempt),
        LOWEST_CANDIDATE,
        HIGHEST_CANDIDATE,
      ),
    );
    const taken = candidates.find((port) => {
      const candidate = this.#known.get(keyFor(port));
      return candidate !== undefined && mine(candidate);
    });
    const other = taken === undefined ? undefined : this.#known.get(keyFor(taken));
    if (taken !== undefined && other !== undefined) return goOn(other, taken);
    // A TCP connection that goes on under another carrier is the same one; a new one, or UDP,
    // is another client's.
    if (flow.transport === "tcp" && !inner.begins) return remember(flow.sport);
    const free = candidates.find((port) => !this.#known.has(keyFor(port)));
    return free === undefined ? undefined : remember(free);
  }

  /** Service side: a packet of this flow came as it is, so its replies shall go as they are. */
  forgetUnfunneled(flow: Flow, direction: Direction): void {
    this.#known.delete(keyOf(answering(flow), opposite(direction), "funnel"));
  }

  /** Service side: the carrier of a reply, turned round, and the client's own port. */
  toFunnel(reply: Flow, direction: Direction): Remembered | undefined {
    const known = this.#known.get(keyOf(reply, direction, "funnel"));
    if (known === undefined) return undefined;
    return { carrier: turnedRound(known.carrier), port: known.port };
  }

  /** Client side: whether this came as a reply to a flow that left funneled. */
  isToUnfunnel(inner: Flow, carrier: Carrier, direction: Direction): boolean {
    const known = this.#known.get(keyOf(inner, direction, "unfunnel"));
    return known?.carrier.transport === carrier.transport && known.carrier.dport === carrier.sport;
  }
  /**
   * Whether a flow goes under this carrier through the hook opposite to `direction`, by a rule or
   * as a reply. It is the flow as its carrier holds it; a reply to another port than the client's
   * own is not found by that.
   */
  isFunneled(flow: Flow, carrier: Carrier, direction: Direction): boolean {
    const left = this.#known.get(keyOf(answering(flow), direction, "unfunnel"));
    if (left !== undefined && isSameCarrier(left.carrier, carrier)) return true;
    const replied = this.#known.get(keyOf(flow, opposite(direction), "funnel"));
    return replied?.port === flow.dport && isSameCarrier(replied.carrier, turnedRound(carrier));
  }

  /**
   * How packets of a flow look before they come out of their carrier at the hook opposite to
   * `direction`, by a rule or as replies; undefined if they never did.
   */
  beforeUnfunneled(flow: Flow, direction: Direction): Carried | undefined {
    const came = this.#known.get(keyOf(answering(flow), direction, "funnel"));
    if (came !== undefined) return { carrier: withoutId(came.carrier), sport: came.port };
    const replied = this.#known.get(keyOf(flow, opposite(direction), "unfunnel"));
    return replied && { carrier: turnedRound(replied.carrier), sport: flow.sport };
  }
}
