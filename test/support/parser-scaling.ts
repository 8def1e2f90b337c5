/** What the readers of rules take for n and 8n of many things. A figure to look at, and no test. */

import {
  checkRules,
  formatRules,
  parseRules,
  type Rule,
  RuleError,
} from "../../lib/rules/index.ts";

/** Texts of so many of something; each is read, checked and, if it is right, written again. */
const CASES: Readonly<Record<string, (n: number) => string>> = {
  "letters of a word": (n) => "a".repeat(n),
  "digits of a port": (n) => `tcp dport ${"9".repeat(n)} actions drop`,
  "dots of an address": (n) => `ip saddr ${"1.".repeat(n)} tcp actions drop`,
  "colons of an address": (n) => `ip6 saddr ${":".repeat(n)} tcp actions drop`,
  "slashes of a prefix": (n) => `ip saddr 10.0.0.0${"/8".repeat(n)} tcp actions drop`,
  "letters of a comment": (n) => `tcp actions drop comment "${"a".repeat(n)}"`,
  "escapes of a comment": (n) => `tcp actions drop comment "${'\\"'.repeat(n)}"`,
  "letters of a string without an end": (n) => `tcp actions drop comment "${"a".repeat(n)}`,
  "quotes on one line": (n) => '"'.repeat(n),
  "quotes on lines": (n) => 'tcp actions drop comment "\n'.repeat(n),
  "letters of a remark": (n) => `# ${"a".repeat(n)}`,
  "remarks on lines": (n) => "# a\n".repeat(n),
  "empty lines": (n) => "\n".repeat(n),
  blanks: (n) => " ".repeat(n),
  semicolons: (n) => ";".repeat(n),
  "open braces": (n) => `tcp dport ${"{".repeat(n)}`,
  "nested braces": (n) => `tcp dport ${"{".repeat(n)} 1 ${"}".repeat(n)} actions drop`,
  "closing braces": (n) => "}".repeat(n),
  "empty sets": (n) => "tcp dport {} actions drop\n".repeat(n),
  "sets without an end": (n) => "tcp dport { 1,\n".repeat(n),
  "ports of a set": (n) =>
    `tcp dport { ${count(n, (i) => (i * 2 + 1) % 65_536 || 1)} } actions drop`,
  "addresses of a set": (n) => `ip saddr { ${count(n, dotted)} } tcp actions drop`,
  "IPv6 addresses of a set": (n) =>
    `ip6 saddr { ${count(
      n,
      (i) =>
        `2001:db8:${i
          .toString(16)
          .padStart(8, "0")
          .replace(/(.{4})/, "$1:")}::1`,
    )} } tcp actions drop`,
  "prefixes with host bits": (n) =>
    `ip saddr { ${count(n, (i) => `${dotted(i)}/9`)} } tcp actions drop`,
  "rules of one word too many": (n) => "tcp actions drop drop\n".repeat(n),
  "rules without an action": (n) => "tcp dport 80\n".repeat(n),
  "errors on one line": (n) => "tcp dport 0 actions drop;".repeat(n),
  "characters of no meaning on one line": (n) => "é🐝\u2028".repeat(n),
  "characters of no meaning on lines": (n) => "é🐝\n".repeat(n),
  "misspelt words": (n) => "tpc dprot 80 actoins drpo\n".repeat(n),
  "terms that come twice": (n) => `tcp ${"dport 80 ".repeat(n)} actions drop`,
  "families that come again": (n) => `${"ip tcp ".repeat(n)} actions drop`,
  "the same rule": (n) => "tcp dport 80 actions drop\n".repeat(n),
  "rules of a port each": (n) => lines(n, (i) => `tcp dport ${(i % 65_535) + 1} actions drop`),
  "rules of an address each": (n) => lines(n, (i) => `ip saddr ${dotted(i)} tcp actions drop`),
  "rules of an excluded address each": (n) =>
    lines(n, (i) => `ip saddr != ${dotted(i)} daddr != ${dotted(i)} tcp actions drop`),
  "rules of a set each": (n) =>
    lines(
      n,
      (i) => `ip saddr { ${dotted(i)}, ${dotted(i + 1)}, ${dotted(i + 2)} } tcp actions drop`,
    ),
  "rules of ranges of ports each": (n) =>
    lines(
      n,
      (i) =>
        `tcp dport != { ${(i % 60_000) + 1}-${(i % 60_000) + 9}, 65000, 65002 } port 80 actions drop`,
    ),
};

function count(n: number, element: (index: number) => number | string): string {
  return Array.from({ length: n }, (_, index) => element(index)).join(", ");
}

function lines(n: number, line: (index: number) => string): string {
  return Array.from({ length: n }, (_, index) => line(index)).join("\n");
}

function dotted(index: number): string {
  return `10.${(index >> 16) & 255}.${(index >> 8) & 255}.${index & 255}`;
}

const STEPS = {
  parse: (text: string) => attempt(text),
  check: (text: string) => checkRules(text),
  "check data": (_: string, rules: readonly Rule[] | undefined) => rules && checkRules(rules),
  format: (_: string, rules: readonly Rule[] | undefined) => rules && formatRules(rules),
};

function attempt(text: string): readonly Rule[] | undefined {
  try {
    return parseRules(text);
  } catch (error) {
    if (error instanceof RuleError) return undefined;
    throw error;
  }
}

/** Milliseconds of the CPU, whoever else is at it: the least of three. */
function time(work: () => unknown): number {
  const runs = Array.from({ length: 3 }, () => {
    const begun = process.cpuUsage();
    work();
    const { user, system } = process.cpuUsage(begun);
    return (user + system) / 1000;
  });
  return Math.min(...runs);
}

export interface Scaling {
  readonly what: string;
  /** Milliseconds of the CPU for n and for 8n. */
  readonly one: number;
  readonly eight: number;
}

/** What each step takes for each case; what takes next to nothing with 8n too is left out. */
export function* scalings(n: number, only?: string): Generator<Scaling> {
  for (const [name, make] of Object.entries(CASES)) {
    if (only !== undefined && !name.includes(only)) continue;
    const texts = [make(n), make(8 * n)] as const;
    const rules = texts.map(attempt);
    for (const [step, run] of Object.entries(STEPS)) {
      const [one = 0, eight = 0] = texts.map((text, index) => time(() => run(text, rules[index])));
      if (eight >= LEAST_MILLISECONDS) yield { what: `${step} ${name}`, one, eight };
    }
  }
}

const LEAST_MILLISECONDS = 2;
