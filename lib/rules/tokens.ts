import { quoteText } from "./quote.ts";

export type TokenKind =
  /** A run of letters, digits, ".", ":", "/", "_" and "%": a word, a number or an address. */
  | "atom"
  /** A quoted text. */
  | "string"
  /** One of { } , ; - != */
  | "mark"
  | "newline"
  | "end"
  /** Anything else; `text` is the character. */
  | "stray";

export interface Token {
  readonly kind: TokenKind;
  readonly text: string;
  /** Where the token starts, as an index into the text. */
  readonly offset: number;
}

const TAB = 0x09;
const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const SPACE = 0x20;
const QUOTE = 0x22;
const HASH = 0x23;
const BACKSLASH = 0x5c;
const BYTE_ORDER_MARK = 0xfeff;

/** Splits a text into tokens, one at a time, looking at every character once. */
export class Tokenizer {
  readonly #text: string;
  #offset = 0;

  constructor(text: string) {
    this.#text = text;
    // Editors on Windows write one.
    if (text.charCodeAt(0) === BYTE_ORDER_MARK) {
      this.#offset = 1;
    }
  }

  /** The next token; at the end of the text, "end" tokens for ever. */
  next(): Token {
    const text = this.#text;
    this.#skipBlanks();
    const offset = this.#offset;
    if (offset >= text.length) {
      return { kind: "end", text: "", offset };
    }
    const code = text.charCodeAt(offset);
    if (isAtomCode(code)) {
      return this.#take("atom", this.#endOfAtom());
    }
    switch (text[offset]) {
      case "\n":
        return this.#take("newline", offset + 1);
      case "{":
      case "}":
      case ",":
      case ";":
      case "-":
        return this.#take("mark", offset + 1);
      case "!":
        return text[offset + 1] === "="
          ? this.#take("mark", offset + 2)
          : this.#take("stray", offset + 1);
      case '"':
        return this.#take("string", this.#endOfString());
      default:
        return this.#take("stray", offset + ((text.codePointAt(offset) ?? 0) > 0xffff ? 2 : 1));
    }
  }

  #take(kind: TokenKind, end: number): Token {
    const offset = this.#offset;
    this.#offset = end;
    return { kind, text: this.#text.slice(offset, end), offset };
  }

  /** White space other than the end of a line, and comments. */
  #skipBlanks(): void {
    for (; this.#offset < this.#text.length; this.#offset++) {
      const code = this.#text.charCodeAt(this.#offset);
      if (code === HASH) {
        const end = this.#text.indexOf("\n", this.#offset);
        this.#offset = end === -1 ? this.#text.length : end;
        return;
      }
      if (code !== SPACE && code !== TAB && code !== CARRIAGE_RETURN) {
        return;
      }
    }
  }

  #endOfAtom(): number {
    let end = this.#offset + 1;
    while (end < this.#text.length && isAtomCode(this.#text.charCodeAt(end))) {
      end++;
    }
    return end;
  }

  /** Behind the closing quote; a string without one ends with its line. */
  #endOfString(): number {
    let end = this.#offset + 1;
    for (; end < this.#text.length; end++) {
      const code = this.#text.charCodeAt(end);
      if (code === QUOTE) {
        return end + 1;
      }
      if (code === LINE_FEED) {
        return end;
      }
      if (code === BACKSLASH && this.#text.charCodeAt(end + 1) !== LINE_FEED) {
        end++;
      }
    }
    return this.#text.length;
  }
}

/** A token as messages name it. */
export function describeToken(token: Token): string {
  switch (token.kind) {
    case "end":
      return "the end of the rules";
    case "newline":
      return "the end of the line";
    case "string":
      return `the string ${quoteText(token.text.replace(/^"|"$/g, ""))}`;
    default:
      return quoteText(token.text);
  }
}

function isAtomCode(code: number): boolean {
  return (
    (code >= 0x61 && code <= 0x7a) || // a-z
    (code >= 0x2e && code <= 0x3a) || // . / 0-9 :
    (code >= 0x41 && code <= 0x5a) || // A-Z
    code === 0x5f || // _
    code === 0x25 // % (so that an address with a zone is refused whole)
  );
}
