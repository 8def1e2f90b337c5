import { printableLine } from "./quote.ts";
import type { RulePlace } from "./rule-error.ts";

/** Lines up to this length are shown whole. */
const WIDEST_EXCERPT = 100;
/** Of longer lines, this much is shown before the place. */
const BEFORE_PLACE = 60;

/** A text of rules, and where its offsets are. Line starts are looked for once, when asked. */
export class Source {
  readonly text: string;
  #lineStarts: number[] | undefined;

  constructor(text: string) {
    this.text = text;
  }

  /** Line and column of an offset, both from 1; columns in UTF-16 code units. */
  position(offset: number): { readonly line: number; readonly column: number } {
    const starts = this.#starts();
    let low = 0;
    let high = starts.length - 1;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if ((starts[middle] ?? 0) <= offset) {
        low = middle;
      } else {
        high = middle - 1;
      }
    }
    return { line: low + 1, column: offset - (starts[low] ?? 0) + 1 };
  }

  /** "line 3, column 14" */
  describe(offset: number): string {
    const { line, column } = this.position(offset);
    return `line ${line}, column ${column}`;
  }

  /** Everything that an error or a diagnostic says about an offset. */
  place(offset: number, rule: number): RulePlace {
    const { line, column } = this.position(offset);
    return { line, column, rule, ...this.#excerpt(line, column) };
  }

  #excerpt(line: number, column: number): { source: string; caret: string } {
    const starts = this.#starts();
    const start = starts[line - 1] ?? 0;
    let end = (starts[line] ?? this.text.length + 1) - 1;
    if (this.text[end - 1] === "\r") {
      end--;
    }
    const whole = end - start <= WIDEST_EXCERPT;
    const from = whole ? start : Math.max(start, start + column - 1 - BEFORE_PLACE);
    const to = whole ? end : Math.min(end, from + WIDEST_EXCERPT);
    const before = from > start ? "..." : "";
    const after = to < end ? "..." : "";
    const shown = printableLine(this.text.slice(from, to));
    // A tab is as wide as the reader's terminal makes it, so the caret line repeats it.
    const indent = shown.slice(0, start + column - 1 - from).replace(/[^\t]/g, " ");
    return {
      source: `${before}${shown}${after}`,
      caret: `${" ".repeat(before.length)}${indent}^`,
    };
  }

  #starts(): number[] {
    if (this.#lineStarts === undefined) {
      this.#lineStarts = [0];
      for (let end = this.text.indexOf("\n"); end !== -1; end = this.text.indexOf("\n", end + 1)) {
        this.#lineStarts.push(end + 1);
      }
    }
    return this.#lineStarts;
  }
}
