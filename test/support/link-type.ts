/** An interface of a kind that sfunnel does not serve. */
import { execute } from "./execute.ts";
import { PYTHON } from "./python.ts";

/** ARPHRD_CAN */
export const ODD_LINK_TYPE = 280;

/** A tun device takes whatever link type it is told. */
const SET_LINK_TYPE = `
import fcntl, struct, sys
TUNSETIFF, TUNSETLINK, IFF_TUN, IFF_NO_PI = 0x400454ca, 0x400454cd, 1, 0x1000
with open("/dev/net/tun", "r+b", buffering=0) as tun:
    name = sys.argv[1].encode()
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", name, IFF_TUN | IFF_NO_PI))
    fcntl.ioctl(tun, TUNSETLINK, int(sys.argv[2]))
`;

/** Adds one to a namespace, by its name. */
export function addOddLink(netns: string, device: string): void {
  execute("ip", ["-n", netns, "tuntap", "add", device, "mode", "tun"]);
  execute("ip", [
    ...["netns", "exec", netns, PYTHON, "-c", SET_LINK_TYPE],
    ...[device, `${ODD_LINK_TYPE}`],
  ]);
}
