import {
  expectedButFound,
  RuleError,
  type RuleErrorReason,
  type RuleProblem,
} from "./rule-error.ts";
import type { Source } from "./source.ts";
import { describeToken, type Token, Tokenizer } from "./tokens.ts";
import { RULE_START_WORDS, wordHint } from "./words.ts";

/** A place in the tokens of a text: what the readers of matches and actions share. */
export class Cursor {
  readonly source: Source;
  readonly #tokenizer: Tokenizer;
  #token: Token;
  /** Whether the current token is the first of its line. */
  #startsLine = true;
  #depth = 0;
  #rule = -1;

  constructor(source: Source) {
    this.source = source;
    this.#tokenizer = new Tokenizer(source.text);
    this.#token = this.#tokenizer.next();
  }

  get token(): Token {
    return this.#token;
  }

  /** Braces that are open at the current token. */
  get depth(): number {
    return this.#depth;
  }

  /** Index of the current rule among all, malformed ones included. */
  get rule(): number {
    return this.#rule;
  }

  /** Goes to the first token of the next rule; false if there is none. */
  enterRule(): boolean {
    while (this.#token.kind === "newline" || this.isMark(";")) {
      this.advance();
    }
    if (this.#token.kind === "end") {
      return false;
    }
    this.#rule++;
    return true;
  }

  /** After an error: goes on to where the next rule most likely starts. */
  skipRule(): void {
    for (; this.#token.kind !== "end"; this.advance()) {
      if (this.isMark(";") || (this.#token.kind === "newline" && this.#depth === 0)) {
        break;
      }
      if (this.#depth > 0 && this.#startsLine && RULE_START_WORDS.has(this.#token.text)) {
        // A set that was never closed; it must not swallow the rules below it.
        break;
      }
      if (this.isMark("{")) {
        this.#depth++;
      } else if (this.isMark("}") && this.#depth > 0) {
        this.#depth--;
      }
    }
    this.#depth = 0;
  }

  advance(): void {
    this.#startsLine = this.#token.kind === "newline";
    this.#token = this.#tokenizer.next();
  }

  /** Over a "{". */
  open(): void {
    this.#depth++;
    this.advance();
  }

  /** Over a "}". */
  close(): void {
    this.#depth--;
    this.advance();
  }

  skipNewlines(): void {
    while (this.#token.kind === "newline") {
      this.advance();
    }
  }

  /** The current token if it is a word, a number or an address, or else an empty text. */
  get word(): string {
    return this.#token.kind === "atom" ? this.#token.text : "";
  }

  isWord(word: string): boolean {
    return this.#token.kind === "atom" && this.#token.text === word;
  }

  isMark(mark: string): boolean {
    return this.#token.kind === "mark" && this.#token.text === mark;
  }

  /** Whether the rule, or the text, ends here. */
  isEndOfRule(): boolean {
    return this.#token.kind === "end" || this.#token.kind === "newline" || this.isMark(";");
  }

  takeMark(mark: string): boolean {
    const taken = this.isMark(mark);
    if (taken) {
      this.advance();
    }
    return taken;
  }

  /** An error at the current token, or at another one. */
  error(problem: RuleProblem, token: Pick<Token, "offset"> = this.#token): RuleError {
    return new RuleError(problem, this.source.place(token.offset, this.#rule));
  }

  /** The current token is not what the grammar has here. */
  unexpected(
    expected: string,
    reason: RuleErrorReason = "unexpected",
    hint: string | undefined = this.#foreignHint(),
  ): RuleError {
    return this.error(expectedButFound(reason, expected, describeToken(this.#token), hint));
  }

  /** `did you mean ...?` if the current token is near one of `words`. */
  wordHint(words: Iterable<string>): string | undefined {
    return this.#token.kind === "atom" ? wordHint(this.#token.text, words) : undefined;
  }

  /** What people bring along from shells and other languages. */
  #foreignHint(): string | undefined {
    const { kind, text } = this.#token;
    if (kind === "stray" && text === "\\") {
      return "a rule stands on one line; only a shell joins lines at a backslash";
    }
    if (kind === "stray" && (text === "=" || text === "!")) {
      return 'equality needs no sign, its opposite is "!="';
    }
    if (kind === "stray" && text === "<") {
      return "put your own value in the place of <...>";
    }
    return kind === "atom" && text === "not" ? 'write "!="' : undefined;
  }
}
