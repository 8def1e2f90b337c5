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
  switch (outcome) {
    case "funneled":
    case "reply_funneled":
      return [ip, ...pushed(came, left, transportOf(came))];
    case "unfunneled":
    case "reply_unfunneled":
      return [ip, ...popped(came, left, transportOf(left))];
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
