import { nearestWord } from "./nearest.ts";
import { quoteText } from "./quote.ts";

/** Words that begin a match, in the order in which messages name them. */
export const TERM_WORDS: readonly string[] = [
  "ip",
  "ip6",
  "saddr",
  "daddr",
  "tcp",
  "udp",
  "sport",
  "dport",
  "port",
];

export const ACTION_WORDS: readonly string[] = ["funnel", "unfunnel", "accept", "drop"];

/** Words that a rule may begin with, or go on with up to its action. */
export const RULE_START_WORDS: ReadonlySet<string> = new Set([...TERM_WORDS, "actions"]);

/** Words of other tools, and what they are here. */
const FOREIGN_WORDS: Readonly<Record<string, string>> = {
  action: "actions",
  allowed: "allow",
  decapsulate: "decap",
  destination: "daddr",
  dst: "daddr",
  encapsulate: "encap",
  ipv4: "ip",
  ipv6: "ip6",
  pass: "accept",
  reject: "drop",
  source: "saddr",
  src: "saddr",
};

/** `did you mean "dport"?` for a word that is near one of `words`; undefined for all others. */
export function wordHint(word: string, words: Iterable<string>): string | undefined {
  const candidates = [...words];
  const foreign = Object.hasOwn(FOREIGN_WORDS, word) ? FOREIGN_WORDS[word] : undefined;
  const meant =
    foreign !== undefined && candidates.includes(foreign) ? foreign : nearestWord(word, candidates);
  return meant === undefined || meant === word ? undefined : `did you mean ${quoteText(meant)}?`;
}
