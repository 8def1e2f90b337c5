/** Texts and data for what reads rules: right, nearly right, and nothing of the kind. */

import fc from "fast-check";
import { formatRules } from "../../lib/rules/index.ts";
import { arbitraryRules } from "./arbitrary-rules.ts";

// Pieces of the language, right and wrong, that a mutation may put anywhere.
const PIECES = [
  "tcp",
  "udp",
  "ip",
  "ip6",
  "saddr",
  "daddr",
  "sport",
  "dport",
  "port",
  "actions",
  "funnel",
  "unfunnel",
  "encap",
  "decap",
  "translate",
  "allow",
  "every",
  "keep",
  "accept",
  "drop",
  "comment",
  "{",
  "}",
  ",",
  ";",
  "-",
  "!=",
  "!",
  "=",
  "\n",
  "\r",
  "\t",
  " ",
  '"',
  "\\",
  "#",
  "0",
  "80",
  "65536",
  "10.0.0.1",
  "10.0.0.0/8",
  "::1",
  "2001:db8::/32",
  "30s",
  "/",
  ".",
  ":",
  "\0",
  "é",
  "🐝",
  "\uD800",
  "\uFEFF",
  "\u2028",
];

/** A valid text with a few pieces deleted, doubled, replaced or put in. */
const mutatedText = fc
  .tuple(
    arbitraryRules({ maxLength: 4 }).map(formatRules),
    fc.array(
      fc.record({
        at: fc.double({ min: 0, max: 1, noNaN: true }),
        remove: fc.integer({ min: 0, max: 6 }),
        insert: fc.oneof(fc.constant(""), fc.constantFrom(...PIECES)),
      }),
      { minLength: 1, maxLength: 4 },
    ),
  )
  .map(([text, edits]) =>
    edits.reduce((edited, { at, remove, insert }) => {
      const offset = Math.floor(at * edited.length);
      return edited.slice(0, offset) + insert + edited.slice(offset + remove);
    }, text),
  );

/** Bytes as a file may have them, read as UTF-8 (what is none becomes U+FFFD) or one by one. */
const rawBytes = fc
  .tuple(fc.uint8Array({ maxLength: 80 }), fc.constantFrom("utf8" as const, "latin1" as const))
  .map(([bytes, encoding]) => Buffer.from(bytes).toString(encoding));

/** A valid text in which one piece comes hundreds of times in a row: long tokens, deep braces. */
const stretchedText = fc
  .tuple(
    arbitraryRules({ maxLength: 2 }).map(formatRules),
    fc.constantFrom(...PIECES),
    fc.integer({ min: 100, max: 2000 }),
    fc.double({ min: 0, max: 1, noNaN: true }),
  )
  .map(([text, piece, times, at]) => {
    const offset = Math.floor(at * text.length);
    return text.slice(0, offset) + piece.repeat(times) + text.slice(offset);
  });

/** Any text at all, most of it nearly right. */
export const arbitraryText: fc.Arbitrary<string> = fc.oneof(
  { weight: 6, arbitrary: mutatedText },
  {
    weight: 3,
    arbitrary: fc
      .array(fc.constantFrom(...PIECES), { maxLength: 40 })
      .map((pieces) => pieces.join(" ")),
  },
  {
    weight: 3,
    arbitrary: fc
      .array(fc.constantFrom(...PIECES), { maxLength: 40 })
      .map((pieces) => pieces.join("")),
  },
  { weight: 2, arbitrary: fc.string({ unit: "binary", maxLength: 60 }) },
  { weight: 2, arbitrary: rawBytes },
  { weight: 1, arbitrary: stretchedText },
);

/** Rules as data with something else put at a place or two, and things that are no rules at all. */
export const arbitraryData: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 1, arbitrary: fc.anything({ withBigInt: true, withNullPrototype: true }) },
  {
    weight: 4,
    arbitrary: fc
      .tuple(arbitraryRules({ maxLength: 3 }), fc.nat(), fc.anything({ withBigInt: true }))
      .map(([rules, place, value]) => withReplaced(rules, place, value)),
  },
);

/** A copy of the data in which the place of that number, counted round, has another value. */
function withReplaced(data: unknown, place: number, value: unknown): unknown {
  const copy: unknown = structuredClone(data);
  const places: [Record<string, unknown>, string][] = [];
  const visit = (node: unknown) => {
    if (typeof node !== "object" || node === null) return;
    for (const [key, child] of Object.entries(node)) {
      places.push([node as Record<string, unknown>, key]);
      visit(child);
    }
  };
  visit(copy);
  const chosen = places[place % Math.max(1, places.length)];
  if (chosen === undefined) return value;
  chosen[0][chosen[1]] = value;
  return copy;
}
