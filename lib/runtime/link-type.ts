/** What packets on an interface begin with, told by the type of its link. */
import { SfunnelError } from "../errors.ts";
import type { Place } from "./place.ts";

/** ARPHRD_ETHER: that of most interfaces, the ends of our own pair included. */
export const ETHERNET = 1;

/** ARPHRD_* of linux/if_arp.h whose packets begin with an Ethernet header; 772 is loopback. */
const WITH_ETHERNET: ReadonlySet<number> = new Set([ETHERNET, 772]);

/**
 * ARPHRD_* whose packets begin with their IP header, by the kernel's own list (dev_is_mac_header_xmit):
 * PPP, TUNNEL (ipip, vti), TUNNEL6, SIT, IPGRE, PIMREG, IP6GRE, RAWIP, NONE (tun, WireGuard, xfrm), VOID.
 */
const WITH_IP: ReadonlySet<number> = new Set([
  512, 768, 769, 776, 778, 779, 823, 519, 0xfffe, 0xffff,
]);

/** Whether the program can read what comes by here: frames of Ethernet, or bare IP packets. */
export function isReadable({ linkType }: Pick<Place, "linkType">): boolean {
  return WITH_ETHERNET.has(linkType) || WITH_IP.has(linkType);
}

/** Whether packets here begin with their IP header (devices of layer 3). */
export function isWithoutEthernet({ linkType }: Pick<Place, "linkType">): boolean {
  return WITH_IP.has(linkType);
}

/** Throws SfunnelError (SFUNNEL_NOT_SUPPORTED) for an interface with frames of another kind. */
export function assertReadable(place: Pick<Place, "device" | "linkType">): void {
  if (isReadable(place)) return;
  throw new SfunnelError(
    "SFUNNEL_NOT_SUPPORTED",
    `attach: packets on ${place.device} begin neither with an Ethernet header nor with an IP header (link type ${place.linkType})`,
    { operation: "attach", hint: "attach to an interface that carries IP" },
  );
}
