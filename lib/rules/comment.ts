import { quoteText } from "./quote.ts";
import { expectedButFound, type RuleProblem } from "./rule-error.ts";

// Control characters, line separators and lone surrogates: none survives being printed, or
// written to a file as UTF-8 and read back.
const NOT_IN_COMMENT = /[\p{Cc}\p{Zl}\p{Zp}\p{Cs}]/u;

/** Why a text cannot be a comment; undefined if it can. */
export function commentProblem(text: string): RuleProblem | undefined {
  const found = NOT_IN_COMMENT.exec(text);
  return found === null
    ? undefined
    : expectedButFound(
        "bad-string",
        "a comment of one line without control characters",
        quoteText(found[0]),
      );
}

/** A comment in quotes, as the rule language writes it. */
export function formatComment(text: string): string {
  return `"${text.replace(/["\\]/g, "\\$&")}"`;
}

/** Takes the quotes and escapes away; or says what is wrong, and how far into `quoted`. */
export function readQuoted(
  quoted: string,
): { readonly text: string } | { readonly problem: RuleProblem; readonly offset: number } {
  const parts: string[] = [];
  let from = 1;
  for (let offset = 1; offset < quoted.length; offset++) {
    const character = quoted[offset];
    if (character === '"') {
      parts.push(quoted.slice(from, offset));
      return { text: parts.join("") };
    }
    if (character === "\\") {
      const escaped = quoted[offset + 1];
      if (escaped === undefined) {
        break;
      }
      if (escaped !== '"' && escaped !== "\\") {
        const found = quoteText(`\\${String.fromCodePoint(quoted.codePointAt(offset + 1) ?? 0)}`);
        const problem = expectedButFound("bad-string", '\\" or \\\\ in a string', found);
        return { problem, offset };
      }
      parts.push(quoted.slice(from, offset));
      from = offset + 1;
      offset++;
    }
  }
  const expected = 'a closing " on the same line';
  const problem = expectedButFound("bad-string", expected, "the end of the line");
  return { problem, offset: 0 };
}
