/**
 * The program in the kernel against the reference model, on random rulesets and frames. It goes in
 * rounds: one Funnel and one model, which remember flows, and some thousand frames through both. A
 * round has a seed of its own and depends on no other, so that a failure is repeated by its round.
 */

import {
  type Direction,
  Funnel,
  formatRules,
  outcomeNames,
  type TestRunResult,
} from "../../lib/index.ts";
import { type Outcome, type Simulation, Simulator } from "../../lib/model/index.ts";
import { History } from "./history.ts";
import type { MtuPlaces, Place } from "./mtu-places.ts";
import { contentStart, describeFrame, hex, patch, transportOf } from "./packet.ts";
import { type Random, seededRandom } from "./random.ts";
import { randomError } from "./random-errors.ts";
import { randomFrame } from "./random-frames.ts";
import { randomRuleset } from "./random-rulesets.ts";
import { randomHandshake, randomSegment } from "./random-segments.ts";
import { replyTo } from "./reply.ts";
import { spoiltChecksums } from "./right-checksums.ts";

/** A fresh pair after so many: the kernel lets silent flows give way, the model knows no time. */
export const FRAMES_A_ROUND = 2_000;
const FRAMES_A_RULESET = 200;
/** Frames that may still be answered, or reported. */
const RECENT = 8;
/** Rounds at a time. A change of rules is mostly waiting, and libuv has so many threads to wait on. */
const LANES = 4;

/** What becomes of a packet that gets its carrier or loses it, or of which a connection is known. */
const PASSED: ReadonlySet<Outcome> = new Set<Outcome>([
  "funneled",
  "unfunneled",
  "reply_funneled",
  "reply_unfunneled",
  "direct_remapped",
  "translate_inbound",
  "translate_unconfirmed",
  "translate_challenged",
]);
/** What has an answer in place of the frame, though it is dropped. */
const ANSWERED: ReadonlySet<Outcome> = new Set<Outcome>([
  "too_big_reported",
  "translate_not_allowed",
  "translate_lost",
]);
/** Of segments that nobody touches, so many of a hundred are remembered: real connections go on, too. */
const UNTOUCHED_PERCENT = 15;
const UNTOUCHED: ReadonlySet<Outcome> = new Set<Outcome>(["no_match", "accepted", "not_carrier"]);

interface Sent {
  readonly frame: Uint8Array;
  readonly direction: Direction;
}

/** A packet that was funneled or unfunneled, or might have been: as it came, and as it went on. */
interface Passed extends Sent {
  readonly came: Uint8Array;
}

/** Of what has passed, how often a handshake is made of it: by chance alone, hardly any would be. */
const HANDSHAKE_PERCENT = 4;

/** What later frames may be about. */
interface Memory {
  readonly passed: Passed[];
  /** What comes next, before anything else. */
  readonly next: Sent[];
  /**
   * What came out of its carrier first under the rules in force: a flow that many clients have. Of
   * UDP: a TCP connection that goes on under another carrier is the same one, and for a jiffy after
   * that the CPUs need not agree under which.
   */
  popular: Passed | undefined;
}

function keep(memory: Memory, passed: Passed, outcome: Outcome): void {
  memory.passed.push(passed);
  if (memory.passed.length > RECENT) memory.passed.shift();
  const isUdp = outcome === "unfunneled" && transportOf(passed.frame) === "udp";
  if (isUdp) memory.popular ??= passed;
}

/** Packets and bytes by direction and outcome. */
class Counts {
  readonly packets = new Map<string, number>();
  readonly bytes = new Map<string, number>();

  add({ direction, frame }: Sent, outcome: Outcome): void {
    const key = `${direction} ${outcome}`;
    this.packets.set(key, (this.packets.get(key) ?? 0) + 1);
    this.bytes.set(key, (this.bytes.get(key) ?? 0) + frame.length);
  }
}

/** The two disagree, or what both say is wrong. The message has all that is needed to look into it. */
export class Mismatch extends Error {
  override readonly name = "Mismatch";
  readonly seed: number;

  constructor(seed: number, report: readonly string[]) {
    super([`in the round of seed ${seed}:`, ...report].join("\n"));
    this.seed = seed;
  }
}

export interface CompareOptions {
  /** Of the first round; each further one has the next. */
  readonly seed: number;
  readonly places: MtuPlaces;
  /** Asked before each round, with the number of rounds begun; rounds begun go on. */
  readonly goesOn: (rounds: number) => boolean;
  /** Told after each round. */
  readonly onRound?: (counts: ReadonlyMap<Outcome, number>) => void;
}

/** Gives how often each outcome came up. Throws {@link Mismatch} at the first one. */
export async function compare(options: CompareOptions): Promise<ReadonlyMap<Outcome, number>> {
  const { seed, places, goesOn, onRound } = options;
  const totals = new Map<Outcome, number>();
  let rounds = 0;
  let failed = false;
  const lane = async () => {
    while (!failed && goesOn(rounds)) {
      const round = seed + rounds++;
      const counts = await compareRound(round % 2 ** 32, places);
      for (const [outcome, count] of counts) {
        totals.set(outcome, (totals.get(outcome) ?? 0) + count);
      }
      onRound?.(totals);
    }
  };
  const lanes = Array.from({ length: LANES }, () =>
    lane().catch((error: unknown) => {
      failed = true;
      throw error;
    }),
  );
  // All of them end before anyone takes the places away.
  const ends = await Promise.allSettled(lanes);
  for (const end of ends) if (end.status === "rejected") throw end.reason;
  return totals;
}

/** One Funnel and one model; gives how often each outcome came up. */
async function compareRound(seed: number, places: MtuPlaces): Promise<Map<Outcome, number>> {
  const random = seededRandom(seed);
  const place = places.pick(random);
  const simulator = new Simulator({});
  const funnel = await Funnel.load({});
  try {
    const memory: Memory = { passed: [], next: [], popular: undefined };
    const counts = new Counts();
    const history = new History();
    for (let done = 0; done < FRAMES_A_ROUND; done++) {
      if (done % FRAMES_A_RULESET === 0) {
        const ruleset = randomRuleset(random);
        simulator.replace(ruleset);
        await funnel.replace(ruleset);
        memory.popular = undefined;
      }
      const sent = nextFrame(random, memory);
      const actual = await compareFrame({
        seed,
        index: done,
        sent,
        place,
        funnel,
        simulator,
        history,
      });
      const passes =
        PASSED.has(actual.outcome) ||
        (UNTOUCHED.has(actual.outcome) &&
          transportOf(sent.frame) === "tcp" &&
          random.chance(UNTOUCHED_PERCENT));
      if (passes && actual.verdict === "pass" && actual.frame.length <= LONGEST) {
        const passed = { ...sent, came: sent.frame, frame: actual.frame };
        keep(memory, passed, actual.outcome);
        if (memory.next.length === 0 && random.chance(HANDSHAKE_PERCENT)) {
          memory.next.push(...randomHandshake(random, passed));
        }
      }
      counts.add(sent, actual.outcome);
    }
    await compareCounters(seed, funnel, counts);
    return outcomesOf(counts);
  } finally {
    await funnel.close();
  }
}

interface Step {
  readonly seed: number;
  readonly index: number;
  readonly sent: Sent;
  readonly place: Place;
  readonly funnel: Funnel;
  readonly simulator: Simulator;
  readonly history: History;
}

async function compareFrame(step: Step): Promise<TestRunResult> {
  const { seed, index, sent, place, funnel, simulator, history } = step;
  const { direction, frame } = sent;
  const { mtu, ...where } = place;
  const run = async () => {
    try {
      const running = funnel.testRun(frame, { direction, ...where });
      // While the kernel is at it.
      const expected = simulator.run(frame, { direction, ...(mtu === undefined ? {} : { mtu }) });
      return [expected, await running] as const;
    } catch (error) {
      const { stack } = error as Error;
      throw new Mismatch(seed, [...describeSent(step), `${stack}`]);
    }
  };
  const [expected, actual] = await run();
  if (differ(actual, expected)) {
    throw new Mismatch(seed, [
      ...describeSent(step),
      `model  ${expected.verdict} ${expected.outcome} rule ${expected.rule}`,
      describeFrame(expected.frame),
      `kernel ${actual.verdict} ${actual.outcome} rule ${actual.rule}`,
      describeFrame(actual.frame),
      `model  ${hex(expected.frame)}`,
      `kernel ${hex(actual.frame)}`,
      "before, between the same hosts:",
      ...history.about(frame),
    ]);
  }
  const spoilt = spoiltChecksums(actual.outcome, frame, actual.frame);
  if (spoilt.length > 0) {
    throw new Mismatch(seed, [...describeSent(step), ...spoilt, describeFrame(actual.frame)]);
  }
  const { outcome, rule } = actual;
  history.add({ index, direction, came: frame, left: actual.frame, outcome, rule });
  return actual;
}

/** The kernel has counted each frame once, where it belongs, and nothing else. */
async function compareCounters(seed: number, funnel: Funnel, counts: Counts): Promise<void> {
  const stats = await funnel.stats();
  for (const direction of ["ingress", "egress"] as const) {
    for (const outcome of outcomeNames) {
      const { packets, bytes } = stats[direction].outcomes[outcome];
      const key = `${direction} ${outcome}`;
      const sent = { packets: counts.packets.get(key) ?? 0, bytes: counts.bytes.get(key) ?? 0 };
      if (packets !== sent.packets || bytes !== sent.bytes) {
        throw new Mismatch(seed, [
          `${key}: ${packets} packets of ${bytes} bytes were counted`,
          `${sent.packets} packets of ${sent.bytes} bytes were sent`,
        ]);
      }
    }
  }
}

function outcomesOf({ packets }: Counts): Map<Outcome, number> {
  const outcomes = new Map<Outcome, number>();
  for (const [key, count] of packets) {
    const outcome = key.slice(key.indexOf(" ") + 1) as Outcome;
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + count);
  }
  return outcomes;
}

/** A reply to a frame that went by a moment ago, an error about it, one like it, or another altogether. */
function nextFrame(random: Random, { passed, next, popular }: Memory): Sent {
  const expected = next.shift();
  if (expected !== undefined) return expected;
  if (passed.length > 0 && random.chance(40)) {
    const segment = randomSegment(random, random.pick(passed));
    if (segment !== undefined && isTestable(segment.frame)) return segment;
  }
  if (passed.length > 0 && random.chance(30)) {
    const { frame, direction } = random.pick(passed);
    return { frame: replyTo(frame), direction: opposite(direction) };
  }
  if (passed.length > 0 && random.chance(20)) return nextError(random, random.pick(passed));
  if (popular !== undefined && random.chance(8)) {
    return { frame: fromAnotherPort(random, popular.came), direction: popular.direction };
  }
  return {
    frame: testable(() => randomFrame(random)),
    direction: random.chance(50) ? "ingress" : "egress",
  };
}

/** Mostly about the packet as it went on, which is what comes back by the other hook. */
function nextError(random: Random, { came, frame, direction }: Passed): Sent {
  const about = random.chance(85) ? frame : came;
  return {
    frame: testable(() => randomError(random, about)),
    direction: random.chance(85) ? opposite(direction) : direction,
  };
}

/** The carrier of another client behind the same address. */
function fromAnotherPort(random: Random, frame: Uint8Array): Uint8Array {
  const ip = contentStart(frame);
  const isIpv6 = (frame[ip] ?? 0) >> 4 === 6;
  const transport = ip + (isIpv6 ? 40 : ((frame[ip] ?? 0) & 0x0f) * 4);
  return patch(frame, transport, random.below(4), random.below(256));
}

function opposite(direction: Direction): Direction {
  return direction === "ingress" ? "egress" : "ingress";
}

/** Bytes of the IP headers that BPF_PROG_TEST_RUN of new kernels wants whole, by ethertype. */
const IP_HEADERS: Readonly<Record<number, number>> = { 2048: 20, 34525: 40 };
/** The kernel copies the frame into one page, beside headroom and bookkeeping of its own. */
const LONGEST = 3_500;

function testable(make: () => Uint8Array): Uint8Array {
  for (;;) {
    const frame = make();
    if (isTestable(frame)) return frame;
  }
}

function isTestable(frame: Uint8Array): boolean {
  const ethertype = ((frame[12] ?? 0) << 8) | (frame[13] ?? 0);
  const shortest = 14 + (IP_HEADERS[ethertype] ?? 0);
  return frame.length >= shortest && frame.length <= LONGEST;
}

function differ(actual: TestRunResult, expected: Simulation): boolean {
  const hasFrame = actual.verdict === "pass" || ANSWERED.has(expected.outcome);
  return (
    actual.outcome !== expected.outcome ||
    actual.rule !== expected.rule ||
    actual.verdict !== expected.verdict ||
    (hasFrame && Buffer.compare(actual.frame, expected.frame) !== 0)
  );
}

function describeSent({ index, sent, place, funnel }: Step): string[] {
  const { direction, frame } = sent;
  return [
    `frame ${index} of the round, ${direction}, MTU ${place.mtu ?? "of loopback"}, content at byte ${contentStart(frame)}`,
    formatRules(funnel.rules[direction]),
    `in     ${hex(frame)}`,
    describeFrame(frame),
  ];
}
