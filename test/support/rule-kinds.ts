/** Lists of rules of one kind each, which are hard for whoever looks for the first that matches. */
import { parseRules, type Rule } from "../../lib/rules/index.ts";

export interface RuleKind {
  readonly title: string;
  readonly rules: readonly Rule[];
}

const lines = (count: number, line: (index: number) => string): string =>
  Array.from({ length: count }, (_, index) => line(index)).join("\n");

const ACTIONS = ["accept", "drop", "unfunnel udp", "funnel tcp dport 179 sport 540"] as const;
const action = (index: number) => `actions ${ACTIONS[index % ACTIONS.length]}`;

/** 10.0.0.0 and on. */
const address = (index: number) => `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`;

/** All ports but one, which a negation of it is about (and port 0). */
const allBut = (port: number) => `{ 1-${port - 1}, ${port + 1}-65535 }`;

/** The prefixes that hold all addresses but one, which is 10.0.0.0 and so many. */
function addressesBut(index: number): string {
  const number = (10 << 24) + index;
  const prefixes = Array.from({ length: 32 }, (_, bit) => {
    const other = (((number ^ (1 << bit)) >>> bit) << bit) >>> 0;
    return `${[24, 16, 8, 0].map((shift) => (other >>> shift) & 255).join(".")}/${32 - bit}`;
  });
  return `{ ${prefixes.join(", ")} }`;
}

/** Every other address, so that no two of them are one prefix. */
const addressSet = (first: number, count: number) =>
  `{ ${Array.from({ length: count }, (_, index) => address(first + 2 * index)).join(", ")} }`;

/** Every third port, likewise. */
const portSet = (first: number, count: number) =>
  `{ ${Array.from({ length: count }, (_, index) => first + 3 * index).join(", ")} }`;

/** `negations`: how many rules say what they are not about; a search goes by all of them. */
export function ruleKinds(negations: number): readonly RuleKind[] {
  const kinds: Readonly<Record<string, string>> = {
    "the same match again and again, of which the first one counts": [
      lines(200, (index) => `udp dport ${2000 + (index % 3)} ${action(index)}`),
      lines(200, (index) => `ip saddr 10.0.0.0/8 udp dport ${2000 + (index % 5)} ${action(index)}`),
    ].join("\n"),

    "the same match, and packets that some of them pass over": lines(60, (index) =>
      [
        `tcp dport ${179 + index} actions unfunnel translate tcp allow 8080`,
        `tcp dport ${179 + index} actions unfunnel udp allow 2055`,
        `tcp dport ${179 + index} actions funnel translate tcp dport 80`,
        `tcp dport ${179 + index} actions drop`,
      ].join("\n"),
    ),

    "rules that differ in the port that they are not about": [
      lines(negations, (index) => `udp dport != ${allBut(2000 + index)} ${action(index)}`),
      lines(negations, (index) => `tcp sport != ${allBut(2000 + index)} actions accept`),
      "udp dport != 5000 actions drop",
    ].join("\n"),

    "rules that differ in the address that they are not about": [
      lines(
        negations,
        (index) => `ip daddr != ${addressesBut(3 * index)} udp dport 2055 ${action(index)}`,
      ),
      "udp dport 2055 actions accept",
    ].join("\n"),

    "rules that are about neither port": [
      lines(
        negations,
        (index) =>
          `udp sport 540 dport != ${index + 7} port != ${allBut(540)} ${action(index)}\n` +
          `udp port != { 1-${100 + index}, ${140 + index}-65535 } ${action(index)}`,
      ),
    ].join("\n"),

    "either port": [
      lines(300, (index) => `udp port ${1000 + 7 * index} ${action(index)}`),
      lines(300, (index) => `udp port ${1000 + 5 * index}-${1010 + 5 * index} ${action(index)}`),
      lines(
        300,
        (index) => `tcp sport ${1000 + index} port ${1000 + index}-${1200 + index} actions accept`,
      ),
      lines(
        300,
        (index) => `tcp dport 179 sport != ${1000 + index} port ${1000 + index} actions drop`,
      ),
      lines(20, (index) => `udp port ${portSet(1 + index, 290)} ${action(index)}`),
    ].join("\n"),

    "sets that are too large to be held one by one": [
      lines(4, (index) => `ip saddr ${addressSet(1000 * index, 300)} udp dport 7 ${action(index)}`),
      lines(4, (index) => `udp dport ${portSet(100 + index, 400)} sport 9 ${action(index)}`),
      lines(
        30,
        (index) =>
          `ip saddr ${addressSet(7 * index, 40)} daddr ${addressSet(64 * index, 40)} udp dport ${portSet(1 + index, 40)} ${action(index)}`,
      ),
      lines(30, (index) => `ip daddr != ${addressSet(index, 300)} udp sport 11 ${action(index)}`),
      "ip6 daddr { ::/128, 8000::/128, 2001:db8::/32 } udp sport 9 actions drop",
    ].join("\n"),

    "addresses of IPv6 that look like those of IPv4 in the keys of the kernel": [
      lines(40, (index) => `ip saddr ${address(index)} udp dport 2055 ${action(index)}`),
      "ip saddr 0.0.0.0/0 udp dport 2055 actions accept",
      "ip daddr 0.0.0.0/0 udp actions drop",
      "ip daddr { 0.0.0.0/0, 10.0.0.0/8 } tcp actions accept",
      "ip saddr != 10.0.0.0/8 udp dport != 2055 actions drop",
      lines(20, (index) => `ip6 saddr ::/${128 - 6 * index} udp dport 2055 ${action(index)}`),
      "ip6 daddr ::/64 udp dport 9 actions drop",
      "ip6 saddr ::/0 udp dport 2055 actions accept",
      "ip6 daddr ::/0 tcp dport 179 actions drop",
      "ip6 daddr { ::/0, 2001:db8::/32 } udp actions accept",
      "tcp actions drop",
    ].join("\n"),

    "prefixes and ranges that lie in each other, the narrowest ones last": [
      lines(33, (index) => `ip saddr 10.128.1.${index}/${index} udp dport 2055 ${action(index)}`),
      lines(15, (index) => `udp sport 1-${2 ** (16 - index) - 1} dport 7 ${action(index)}`),
      lines(
        129,
        (index) => `ip6 daddr 2001:db8:5555:aaaa::${index}/${index} tcp dport 2055 actions drop`,
      ),
    ].join("\n"),

    "prefixes and ranges that lie in each other, the narrowest ones first": [
      lines(
        33,
        (index) => `ip saddr 10.128.1.${index}/${32 - index} udp dport 2055 ${action(index)}`,
      ),
      lines(16, (index) => `udp sport 1-${2 ** (index + 1) - 1} dport 7 ${action(index)}`),
      lines(
        129,
        (index) =>
          `ip6 daddr 2001:db8:5555:aaaa::${index}/${128 - index} tcp dport 2055 actions drop`,
      ),
    ].join("\n"),
  };
  return Object.entries(kinds).map(([title, text]) => ({ title, rules: parseRules(text) }));
}
