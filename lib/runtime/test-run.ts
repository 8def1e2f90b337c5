import { TraceMagic, TraceSlot } from "../compile/abi.gen.ts";
import { type OutcomeName, outcomeNames } from "../compile/outcomes.ts";
import { OptionError, SfunnelError } from "../errors.ts";
import { isFailure, type NativeObject } from "../native/binding.ts";
import { errnoName } from "../native/errno.ts";
import { errorOf, NEEDS } from "../native/failure.ts";
import type { Direction } from "../rules/types.ts";
import { directionIndex } from "./directions.ts";

/** What the program in the kernel did with one frame. */
export interface TestRunResult {
  readonly verdict: "pass" | "drop";
  /** The bytes that leave; on "drop", the bytes as the program left them, or its answer. */
  readonly frame: Uint8Array;
  readonly outcome: OutcomeName;
  /** Index of the rule that matched. */
  readonly rule: number | undefined;
}

/** Where a frame is as if it passed; left out, the loopback interface of our own namespace. */
export interface TestPlace {
  readonly netns: string;
  readonly ifindex: number;
}

/** An Ethernet header; BPF_PROG_TEST_RUN takes no less. */
const SHORTEST_FRAME = 14;
/** The kernel copies the frame into one page, beside headroom and bookkeeping of its own. */
const LONGEST_FRAME = "some 3700 bytes (a memory page less what the kernel keeps for itself)";
const TC_ACT_SHOT = 2;

/** Of packets that are dropped, with an answer sent in their place where there is one. */
const ANSWERED: ReadonlySet<OutcomeName | undefined> = new Set<OutcomeName>([
  "too_big_reported",
  "translate_not_allowed",
  "translate_lost",
]);

/** IP headers that BPF_PROG_TEST_RUN wants whole, by ethertype; older kernels take less. */
const IP_HEADERS: { readonly [ethertype: number]: { name: string; length: number } } = {
  2048: { name: "IPv4", length: 20 },
  34525: { name: "IPv6", length: 40 },
};

/** Why the kernel refused the frame, as far as one can tell from outside. */
function refusal(frame: Uint8Array, errno: string): string {
  const header = IP_HEADERS[((frame[12] ?? 0) << 8) | (frame[13] ?? 0)];
  const shortest = SHORTEST_FRAME + (header?.length ?? 0);
  if (header && frame.length < shortest) {
    return `expected at least ${shortest} bytes (Ethernet and ${header.name} headers), got ${frame.length}`;
  }
  return `expected at most ${LONGEST_FRAME}, got ${frame.length} bytes (${errno})`;
}

function frameError(message: string): SfunnelError {
  return new SfunnelError("SFUNNEL_FRAME", `testRun: ${message}`, { operation: "testRun" });
}

/** Throws SfunnelError (SFUNNEL_FRAME) for a frame that the kernel cannot take. */
export async function testRun(
  object: NativeObject,
  frame: Uint8Array,
  direction: Direction,
  place?: TestPlace,
): Promise<TestRunResult> {
  if (!(frame instanceof Uint8Array)) {
    throw new OptionError("frame", "testRun: expected the frame as a Uint8Array", {
      operation: "testRun",
    });
  }
  if (frame.length < SHORTEST_FRAME) {
    throw frameError(
      `expected at least ${SHORTEST_FRAME} bytes (an Ethernet header), got ${frame.length}`,
    );
  }
  const cb = new Uint32Array(5);
  cb[TraceSlot.TRACE_MAGIC_SLOT_0] = TraceMagic.TRACE_MAGIC_0;
  cb[TraceSlot.TRACE_MAGIC_SLOT_1] = TraceMagic.TRACE_MAGIC_1;
  const result = await object.testRun(
    directionIndex(direction),
    frame,
    cb,
    1,
    place?.netns,
    place?.ifindex,
  );
  if (isFailure(result)) {
    const errno = errnoName(result.errno);
    if (errno === "EINVAL" || errno === "ENOMEM" || errno === "EMSGSIZE") {
      throw frameError(refusal(frame, errno));
    }
    throw errorOf(result, "testRun", NEEDS.load ?? []);
  }
  const outcome = outcomeNames[result.cb[TraceSlot.TRACE_OUTCOME_SLOT] ?? 0];
  const rule = result.cb[TraceSlot.TRACE_RULE_SLOT] ?? 0;
  return {
    verdict: result.verdict === TC_ACT_SHOT || ANSWERED.has(outcome) ? "drop" : "pass",
    frame: result.frame,
    outcome: outcome ?? "failed",
    rule: rule === 0 ? undefined : rule - 1,
  };
}
