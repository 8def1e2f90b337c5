/** What is known of the life of one TCP connection, from the flags of its segments. */

import type { Kind } from "./connections.ts";
import { acknowledgmentOf, sequenceOf } from "./segment.ts";
import { answersBegin, hasFlag } from "./tcp-flags.ts";

/** Where a segment goes: as the one that began the connection, or as those that answer it. */
export type Side = "there" | "back";

/** How far behind the answer an acknowledgment may be: as much as a window without scaling has. */
const WINDOW = 0xffff;

export class Connection {
  #isEstablished = false;
  /** What the SYN-ACK is acknowledged with. */
  #answered: number | undefined;
  readonly #finished = new Set<Side>();
  #resetBy: Side | undefined;

  /** Whether its client has acknowledged the answer, which takes more than to guess its ports. */
  get isEstablished(): boolean {
    return this.#isEstablished;
  }

  /** Whether both sides have said that they are done, or one that it is over. */
  get isClosing(): boolean {
    return this.#finished.size === 2 || this.#resetBy !== undefined;
  }

  /**
   * Whether it is over beyond doubt where it is unfunneled: both sides have said so, or the one that it
   * reached. Who says anything "there" need not be the client: no sequence number is looked at.
   */
  get isDead(): boolean {
    return this.#finished.size === 2 || this.#resetBy === "back";
  }

  /** The same ports begin another connection. */
  beginAgain(): void {
    this.#isEstablished = false;
    this.#answered = undefined;
    this.#finished.clear();
    this.#resetBy = undefined;
  }

  /** Its client goes on, whatever was said. */
  takeBackReset(): void {
    this.#resetBy = undefined;
  }

  /** Learns from a segment of this kind. Gives whether the connection is over before it was one. */
  sees(segment: Uint8Array, side: Side, kind: Kind): { readonly isOver: boolean } {
    const isReset = hasFlag(segment, "rst");
    // What is unfunneled came from the wire, where anybody can say it.
    if (isReset && !this.#isEstablished && kind !== "unfunnel") return { isOver: true };
    if (isReset) this.#resetBy = side;
    // Whoever goes on talking has not closed it: the reset was forged, or from a time long past.
    else if (this.#resetBy === side) this.#resetBy = undefined;
    if (hasFlag(segment, "fin")) this.#finished.add(side);
    if (side === "back" && answersBegin(segment)) this.#answered = sequenceOf(segment) + 1;
    if (side === "there" && !isReset && this.#isAcknowledged(segment)) this.#isEstablished = true;
    // A real connection may be known from its middle on: there the answer is all there is to see.
    const isAnswered = hasFlag(segment, "ack") && !hasFlag(segment, "syn") && !isReset;
    if (side === "back" && kind === "direct" && isAnswered) this.#isEstablished = true;
    return { isOver: false };
  }

  #isAcknowledged(segment: Uint8Array): boolean {
    if (this.#answered === undefined || !hasFlag(segment, "ack") || hasFlag(segment, "syn"))
      return false;
    return (acknowledgmentOf(segment) - this.#answered) >>> 0 <= WINDOW;
  }
}
