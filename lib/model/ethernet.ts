/** The Ethernet header (IEEE 802.3), with the VLAN tags that may be in it (IEEE 802.1Q). */

import { join, viewOf } from "./bytes.ts";
import type { Outcome } from "./outcome.ts";

/** Length of an Ethernet header without tags. */
export const ETHERNET_LENGTH = 14;

/** Where the ethertype is, or where the first tag begins: behind both addresses. */
const TYPE_OFFSET = 12;
/** What a tag begins with: 802.1Q's customer tag, and the service tag around it (802.1ad). */
const TAGS: ReadonlySet<number> = new Set([0x8100, 0x88a8]);
/** The ethertype that says "a tag", and the two bytes of the tag itself. */
const TAG_LENGTH = 4;
/** What switches stack: a customer's tag in a provider's. */
const MOST_TAGS = 2;

/** What is known of a frame before its content is looked at. */
export interface EthernetHeader {
  /** What the content is. */
  readonly etherType: number;
  /** Where the content begins. */
  readonly length: number;
}

/** Reads the header of a frame of at least {@link ETHERNET_LENGTH} bytes, its tags included. */
export function readEthernet(frame: Uint8Array): EthernetHeader | Extract<Outcome, "malformed"> {
  const view = viewOf(frame);
  let typeOffset = TYPE_OFFSET;
  for (let tags = 0; tags < MOST_TAGS && TAGS.has(view.getUint16(typeOffset)); tags += 1) {
    typeOffset += TAG_LENGTH;
    if (frame.length < typeOffset + 2) return "malformed";
  }
  return { etherType: view.getUint16(typeOffset), length: typeOffset + 2 };
}

/** An Ethernet header from the receiver to the sender, in the same VLANs. */
export function turnedRound(header: Uint8Array): Uint8Array {
  return join(header.subarray(6, 12), header.subarray(0, 6), header.subarray(TYPE_OFFSET));
}
