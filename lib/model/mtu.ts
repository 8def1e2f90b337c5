/** How much of a packet a way takes. */

/**
 * The most bytes of an IP packet that are sent in a carrier, the carrier included: kernels cannot
 * be relied on to enlarge a packet to more than some 16 kB that is not one of segments.
 */
export const LARGEST_PACKET = 16_000;

/** The largest packet in a carrier that a way of this MTU takes. */
export function largestPacket(mtu: number): number {
  return Math.min(mtu, LARGEST_PACKET);
}
