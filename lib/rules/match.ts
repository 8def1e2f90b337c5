import type { Match } from "./types.ts";

/** All parts of a match, those that it does not have as undefined. */
type MatchParts = {
  readonly [Part in Exclude<keyof Match, "transport">]-?: Match[Part] | undefined;
} & { readonly transport: Match["transport"] };

type Mutable<T> = { -readonly [Property in keyof T]: T[Property] };

/**
 * A match without the parts that are undefined, its properties always in one order: rules that
 * mean the same print the same as JSON, whichever way they were written.
 */
export function makeMatch(parts: MatchParts): Match {
  const { family, transport, saddr, daddr, sport, dport, port } = parts;
  const match: Mutable<Match> = family === undefined ? { transport } : { family, transport };
  if (saddr !== undefined) {
    match.saddr = saddr;
  }
  if (daddr !== undefined) {
    match.daddr = daddr;
  }
  if (sport !== undefined) {
    match.sport = sport;
  }
  if (dport !== undefined) {
    match.dport = dport;
  }
  if (port !== undefined) {
    match.port = port;
  }
  return match;
}
