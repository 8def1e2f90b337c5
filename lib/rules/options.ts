import { OptionError } from "../errors.ts";
import { nearestWord } from "./nearest.ts";
import { listWords, quoteText, quoteValue } from "./quote.ts";

/**
 * Refuses an options object that is none, and names that are unknown: a misspelt option that
 * is silently ignored would make a rule match more than its author meant.
 *
 * @throws OptionError naming the option and, where one is near, the right spelling.
 */
export function checkOptionNames(
  operation: string,
  options: unknown,
  known: readonly string[],
): asserts options is Readonly<Record<string, unknown>> {
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw optionError(operation, "options", `expected an object, found ${quoteValue(options)}`);
  }
  for (const name of Object.keys(options)) {
    if (!known.includes(name)) {
      const meant = nearestWord(name, known);
      const hint =
        meant === undefined
          ? `known are ${listWords(known, "and")}`
          : `did you mean ${quoteText(meant)}?`;
      throw new OptionError(name, `${operation}: there is no option ${quoteText(name)}`, {
        operation,
        hint,
      });
    }
  }
}

/** `operation: option: problem` */
export function optionError(
  operation: string,
  option: string,
  problem: string,
  hint?: string,
): OptionError {
  return new OptionError(option, `${operation}: ${option}: ${problem}`, {
    operation,
    ...(hint !== undefined && { hint }),
  });
}
