/** Options as users write them, checked by name and value. */

import { Limit } from "../compile/abi.gen.ts";
import { limits } from "../compile/limits.ts";
import { OptionError } from "../errors.ts";
import { nearestWord } from "../rules/nearest.ts";
import { checkOptionNames } from "../rules/options.ts";
import { quoteValue } from "../rules/quote.ts";
import type { Direction } from "../rules/types.ts";
import { LONGEST_NAME, principalOf } from "./companion.ts";
import { isSegmenter } from "./place.ts";

/** How to attach. */
export interface AttachOptions {
  /**
   * Which of the two rule lists runs on this interface; "both" by default. Replies are seen to
   * at the opposite hook in any case.
   */
  readonly direction?: Direction | "both";
  /** Network namespace of the interface: a name as `ip netns` knows it, or a path. */
  readonly netns?: string;
  /**
   * "tcx" (Linux 6.6), "clsact" (any), or "auto", the default: tcx, and clsact where the
   * kernel has no tcx. Without CAP_SYS_ADMIN "auto" takes clsact for the lifetime "device", so
   * that a later process can find it by its name.
   */
  readonly hook?: "auto" | "tcx" | "clsact";
  /**
   * Ahead of other programs on the hook ("first", the default) or behind them ("last"). One that
   * replaces another takes its position, whatever is said here: the kernel can do that in one
   * step, without a packet that meets both or neither.
   */
  readonly order?: "first" | "last";
  /**
   * "process", the default: gone when this process ends, except by SIGKILL on clsact, where the
   * filter stays until the next of its name replaces it. One that took over the tcx link of a
   * process that still lives goes when both have ended. "device": stays until it is replaced,
   * closed, or the interface goes.
   */
  readonly lifetime?: "process" | "device";
  /**
   * Whose attachment this is, at most 53 bytes; "default" by default. One of the same name on
   * the same interface and direction is replaced, others are left alone. To find that of
   * another process on tcx takes CAP_SYS_ADMIN: without it they run side by side.
   */
  readonly name?: string;
  /** When it fires before the attach is done, all is put back as it was. */
  readonly signal?: AbortSignal;
}

export type ResolvedAttachOptions = Required<Omit<AttachOptions, "signal" | "netns">> & {
  readonly signal: AbortSignal | undefined;
  readonly netns: string;
};

/** How to load. */
export interface LoadOptions {
  /**
   * How many flows are remembered for their replies, 65,536 by default. A full table forgets the
   * one that was silent longest. One takes about 120 bytes of kernel memory.
   */
  readonly flows?: number;
  /**
   * How many TCP connections are remembered whose ports are translated; 32,768 by default. A full
   * table forgets the one that was silent longest, which then ends in a reset; those that are over take a
   * quarter of it at the most. A quarter more may have begun and not be established yet. Real connections
   * to the same service port, and what got another port because one collided, take two places each. A
   * place takes about 200 bytes of kernel memory, used or not.
   */
  readonly connections?: number;
  /**
   * Writes a line or two for each packet into the kernel's trace buffer, to be read in tracefs
   * (`trace_pipe`); false by default. For looking at single packets: it is slow, and takes
   * CAP_PERFMON.
   */
  readonly trace?: boolean;
}

/** A size of one of the tables. */
function tableSize(option: string, value: unknown, fallback: number): number {
  if (value === undefined) return fallback;
  const { least, most } = limits.tableSize;
  const isSize = typeof value === "number" && Number.isInteger(value);
  if (isSize && value >= least && value <= most) return value;
  throw new OptionError(
    option,
    `load: option "${option}" must be a whole number from ${least} to ${most}, found ${quoteValue(value)}`,
    { operation: "load" },
  );
}

/** Throws {@link OptionError} for whatever is misspelt or out of range. */
export function resolveLoadOptions(options: unknown): Required<LoadOptions> {
  checkOptionNames("load", options, ["flows", "connections", "trace"]);
  const { trace = false } = options;
  const flows = tableSize("flows", options.flows, Limit.DEFAULT_FLOWS);
  const connections = tableSize("connections", options.connections, Limit.DEFAULT_CONNECTIONS);
  if (typeof trace !== "boolean") {
    throw new OptionError(
      "trace",
      `load: option "trace" must be true or false, found ${quoteValue(trace)}`,
      { operation: "load" },
    );
  }
  return { flows, connections, trace };
}

function oneOf<const Choice extends string>(
  option: string,
  value: unknown,
  choices: readonly Choice[],
  fallback: Choice,
  operation: string,
): Choice {
  if (value === undefined) return fallback;
  const found = choices.find((choice) => choice === value);
  if (found !== undefined) return found;
  const nearest = typeof value === "string" ? nearestWord(value, choices) : undefined;
  throw new OptionError(
    option,
    `${operation}: option "${option}" must be ${choices.map((choice) => `"${choice}"`).join(" or ")}, found ${quoteValue(value)}`,
    { operation, ...(nearest ? { hint: `did you mean "${nearest}"?` } : {}) },
  );
}

function text(option: string, value: unknown, fallback: string, operation: string): string {
  if (value === undefined) return fallback;
  if (typeof value === "string" && value.length > 0 && !value.includes("\0")) return value;
  throw new OptionError(
    option,
    `${operation}: option "${option}" must be a non-empty string, found ${quoteValue(value)}`,
    { operation },
  );
}

/** How to run one frame. */
export interface TestRunOptions {
  /** At which hook; there is no default, a frame goes one way. */
  readonly direction: Direction;
  /**
   * As if on this interface: its MTU and its flows count. Loopback by default. The frame begins with an
   * Ethernet header in any case, also where those of the interface have none.
   */
  readonly device?: string;
  /** Network namespace of the interface, as in `attach`. */
  readonly netns?: string;
}

/** Throws {@link OptionError} for whatever is misspelt or out of range. */
export function resolveTestRunOptions(options: unknown): {
  readonly direction: Direction;
  readonly device: string | undefined;
  readonly netns: string;
} {
  const operation = "testRun";
  checkOptionNames(operation, options, ["direction", "device", "netns"]);
  if (options.device !== undefined) assertDeviceName(options.device, operation);
  const direction = resolveDirection(options.direction, operation);
  if (options.netns !== undefined && options.device === undefined) {
    throw new OptionError("netns", `${operation}: option "netns" goes with option "device"`, {
      operation,
      hint: "name the interface of that namespace",
    });
  }
  const netns = text("netns", options.netns, "", operation);
  return { direction, device: options.device, netns };
}

function resolveDirection(direction: unknown, operation: string): Direction {
  if (direction === undefined) {
    throw new OptionError("direction", `${operation}: option "direction" is missing`, {
      operation,
      hint: 'give { direction: "ingress" } or { direction: "egress" }',
    });
  }
  return oneOf("direction", direction, ["ingress", "egress"], "ingress", operation);
}

/** Throws {@link OptionError} for whatever is misspelt or out of range. */
export function resolveAttachOptions(options: unknown): ResolvedAttachOptions {
  const operation = "attach";
  checkOptionNames(operation, options, [
    "direction",
    "netns",
    "hook",
    "order",
    "lifetime",
    "name",
    "signal",
  ]);
  const name = text("name", options.name, "default", operation);
  if (Buffer.byteLength(name) > LONGEST_NAME) {
    throw new OptionError(
      "name",
      `attach: option "name" takes at most ${LONGEST_NAME} bytes, found ${Buffer.byteLength(name)}`,
      { operation },
    );
  }
  if (principalOf(name).companion) {
    throw new OptionError(
      "name",
      `attach: option "name" must not end like the names that sfunnel makes itself, found ${quoteValue(name)}`,
      { operation },
    );
  }
  if (options.signal !== undefined && !(options.signal instanceof AbortSignal)) {
    throw new OptionError(
      "signal",
      `attach: option "signal" must be an AbortSignal, found ${quoteValue(options.signal)}`,
      { operation },
    );
  }
  return {
    direction: oneOf(
      "direction",
      options.direction,
      ["ingress", "egress", "both"],
      "both",
      operation,
    ),
    netns: text("netns", options.netns, "", operation),
    hook: oneOf("hook", options.hook, ["auto", "tcx", "clsact"], "auto", operation),
    order: oneOf("order", options.order, ["first", "last"], "first", operation),
    lifetime: oneOf("lifetime", options.lifetime, ["process", "device"], "process", operation),
    name,
    signal: options.signal,
  };
}

/** Names of interfaces are 1 to 15 bytes without "/" and white space (IFNAMSIZ, dev_valid_name). */
export function assertDeviceName(device: unknown, operation = "attach"): asserts device is string {
  if (typeof device === "string" && isSegmenter(device)) {
    throw new OptionError("device", `${operation}: ${device} is a part of sfunnel itself`, {
      operation,
      hint: "name the interface whose packets are meant",
    });
  }
  if (typeof device === "string" && /^[^\s/:]{1,15}$/.test(device)) return;
  throw new OptionError(
    "device",
    `${operation}: expected the name of an interface (1 to 15 characters), found ${quoteValue(device)}`,
    { operation, hint: "list them with: ip link" },
  );
}
