/**
 * A grammar in a document: sentences are made from it at random, and each must read as a rule.
 * What a grammar cannot say (one transport a rule, a range that ascends) may be refused; a word
 * that stands where the parser does not expect it may not.
 */
import { readRules } from "../../lib/rules/parse.ts";
import type { RuleErrorReason } from "../../lib/rules/rule-error.ts";
import { Source } from "../../lib/rules/source.ts";
import { type Random, seededRandom } from "../support/random.ts";

/** Meaning, not form. */
const BEYOND_GRAMMAR: ReadonlySet<RuleErrorReason> = new Set([
  "bad-range",
  "both-transports",
  "every-too-fast",
  "mixed-families",
  "no-transport",
  "repeated",
  "translate-only-tcp",
] as const);

/** What the grammar leaves to prose. */
const TERMINALS: Readonly<Record<string, readonly string[]>> = {
  port: ["1", "80", "2055", "65535"],
  prefix: ["10.0.0.1", "10.0.0.0/8", "0.0.0.0/0", "2001:db8::1", "2001:db8::/32", "::/0"],
  duration: ["30s", "5m", "2h"],
  string: ['"BGP of the edge"', '""'],
  newline: ["\n"],
};

type Node =
  | { readonly kind: "word" | "name"; readonly text: string }
  | { readonly kind: "sequence" | "choice"; readonly parts: readonly Node[] }
  | { readonly kind: "optional" | "repeat"; readonly part: Node };

/** `name = definition` per rule; "words", | choice, [ optional ], { repeat }, ( group ). */
function readGrammar(text: string): Map<string, Node> {
  const grammar = new Map<string, Node>();
  // A rule goes on over lines that are indented.
  for (const definition of text.split(/\n(?=\S)/)) {
    const [, name, body] = /^([a-z]+)\s*=\s*([\s\S]*)$/.exec(definition.trim()) ?? [];
    if (name === undefined || body === undefined) throw new Error(`no rule: ${definition}`);
    grammar.set(name, new GrammarReader(body).read());
  }
  return grammar;
}

class GrammarReader {
  readonly #tokens: string[];

  constructor(text: string) {
    this.#tokens = text.match(/"[^"]*"|[a-z]+|[|()[\]{}]|\S/g) ?? [];
  }

  read(): Node {
    const node = this.#choice();
    if (this.#tokens.length > 0) throw new Error(`left over: ${this.#tokens.join(" ")}`);
    return node;
  }

  #choice(): Node {
    const parts = [this.#sequence()];
    while (this.#tokens[0] === "|") {
      this.#tokens.shift();
      parts.push(this.#sequence());
    }
    return { kind: "choice", parts };
  }

  #sequence(): Node {
    const parts: Node[] = [];
    for (;;) {
      const token = this.#tokens[0];
      if (token === undefined || /^[|)\]}]$/.test(token)) return { kind: "sequence", parts };
      this.#tokens.shift();
      if (token === "(") parts.push(this.#closed(")"));
      else if (token === "[") parts.push({ kind: "optional", part: this.#closed("]") });
      else if (token === "{") parts.push({ kind: "repeat", part: this.#closed("}") });
      else if (token.startsWith('"')) parts.push({ kind: "word", text: token.slice(1, -1) });
      else if (/^[a-z]+$/.test(token)) parts.push({ kind: "name", text: token });
      else throw new Error(`cannot read ${token}`);
    }
  }

  #closed(end: string): Node {
    const part = this.#choice();
    if (this.#tokens.shift() !== end) throw new Error(`${end} is missing`);
    return part;
  }
}

function sentence(grammar: Map<string, Node>, node: Node, random: Random, depth: number): string {
  const each = (part: Node) => sentence(grammar, part, random, depth + 1);
  switch (node.kind) {
    case "word":
      return node.text;
    case "name": {
      const definition = grammar.get(node.text);
      if (definition) return each(definition);
      const values = TERMINALS[node.text];
      if (!values) throw new Error(`the grammar does not say what "${node.text}" is`);
      return random.pick(values);
    }
    case "sequence":
      return node.parts.map(each).join(" ");
    case "choice":
      // The first choice ends: deep sentences come to an end through it.
      return each(depth > 40 ? (node.parts[0] as Node) : random.pick(node.parts));
    case "optional":
      return random.below(2) === 0 ? "" : each(node.part);
    case "repeat":
      return Array.from({ length: depth > 40 ? 0 : random.below(4) }, () => each(node.part)).join(
        " ",
      );
  }
}

/** How many sentences are made; a thousandth of them would find a misspelt word. */
const SENTENCES = 5000;

/** What is wrong with a grammar; undefined if nothing is. Its first rule is where it starts. */
export function problemOfGrammar(text: string): string | undefined {
  let accepted = 0;
  try {
    const grammar = readGrammar(text);
    const [start] = grammar.values();
    if (!start) return "there is no grammar in it";
    const random = seededRandom(1);
    for (let count = 0; count < SENTENCES; count++) {
      const { rules, errors } = readRules(new Source(sentence(grammar, start, random, 0)));
      accepted += rules.length;
      const refused = errors.find(({ reason }) => !BEYOND_GRAMMAR.has(reason));
      if (refused) return refused.message;
    }
  } catch (error) {
    return (error as Error).message;
  }
  return accepted > 0 ? undefined : "no sentence of this grammar is a rule";
}
