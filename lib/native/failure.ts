/** The only place that turns an errno of the kernel into words. */
import { type ErrorCode, KernelError, SfunnelError } from "../errors.ts";
import type { NativeFailure } from "./binding.ts";
import { type Capability, missingCapabilities } from "./capabilities.ts";
import { errnoName } from "./errno.ts";

/** No such network interface. */
export class DeviceError extends SfunnelError {
  readonly device: string;

  constructor(device: string, where: string, present: readonly string[]) {
    super("SFUNNEL_DEVICE", `attach: no interface "${device}" in ${where}`, {
      operation: "attach",
      hint: present.length > 0 ? `there are: ${present.join(", ")}` : "there is none at all",
    });
    this.device = device;
  }
}

/** No such network namespace, or a path that is none. */
export class NetnsError extends SfunnelError {
  readonly netns: string;

  constructor(netns: string, problem: string, hint: string) {
    super("SFUNNEL_NETNS", `attach: network namespace "${netns}": ${problem}`, {
      operation: "attach",
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

function permissionError(failure: NativeFailure, operation: string, needs: readonly Capability[]) {
  const missing = missingCapabilities(needs);
  const lacking = missing.length > 0 ? missing : needs;
  return new KernelError(
    "SFUNNEL_PERMISSION",
    `${operation}: not permitted (${failure.step}): ${lacking.join(" and ")} missing`,
    {
      operation,
      errno: errnoName(failure.errno),
      hint: "run as root, or grant the capabilities to the process or the container",
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
  if (errno === "EPERM" || (errno === "EACCES" && !failure.log)) {
    return permissionError(failure, operation, needs);
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
