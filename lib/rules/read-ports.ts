import type { Cursor } from "./cursor.ts";
import { normalisePorts, PORT_WORDS, parsePort } from "./ports.ts";
import { expectedButFound, type RuleError } from "./rule-error.ts";
import type { Token } from "./tokens.ts";
import type { PortRange } from "./types.ts";
import { RULE_START_WORDS } from "./words.ts";

const PORTS_EXPECTED = `${PORT_WORDS}, a range or a set`;

/** A range as it was written: "80" is no range, though first and last are the same. */
export interface WrittenPorts extends PortRange {
  readonly isRange: boolean;
}

/** A port, a range or a set of them, normalised. */
export function readPorts(cursor: Cursor): PortRange[] {
  const ranges: PortRange[] = [];
  const readElement = () => {
    const { first, last } = readRange(cursor, PORTS_EXPECTED);
    ranges.push({ first, last });
  };
  if (cursor.isMark("{")) {
    readSet(cursor, PORTS_EXPECTED, true, readElement);
  } else {
    readElement();
  }
  return normalisePorts(ranges);
}

/** One port or a range; `expected` is what messages say should stand here. */
export function readRange(cursor: Cursor, expected: string): WrittenPorts {
  const start = cursor.token;
  const first = readPort(cursor, expected);
  if (!cursor.takeMark("-")) {
    return { first, last: first, isRange: false };
  }
  const last = readPort(cursor, `the last port of the range (${first} to 65535)`);
  if (last < first) {
    throw cursor.error(
      expectedButFound(
        "bad-range",
        "a range from the lower to the higher port",
        `"${first}-${last}"`,
        `write ${last}-${first}`,
      ),
      start,
    );
  }
  return { first, last, isRange: true };
}

/** One port; `expected` is what messages say should stand here. */
export function readPort(cursor: Cursor, expected: string): number {
  const port = parsePort(cursor.word);
  if (port === undefined) {
    const isNumber = /^[0-9]/.test(cursor.word);
    throw cursor.unexpected(expected, isNumber ? "bad-port" : "unexpected");
  }
  cursor.advance();
  return port;
}

/**
 * Reads "{ element, element }" over as many lines as it takes. Sets of ports may nest, as the
 * grammar has it; this loops instead of recursing so that no input exhausts the stack.
 */
export function readSet(
  cursor: Cursor,
  expected: string,
  nests: boolean,
  readElement: () => void,
): void {
  const outermost = cursor.token;
  cursor.open();
  let opened = outermost;
  for (;;) {
    cursor.skipNewlines();
    if (nests && cursor.isMark("{")) {
      opened = cursor.token;
      cursor.open();
      continue;
    }
    if (cursor.isMark("}")) {
      throw noElement(cursor, opened, expected);
    }
    expectSetGoesOn(cursor, outermost, expected);
    readElement();
    cursor.skipNewlines();
    while (cursor.isMark("}")) {
      cursor.close();
      if (cursor.depth === 0) {
        return;
      }
      cursor.skipNewlines();
    }
    expectSetGoesOn(cursor, outermost, '"," or "}"');
    opened = cursor.token;
    if (!cursor.takeMark(",")) {
      throw cursor.unexpected('"," or "}"');
    }
  }
}

/** A "}" where an element should be: right behind the "{", or behind a comma. */
function noElement(cursor: Cursor, before: Token, expected: string): RuleError {
  if (before.text === "{") {
    return cursor.error(
      expectedButFound("empty-set", expected, "an empty set", "an empty set matches nothing"),
      before,
    );
  }
  return cursor.error(
    expectedButFound("unexpected", expected, '"}"', "leave out the comma before it"),
  );
}

/** Says where the set began if the text, or another rule, begins in the middle of it. */
function expectSetGoesOn(cursor: Cursor, outermost: Token, expected: string): void {
  const ended =
    cursor.token.kind === "end" || cursor.isMark(";") || RULE_START_WORDS.has(cursor.token.text);
  if (ended) {
    const where = cursor.source.describe(outermost.offset);
    throw cursor.unexpected(expected, "unexpected", `the set from ${where} is not closed`);
  }
}
