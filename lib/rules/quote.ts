/** Longer texts are cut in messages. */
const LONGEST_QUOTE = 40;

// Characters that do not show, or that change how the rest of a line shows: controls, format
// characters such as bidirectional overrides, line separators, spaces other than " ", lone
// surrogates.
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]|(?! )\p{Zs}/gu;

/** Text in quotes for a message: cut to 40 characters, invisible ones named. */
export function quoteText(text: string): string {
  const cut = text.length > LONGEST_QUOTE ? `${text.slice(0, LONGEST_QUOTE - 3)}...` : text;
  return `"${cut.replace(INVISIBLE, codePointName)}"`;
}

/** A value of plain data for a message. Never throws and never runs code of the value. */
export function quoteValue(value: unknown): string {
  switch (typeof value) {
    case "string":
      return quoteText(value);
    case "bigint":
      return `${value}n`;
    case "object":
      return value === null ? "null" : Array.isArray(value) ? "an array" : "an object";
    case "function":
    case "symbol":
      return `a ${typeof value}`;
    default:
      return Object.is(value, -0) ? "-0" : String(value);
  }
}

/** "a", "a or b", "a, b or c". */
export function listWords(words: readonly string[], conjunction = "or"): string {
  const last = words.at(-1) ?? "";
  return words.length < 2 ? last : `${words.slice(0, -1).join(", ")} ${conjunction} ${last}`;
}

/** Text of one line for a message; tabs stay, what does not show becomes one "\uFFFD" each. */
export function printableLine(line: string): string {
  return line.replace(INVISIBLE, (character) =>
    character === "\t" ? "\t" : "\uFFFD".repeat(character.length),
  );
}

function codePointName(character: string): string {
  const code = (character.codePointAt(0) ?? 0).toString(16).toUpperCase();
  return `<U+${code.padStart(4, "0")}>`;
}
