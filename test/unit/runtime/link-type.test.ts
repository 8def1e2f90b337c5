import { expect, test } from "vitest";
import { SfunnelError } from "../../../lib/index.ts";
import { assertReadable, isReadable, isWithoutEthernet } from "../../../lib/runtime/link-type.ts";

test.each([
  ["Ethernet", 1, false],
  ["loopback", 772, false],
  ["tun, WireGuard", 0xfffe, true],
  ["raw IP", 519, true],
  ["PPP", 512, true],
  ["ipip", 768, true],
  ["ip6tnl", 769, true],
  ["sit", 776, true],
  ["GRE", 778, true],
  ["GRE over IPv6", 823, true],
])("%s is read", (_, linkType, withoutEthernet) => {
  expect(isReadable({ linkType })).toBe(true);
  expect(isWithoutEthernet({ linkType })).toBe(withoutEthernet);
  assertReadable({ device: "x", linkType });
});

test.each([
  ["InfiniBand", 32],
  ["CAN", 280],
  ["802.11 as it is on the air", 801],
  ["802.11 with radiotap", 803],
  ["netlink", 824],
])("%s is refused", (_, linkType) => {
  expect(isReadable({ linkType })).toBe(false);
  const refuse = () => assertReadable({ device: "odd0", linkType });
  expect(refuse).toThrow(SfunnelError);
  expect(refuse).toThrow(
    `attach: packets on odd0 begin neither with an Ethernet header nor with an IP header (link type ${linkType})`,
  );
});
