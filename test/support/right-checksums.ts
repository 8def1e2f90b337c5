/**
 * No checksum that was right before may be wrong after: a judge of its own over what leaves, which
 * knows neither the model nor the program. Sums are those of test/support/packet.ts, taken over all
 * bytes.
 */

import type { Outcome } from "../../lib/model/index.ts";
import type { Transport } from "../../lib/rules/types.ts";
import { type ChecksumState, checksumsOf, icmpChecksumsOf, transportOf } from "./packet.ts";

/** A checksum by its name, as it was and as it is. */
type Compared = readonly [
  name: string,
  before: ChecksumState | undefined,
  after: ChecksumState | undefined,
];

/** Names of the checksums that were right, or left out, when a frame came and are not so any more. */
export function spoiltChecksums(outcome: Outcome, came: Uint8Array, left: Uint8Array): string[] {
  return comparedChecksums(outcome, came, left)
    .filter(([, before, after]) => (before === "right" || before === "none") && after !== before)
    .map(([name, before, after]) => `${name} was ${before} and is ${after}`);
}

/** What is to be as it was. What passes untouched is compared byte for byte elsewhere. */
function comparedChecksums(
  outcome: Outcome,
  came: Uint8Array,
  left: Uint8Array,
): readonly Compared[] {
  const ip: Compared = ["IP", checksumsOf(came).ip, checksumsOf(left).ip];
  if (transportOf(came) === "tcp" && isTranslation(outcome, came, left))
    return [ip, flow(came, left)];
  switch (outcome) {
    case "translate_not_allowed":
    case "translate_lost":
      return isAnswered(came, left) ? answered(left) : [];
    case "funneled":
    case "reply_funneled":
      return [ip, ...pushed(came, left, transportOf(came))];
    case "unfunneled":
    case "reply_unfunneled":
      return [ip, ...popped(came, left, transportOf(left))];
    case "direct_remapped":
    case "error_funneled":
    case "error_unfunneled": {
      const [before, after] = [icmpChecksumsOf(came), icmpChecksumsOf(left)];
      return [
        ip,
        ["ICMP", before.message, after.message],
        ["quoted IP", before.quotedIp, after.quotedIp],
      ];
    }
    case "too_big_reported": {
      const after = icmpChecksumsOf(left);
      const isIpv4 = checksumsOf(came).ip !== undefined;
      return [
        ["ICMP", "right", after.message],
        ...(isIpv4 ? ([["IP", "right", checksumsOf(left).ip]] as const) : []),
        ["quoted IP", checksumsOf(came).ip, after.quotedIp],
      ];
    }
    default:
      return [];
  }
}

/** Whether a segment went on with other fields: it has no carrier that would make it longer or shorter. */
function isTranslation(outcome: Outcome, came: Uint8Array, left: Uint8Array): boolean {
  switch (outcome) {
    // Of the SYN of a client the payload is cut off.
    case "funneled":
      return left.length <= came.length;
    case "unfunneled":
    case "reply_funneled":
    case "reply_unfunneled":
      return left.length === came.length;
    default:
      return TRANSLATIONS.has(outcome);
  }
}

const TRANSLATIONS: ReadonlySet<Outcome> = new Set<Outcome>([
  "direct_remapped",
  "translate_unconfirmed",
  "translate_challenged",
]);

function flow(came: Uint8Array, left: Uint8Array): Compared {
  return ["flow", checksumsOf(came).outer, checksumsOf(left).outer];
}

function isAnswered(came: Uint8Array, left: Uint8Array): boolean {
  return Buffer.compare(came, left) !== 0;
}

/** A segment of our own making is right in any case. */
function answered(left: Uint8Array): Compared[] {
  const { ip, outer } = checksumsOf(left);
  return [
    ["IP", ip === undefined ? undefined : "right", ip],
    ["reset", "right", outer],
  ];
}

function pushed(came: Uint8Array, left: Uint8Array, inner: Transport | undefined): Compared[] {
  const before = checksumsOf(came).outer;
  const after = checksumsOf(left, inner);
  // A carrier has one in any case; it is as wrong as the flow's, so it need not be right where that was not.
  const carrier = before === "wrong" ? undefined : ("right" as const);
  return [
    ["flow", before, after.inner],
    ["carrier", carrier, after.outer],
  ];
}

function popped(came: Uint8Array, left: Uint8Array, inner: Transport | undefined): Compared[] {
  return [["flow", checksumsOf(came, inner).inner, checksumsOf(left).outer]];
}
