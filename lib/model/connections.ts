/**
 * The table of TCP connections whose ports are rewritten, and of those that must not be mistaken for
 * them. The kernel's table forgets the least recently used when it is full, and lets what has long
 * been silent give way; the model forgets nothing by itself and knows no time.
 */

import type { Direction } from "../rules/types.ts";
import { Connection, type Side } from "./connection.ts";
import type { Flow } from "./frame.ts";
import { answering } from "./frame.ts";
import { flowHash, hashWord, portOfHash } from "./hash.ts";
import { opposite } from "./hook.ts";

/** How many ports are tried for a client whose own is taken. */
const CANDIDATES = 8;
const LOWEST_CANDIDATE = 1024;
const HIGHEST_CANDIDATE = 65_535;

/** What is done with packets of a connection on their way there. */
export type KindThere = "funnel" | "unfunnel" | "direct";
/** What is done with its packets either way; "direct" connections go on as they are, if they can. */
export type Kind = KindThere | "unfunnel_reply" | "funnel_reply";

const KIND_BACK: Readonly<Record<KindThere, Kind>> = {
  funnel: "unfunnel_reply",
  unfunnel: "funnel_reply",
  direct: "direct",
};

export interface Ports {
  readonly sport: number;
  readonly dport: number;
}

/** How packets of a connection go on that pass one hook. */
export interface Entry {
  readonly kind: Kind;
  readonly side: Side;
  /** The ports with which they go on. */
  readonly ports: Ports;
  readonly connection: Connection;
}

/** The flow whose packets answer those that go on with these ports. */
function answeringWith(flow: Flow, ports: Ports): Flow {
  return answering({ ...flow, ...ports });
}

function keyOf({ family, saddr, sport, daddr, dport }: Flow, direction: Direction): string {
  return [direction, family, saddr.join("."), sport, daddr.join("."), dport].join(" ");
}

/** All connections of one interface. */
export class Connections {
  readonly #known = new Map<string, Entry>();
  /** Under which keys each connection is known. */
  readonly #keys = new Map<Connection, readonly string[]>();

  /** How packets of this flow go on at this hook. */
  find(flow: Flow, direction: Direction): Entry | undefined {
    return this.#known.get(keyOf(flow, direction));
  }

  /** A connection that goes on with these ports; what answers it will be found at the other hook. */
  add(kind: KindThere, flow: Flow, direction: Direction, ports: Ports): Entry {
    const connection = new Connection();
    const there: Entry = { kind, side: "there", ports, connection };
    // What answers has to look like an answer to the packet as it came.
    const portsBack = { sport: flow.dport, dport: flow.sport };
    const back: Entry = { kind: KIND_BACK[kind], side: "back", ports: portsBack, connection };
    const keys = [
      keyOf(flow, direction),
      keyOf(answeringWith(flow, ports), opposite(direction)),
    ] as const;
    this.#known.set(keys[0], there);
    this.#known.set(keys[1], back);
    this.#keys.set(connection, keys);
    return there;
  }

  /** Both ways. */
  remove({ connection }: Entry): void {
    for (const key of this.#keys.get(connection) ?? []) this.#known.delete(key);
    this.#keys.delete(connection);
  }

  /** Whether nobody else's answers look like those to packets that go on with these ports. */
  isFree(flow: Flow, direction: Direction, ports: Ports): boolean {
    return this.find(answeringWith(flow, ports), opposite(direction)) === undefined;
  }

  /**
   * The source port with which a flow is to go on to `dport`: its own unless another's answers would
   * look the same. Undefined if none of those that are tried is free.
   */
  freePort(flow: Flow, direction: Direction, dport: number, sequence: number): number | undefined {
    // A connection that is tried anew has another sequence number, and so other candidates.
    const hash = hashWord(flowHash(flow), sequence);
    const candidates = Array.from({ length: CANDIDATES }, (_, attempt) =>
      portOfHash(hashWord(hash, attempt), LOWEST_CANDIDATE, HIGHEST_CANDIDATE),
    );
    return [flow.sport, ...candidates].find((sport) =>
      this.isFree(flow, direction, { sport, dport }),
    );
  }
}
