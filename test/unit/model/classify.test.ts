import { describe, expect, it } from "vitest";
import { classify } from "../../../lib/model/classify.ts";
import type { Flow } from "../../../lib/model/frame.ts";
import { addressBytes } from "../../../lib/rules/address.ts";
import { parseRules } from "../../../lib/rules/parse.ts";

/** A flow as "tcp 10.0.0.1:1000 > 10.0.0.2:80", IPv6 addresses in brackets. */
function flow(text: string): Flow {
  const found =
    /^(tcp|udp) (?:\[([^\]]+)\]|([\d.]+)):(\d+) > (?:\[([^\]]+)\]|([\d.]+)):(\d+)$/.exec(text);
  if (found === null) throw new Error(`no flow: ${text}`);
  const [, transport, saddr6, saddr4, sport, daddr6, daddr4, dport] = found;
  return {
    family: saddr6 === undefined ? "ip" : "ip6",
    transport: transport === "tcp" ? "tcp" : "udp",
    saddr: addressBytes(saddr6 ?? saddr4 ?? ""),
    daddr: addressBytes(daddr6 ?? daddr4 ?? ""),
    sport: Number(sport),
    dport: Number(dport),
  };
}

const V4 = "tcp 10.0.0.1:1000 > 192.0.2.7:80";
const V6 = "tcp [2001:db8::1]:1000 > [2001:db8:ff::7]:80";

describe("a match", () => {
  it.each<[match: string, flow: string, hit: boolean]>([
    // Transport and family.
    ["tcp", V4, true],
    ["udp", V4, false],
    ["tcp", V6, true],
    ["ip tcp", V4, true],
    ["ip tcp", V6, false],
    ["ip6 tcp", V6, true],
    ["ip6 tcp", V4, false],

    // Ports.
    ["tcp dport 80", V4, true],
    ["tcp dport 81", V4, false],
    ["tcp sport 80", V4, false],
    ["tcp dport != 80", V4, false],
    ["tcp dport != 81", V4, true],
    ["tcp dport 80-90", V4, true],
    ["tcp dport 70-80", V4, true],
    ["tcp dport 81-90", V4, false],
    ["tcp dport 70-79", V4, false],
    ["tcp dport != 70-80", V4, false],
    ["tcp dport {22, 80, 443}", V4, true],
    ["tcp dport {22, 443}", V4, false],
    ["tcp dport {22, 79-81}", V4, true],
    ["tcp dport != {22, 79-81}", V4, false],
    ["tcp dport != {22, 443}", V4, true],
    ["tcp sport 1000 dport 80", V4, true],
    ["tcp sport 1000 dport 81", V4, false],
    ["tcp sport 1001 dport 80", V4, false],
    ["tcp dport 65535", "tcp 10.0.0.1:1 > 10.0.0.2:65535", true],
    ["tcp dport 1-65535", "tcp 10.0.0.1:1 > 10.0.0.2:0", false],

    // Either port; negated, neither.
    ["tcp port 80", V4, true],
    ["tcp port 1000", V4, true],
    ["tcp port 81", V4, false],
    ["tcp port != 81", V4, true],
    ["tcp port != 80", V4, false],
    ["tcp port != 1000", V4, false],
    ["tcp port {80, 1000}", V4, true],
    ["tcp port 1000 dport 80", V4, true],
    ["tcp port 80 dport 443", V4, false],

    // IPv4 addresses.
    ["ip saddr 10.0.0.1 tcp", V4, true],
    ["ip saddr 10.0.0.2 tcp", V4, false],
    ["ip daddr 10.0.0.1 tcp", V4, false],
    ["ip saddr != 10.0.0.1 tcp", V4, false],
    ["ip saddr != 10.0.0.2 tcp", V4, true],
    ["ip saddr 10.0.0.0/8 tcp", V4, true],
    ["ip saddr 10.0.0.0/31 tcp", V4, true],
    ["ip saddr 10.0.0.2/31 tcp", V4, false],
    ["ip saddr 11.0.0.0/8 tcp", V4, false],
    ["ip saddr 8.0.0.0/5 tcp", V4, true],
    ["ip saddr 0.0.0.0/0 tcp", V4, true],
    ["ip saddr != 0.0.0.0/0 tcp", V4, false],
    ["ip saddr {172.16.0.0/12, 10.0.0.0/8} tcp", V4, true],
    ["ip saddr {172.16.0.0/12, 192.168.0.0/16} tcp", V4, false],
    ["ip saddr != {172.16.0.0/12, 10.0.0.0/8} tcp", V4, false],
    ["ip saddr != {172.16.0.0/12, 192.168.0.0/16} tcp", V4, true],
    ["ip saddr 10.0.0.1 daddr 192.0.2.7 tcp", V4, true],
    ["ip saddr 10.0.0.1 daddr != 192.0.2.7 tcp", V4, false],

    // IPv6 addresses.
    ["ip6 saddr 2001:db8::1 tcp", V6, true],
    ["ip6 saddr 2001:db8::2 tcp", V6, false],
    ["ip6 saddr 2001:db8::/32 tcp", V6, true],
    ["ip6 daddr 2001:db8:ff::/48 tcp", V6, true],
    ["ip6 daddr 2001:db8:fe::/48 tcp", V6, false],
    ["ip6 daddr 2001:db8:fe::/47 tcp", V6, true],
    ["ip6 saddr != 2001:db8::/32 tcp", V6, false],
    ["ip6 saddr != {fe80::/10, fc00::/7} tcp", V6, true],
    ["ip6 saddr ::/0 tcp", V6, true],

    // An address says which family a rule is about, negated or not.
    ["ip6 saddr ::/0 tcp", V4, false],
    ["ip6 saddr != 2001:db8::/32 tcp", V4, false],
    ["ip saddr 0.0.0.0/0 tcp", V6, false],
    ["ip saddr != 10.0.0.1 tcp", V6, false],
  ])("%s | %s | %s", (match, text, hit) => {
    expect(classify(parseRules(`${match} actions accept`), flow(text), "plain")).toBe(
      hit ? 0 : undefined,
    );
  });

  it("needs no family beside an address that is written by hand", () => {
    const saddr = { negate: true, prefixes: [{ address: "2001:db8::", length: 32 }] };
    const rules = [{ match: { transport: "tcp", saddr }, action: { kind: "accept" } }] as const;
    expect(classify(rules, flow(V4), "plain")).toBeUndefined();
    expect(classify(rules, flow(V6), "plain")).toBeUndefined();
    expect(classify(rules, flow("tcp [fe80::1]:1 > [fe80::2]:2"), "plain")).toBe(0);
  });
});

describe("a list", () => {
  it("is left alone where nothing matches", () => {
    expect(classify([], flow(V4), "plain")).toBeUndefined();
  });

  it("ends at its first match", () => {
    const rules = parseRules(`
      udp actions drop
      tcp dport 443 actions drop
      tcp dport 80-90 actions accept
      tcp dport 80 actions drop
      tcp actions drop
    `);
    expect(classify(rules, flow(V4), "plain")).toBe(2);
    expect(classify(rules, flow("tcp 10.0.0.1:1 > 10.0.0.2:22"), "plain")).toBe(4);
    expect(classify(rules, flow("udp 10.0.0.1:1 > 10.0.0.2:80"), "plain")).toBe(0);
  });
});
