/**
 * Every error that sfunnel throws on purpose is a {@link SfunnelError}: a stable `code` for
 * programs, a `message` for people, a `hint` that says what to do.
 */

/** Stable identifiers; a message may be reworded, a code is not. */
export type ErrorCode =
  /** A ruleset does not parse, or a rule in it cannot mean anything. */
  | "SFUNNEL_RULE"
  /** A valid rule, or the kind of an interface, asks for something that this version does not do. */
  | "SFUNNEL_NOT_SUPPORTED"
  /** An option is misspelt, of the wrong type, or out of its range. */
  | "SFUNNEL_OPTION"
  /** A limit of the datapath was exceeded; the message names limit and number found. */
  | "SFUNNEL_LIMIT"
  /** The handle was closed before. */
  | "SFUNNEL_CLOSED"
  /** A frame that cannot be one: shorter than an Ethernet header, or larger than the kernel takes. */
  | "SFUNNEL_FRAME"
  /** No such network interface in that namespace. */
  | "SFUNNEL_DEVICE"
  /** No such network namespace, or the path is not one. */
  | "SFUNNEL_NETNS"
  /** A capability is missing. */
  | "SFUNNEL_PERMISSION"
  /** The kernel is too old, or refused the program (see `verifierLog`). */
  | "SFUNNEL_KERNEL"
  /** The native addon or the BPF object is missing on this platform. */
  | "SFUNNEL_ADDON"
  /** A system call failed for a reason that has no class of its own. */
  | "SFUNNEL_SYSTEM"
  /** The caller's AbortSignal fired. */
  | "SFUNNEL_ABORTED";

export interface ErrorDetails {
  /** What was being done, e.g. "attach", "parse", "load". */
  readonly operation: string;
  /** What the reader can do about it. */
  readonly hint?: string;
  readonly cause?: unknown;
}

/** Base class of all errors of this library. */
export class SfunnelError extends Error {
  readonly code: ErrorCode;
  readonly operation: string;
  readonly hint: string | undefined;

  constructor(code: ErrorCode, message: string, details: ErrorDetails) {
    super(details.hint === undefined ? message : `${message} (${details.hint})`, {
      cause: details.cause,
    });
    this.name = new.target.name;
    this.code = code;
    this.operation = details.operation;
    this.hint = details.hint;
  }
}

/** An option of the API that is misspelt, of the wrong type, or out of range. */
export class OptionError extends SfunnelError {
  /** The option as it was written, e.g. "direktion". */
  readonly option: string;

  constructor(option: string, message: string, details: ErrorDetails) {
    super("SFUNNEL_OPTION", message, details);
    this.option = option;
  }
}

/** A handle was used after `close()`. */
export class ClosedError extends SfunnelError {
  constructor(what: string, operation: string) {
    super("SFUNNEL_CLOSED", `${operation}: this ${what} is closed`, {
      operation,
      hint: `make a new ${what}, or close it later`,
    });
  }
}

/** The kernel said no. Carries the errno and, for a refused program, the verifier's log. */
export class KernelError extends SfunnelError {
  /** Name of the errno, e.g. "EPERM". */
  readonly errno: string;
  /** The verifier's own words; present when a program was refused. */
  readonly verifierLog: string | undefined;

  constructor(
    code: ErrorCode,
    message: string,
    details: ErrorDetails & { readonly errno: string; readonly verifierLog?: string },
  ) {
    super(code, message, details);
    this.errno = details.errno;
    this.verifierLog = details.verifierLog;
  }
}
