import type { RuleProblem } from "./rule-error.ts";
import type { PortRange } from "./types.ts";

/**
 * How long conntrack keeps an unanswered SYN, in seconds (nf_conntrack_tcp_timeout_syn_sent).
 * A carrier that comes back to a port sooner meets its own old entry, and with it the dead
 * backend that moving away was for.
 */
export const SYN_SENT_SECONDS = 120;

/** The longest time on one port, in seconds: a day. */
export const LONGEST_EVERY = 86400;

export const DURATION_WORDS = "a duration in whole seconds, minutes or hours (30s, 5m, 2h)";

const SECONDS_OF_UNIT: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600 };

/** Reads "30s", "5m" or "2h" as seconds, from 1 second to a day; undefined for all else. */
export function parseDuration(text: string): number | undefined {
  if (!/^[1-9][0-9]{0,4}[smh]$/.test(text)) {
    return undefined;
  }
  const seconds = Number(text.slice(0, -1)) * (SECONDS_OF_UNIT[text.slice(-1)] ?? Number.NaN);
  return isEvery(seconds) ? seconds : undefined;
}

/** Seconds in the largest unit that needs no fraction. */
export function formatDuration(seconds: number): string {
  if (seconds % 3600 === 0) {
    return `${seconds / 3600}h`;
  }
  return seconds % 60 === 0 ? `${seconds / 60}m` : `${seconds}s`;
}

/** Whether `value` is a whole number of seconds from 1 to a day. */
export function isEvery(value: unknown): value is number {
  return (
    typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= LONGEST_EVERY
  );
}

/** Why a range may not be walked through at this pace; undefined if it may. */
export function everyProblem(range: PortRange, every: number): RuleProblem | undefined {
  const ports = range.last - range.first + 1;
  const round = ports * every;
  if (round > SYN_SENT_SECONDS) {
    return undefined;
  }
  const slowest = Math.floor(SYN_SENT_SECONDS / ports) + 1;
  const widest = Math.floor(SYN_SENT_SECONDS / every) + 1;
  return {
    reason: "every-too-fast",
    problem:
      `the range comes round in ${round} seconds (${count(ports, "port")}, ` +
      `${count(every, "second")} each), ` +
      `but must take longer than ${SYN_SENT_SECONDS}, the SYN_SENT timeout of conntrack, ` +
      "or a carrier meets its own old entry",
    expected: `at least ${slowest}s a port, or at least ${count(widest, "port")}`,
    found: formatDuration(every),
    hint: `take ${slowest}s or longer, or ${widest} ports or more`,
  };
}

/** "1 port", "2 ports" */
function count(amount: number, noun: string): string {
  return `${amount} ${noun}${amount === 1 ? "" : "s"}`;
}
