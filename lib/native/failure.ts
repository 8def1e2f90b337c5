/** The only place that turns an errno of the kernel into words. */
import { type ErrorCode, KernelError, SfunnelError } from "../errors.ts";
import type { NativeFailure } from "./binding.ts";
import { type Capability, missingCapabilities } from "./capabilities.ts";
import { errnoName } from "./errno.ts";

/** No such network interface. */
export class DeviceError extends SfunnelError {
  readonly device: string;

  constructor(operation: string, device: string, where: string, present: readonly string[]) {
    super("SFUNNEL_DEVICE", `${operation}: no interface "${device}" in ${where}`, {
      operation,
      hint: present.length > 0 ? `there are: ${present.join(", ")}` : "there is none at all",
    });
    this.device = device;
  }
}

/** No such network namespace, or a path that is none. */
export class NetnsError extends SfunnelError {
  readonly netns: string;

  constructor(operation: string, netns: string, problem: string, hint: string) {
    super("SFUNNEL_NETNS", `${operation}: network namespace "${netns}": ${problem}`, {
      operation,
      hint,
    });
    this.netns = netns;
  }
}

/** What is needed to do what, in the words of `capabilities(7)`. */
export const NEEDS: { readonly [operation: string]: readonly Capability[] } = {
  load: ["CAP_BPF", "CAP_NET_ADMIN"],
  attach: ["CAP_NET_ADMIN"],
  "enter namespace": ["CAP_SYS_ADMIN"],
  inspect: ["CAP_SYS_ADMIN"],
};

/** The step that enters a namespace takes more than the operation that it is a part of. */
const ENTER_STEP = "enter network namespace";

function permissionError(failure: NativeFailure, operation: string, needs: readonly Capability[]) {
  const missing = missingCapabilities(needs);
  const [problem, hint] =
    missing.length > 0
      ? [
          `${missing.join(" and ")} missing`,
          "run as root, or grant the capabilities to the process or the container",
        ]
      : [
          `${needs.join(" and ")} needed, which this process seems to have`,
          "capabilities in a user namespace do not count; else seccomp or a security module forbids it",
        ];
  return new KernelError(
    "SFUNNEL_PERMISSION",
    `${operation}: not permitted (${failure.step}): ${problem}`,
    {
      ...{ operation, errno: errnoName(failure.errno), hint },
      ...(failure.log !== undefined && { verifierLog: failure.log }),
    },
  );
}

/** "ingress" takes filters for egress without a word and runs them at ingress. */
export function egressInTheWay(device: string): KernelError {
  return new KernelError(
    "SFUNNEL_SYSTEM",
    `attach: ${device} has a qdisc "ingress", in whose place clsact would have to be for egress`,
    {
      operation: "attach",
      errno: "EEXIST",
      hint: `attach with hook "tcx" (Linux 6.6), or find out whose it is with: tc filter show dev ${device} ingress`,
    },
  );
}

function describe(failure: NativeFailure): { code: ErrorCode; problem: string; hint?: string } {
  const name = errnoName(failure.errno);
  switch (name) {
    case "EBADF":
      return { code: "SFUNNEL_CLOSED", problem: "the handle is closed" };
    case "ENODEV":
      return { code: "SFUNNEL_DEVICE", problem: "the interface has gone" };
    case "EEXIST":
      return {
        code: "SFUNNEL_SYSTEM",
        problem: "something else is in the way",
        hint: "see what is attached there with: tc qdisc show; tc filter show",
      };
    case "ENOMEM":
    case "ENOSPC":
    case "E2BIG":
      return { code: "SFUNNEL_LIMIT", problem: "the kernel has no room for it" };
    case "ERANGE":
      return { code: "SFUNNEL_LIMIT", problem: "as many programs are attached as the hook takes" };
    default:
      return { code: "SFUNNEL_SYSTEM", problem: `the kernel answered ${name}` };
  }
}

/** A failure of `operation`, for people. `needs` are the capabilities that it takes. */
export function errorOf(
  failure: NativeFailure,
  operation: string,
  needs: readonly Capability[],
): SfunnelError {
  const errno = errnoName(failure.errno);
  // Without CAP_BPF and CAP_PERFMON the verifier refuses what it would take otherwise.
  const refused = errno === "EACCES" && failure.log !== undefined;
  if (errno === "EPERM" || errno === "EACCES") {
    const own = failure.step === ENTER_STEP ? (NEEDS["enter namespace"] ?? []) : needs;
    const needed: readonly Capability[] = refused ? [...own, "CAP_PERFMON"] : own;
    if (!refused || missingCapabilities(needed).length > 0) {
      return permissionError(failure, operation, needed);
    }
  }
  if (failure.log) {
    return new KernelError(
      "SFUNNEL_KERNEL",
      `${operation}: the kernel refused the program (${failure.step}: ${errno})`,
      {
        operation,
        errno,
        verifierLog: failure.log,
        hint: "sfunnel needs Linux 5.10 or later; `verifierLog` holds the kernel's words",
      },
    );
  }
  const { code, problem, hint } = describe(failure);
  return new KernelError(code, `${operation}: ${failure.step}: ${problem} (${errno})`, {
    operation,
    errno,
    ...(hint === undefined ? {} : { hint }),
  });
}
