/** Options as users write them, checked by name and value. */

import { Limit } from "../compile/abi.gen.ts";
import { OptionError } from "../errors.ts";
import { nearestWord } from "../rules/nearest.ts";
import { checkOptionNames } from "../rules/options.ts";
import type { Direction } from "../rules/types.ts";

/** How to attach. */
export interface AttachOptions {
  /** Which of the two rule lists runs on this interface; "both" by default. */
  readonly direction?: Direction | "both";
  /** Network namespace of the interface: a name as `ip netns` knows it, or a path. */
  readonly netns?: string;
  /**
   * "tcx" (Linux 6.6), "clsact" (any), or "auto", the default: tcx, and clsact where the
   * kernel has no tcx.
   */
  readonly hook?: "auto" | "tcx" | "clsact";
  /** Ahead of other programs on the hook ("first", the default) or behind them ("last"). */
  readonly order?: "first" | "last";
  /**
   * "process", the default: gone when this process ends. "device": stays until it is replaced
   * or the interface goes.
   */
  readonly lifetime?: "process" | "device";
  /**
   * Whose attachment this is, at most 63 bytes; "default" by default. One of the same name on
   * the same interface and direction is replaced, others are left alone.
   */
  readonly name?: string;
  /** Gives up, and detaches, when it fires. */
  readonly signal?: AbortSignal;
}

export type ResolvedAttachOptions = Required<Omit<AttachOptions, "signal" | "netns">> & {
  readonly signal: AbortSignal | undefined;
  readonly netns: string;
};

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
    `${operation}: option "${option}" must be ${choices.map((choice) => `"${choice}"`).join(" or ")}, found ${JSON.stringify(value)}`,
    { operation, ...(nearest ? { hint: `did you mean "${nearest}"?` } : {}) },
  );
}

function text(option: string, value: unknown, fallback: string, operation: string): string {
  if (value === undefined) return fallback;
  if (typeof value === "string" && value.length > 0 && !value.includes("\0")) return value;
  throw new OptionError(option, `${operation}: option "${option}" must be a non-empty string`, {
    operation,
  });
}

/** "ingress" or "egress"; there is no default, a frame goes one way. */
export function resolveDirection(options: unknown, operation: string): Direction {
  checkOptionNames(operation, options, ["direction"]);
  if (options.direction === undefined) {
    throw new OptionError("direction", `${operation}: option "direction" is missing`, {
      operation,
      hint: 'give { direction: "ingress" } or { direction: "egress" }',
    });
  }
  return oneOf("direction", options.direction, ["ingress", "egress"], "ingress", operation);
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
  if (Buffer.byteLength(name) >= Limit.NAME_LENGTH) {
    throw new OptionError(
      "name",
      `attach: option "name" takes at most ${Limit.NAME_LENGTH - 1} bytes, found ${Buffer.byteLength(name)}`,
      { operation },
    );
  }
  if (options.signal !== undefined && !(options.signal instanceof AbortSignal)) {
    throw new OptionError("signal", 'attach: option "signal" must be an AbortSignal', {
      operation,
    });
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
export function assertDeviceName(device: unknown): asserts device is string {
  if (typeof device === "string" && /^[^\s/:]{1,15}$/.test(device)) return;
  throw new OptionError(
    "device",
    `attach: expected the name of an interface (1 to 15 characters), found ${JSON.stringify(device)}`,
    { operation: "attach", hint: "list them with: ip link" },
  );
}
