/**
 * Somebody on the wire (translate-relay.py): sees every segment, and does to it what a test says.
 */
import { fileURLToPath } from "node:url";
import type { Family } from "./family.ts";
import { python } from "./frames.ts";
import type { Endpoint, Host, Lab, Message } from "./lab.ts";
import { hex } from "./packet.ts";

const relayPath = fileURLToPath(new URL("./translate-relay.py", import.meta.url));

export type End = "near" | "far";

/** What a segment is; "data" and "ack" have no part in a beginning or an end. */
export type Kind = "syn" | "synAck" | "ack" | "data" | "fin" | "reset";

export interface RelayRule {
  /** The end that the segment comes from. */
  readonly from: End;
  readonly kind: Kind;
  /** Let nobody have it, keep it for {@link Relay.release}, or write these fields. */
  readonly fate: "drop" | "hold" | Partial<Record<"seq" | "ack" | "flags" | "urgent", number>>;
  readonly family?: Family;
  /** How often it holds; default: always. */
  readonly times?: number;
}

/** A segment as it came to the relay. */
export interface Segment {
  readonly side: End;
  readonly fate: "pass" | "drop" | "hold" | "change";
  readonly family: Family;
  readonly kind: Kind;
  readonly sport: number;
  readonly dport: number;
  readonly seq: number;
  readonly ack: number;
  readonly flags: number;
  readonly window: number;
  readonly urgent: number;
  /** In hex. */
  readonly options: string;
  /** The payload, or what it begins with. */
  readonly text: string;
}

export class Relay {
  readonly #endpoint: Endpoint;
  #told = 0;
  /** Which message the test began with. */
  #begin = 0;

  private constructor(endpoint: Endpoint) {
    this.#endpoint = endpoint;
  }

  static async start(lab: Lab, host: Host): Promise<Relay> {
    return new Relay(await python(lab, host, relayPath).ready());
  }

  /** Everything passes again, and what was seen is forgotten. */
  async begin(): Promise<void> {
    await this.follow([]);
    this.#begin = this.#endpoint.messages.length;
  }

  /** The first rule that matches a segment says what becomes of it. */
  follow(rules: readonly RelayRule[]): Promise<void> {
    return this.#tell({ rules });
  }

  /** Sends what it has kept on its way, in the order in which it came. */
  release(): Promise<void> {
    return this.#tell({ release: true });
  }

  /** Sends the last segment of a kind from one end once more. */
  repeat(from: End, kind: Kind): Promise<void> {
    return this.#tell({ repeat: kind, from });
  }

  /** Sends frames out of its end at one of both sides. */
  inject(to: End, frames: readonly Uint8Array[]): Promise<void> {
    return this.#tell({ inject: to, frames: frames.map(hex) });
  }

  async #tell(order: Readonly<Record<string, unknown>>): Promise<void> {
    const number = this.#told++;
    this.#endpoint.say(JSON.stringify({ ...order, number }));
    await this.#endpoint.message(
      (message) => message.event === "done" && message.number === number,
    );
  }

  /**
   * Those that it has seen since the test began, in order; what somebody else tells of is among
   * them.
   */
  async seen(): Promise<readonly Segment[]> {
    await this.#tell({});
    const messages = this.#endpoint.messages.slice(this.#begin);
    return messages.filter(({ event }) => event === "frame") as unknown as readonly Segment[];
  }

  /** Those of one kind from one end, of one family or both. */
  async of(side: End, kind: Kind, family?: Family): Promise<readonly Segment[]> {
    return (await this.seen()).filter(
      (segment) =>
        segment.side === side &&
        segment.kind === kind &&
        (family === undefined || segment.family === family),
    );
  }

  /** The first of them, seen since the test began or to come. */
  async segment(wanted: (segment: Segment) => boolean): Promise<Segment> {
    const old = new Set(this.#endpoint.messages.slice(0, this.#begin));
    const message = await this.#endpoint.message(
      (each: Message) =>
        each.event === "frame" && !old.has(each) && wanted(each as unknown as Segment),
    );
    return message as unknown as Segment;
  }
}
