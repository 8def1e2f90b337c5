import { setTimeout as wait } from "node:timers/promises";
import { KernelError, SfunnelError } from "../errors.ts";
import { complain, counted, withoutOperation } from "./output.ts";

export interface Patience {
  readonly attempts: number;
  /** Seconds between them. */
  readonly retryDelay: number;
  readonly signal: AbortSignal;
}

/** Answers of the kernel that another try may change. */
const PASSING = new Set(["EAGAIN", "EBUSY", "EINTR", "ENOBUFS", "ESTALE"]);

/** An interface that is not there (yet), or a kernel that was busy. */
function mayPass(error: unknown): error is SfunnelError {
  if (error instanceof SfunnelError && error.code === "SFUNNEL_DEVICE") return true;
  return error instanceof KernelError && PASSING.has(error.errno);
}

/** Does the work again while what fails may pass, and says that it does. */
export async function retry<Result>(
  { attempts, retryDelay, signal }: Patience,
  work: () => Promise<Result>,
): Promise<Result> {
  for (let left = attempts - 1; ; left--) {
    throwIfStopped(signal);
    try {
      return await work();
    } catch (error) {
      if (left <= 0 || !mayPass(error)) throw error;
      const again = `again in ${retryDelay} s, ${counted(left, "attempt")} left`;
      complain(`${withoutOperation(error)}; ${again}`);
    }
    // A signal ends the wait by an error of Node's; the next round throws ours.
    await wait(retryDelay * 1000, undefined, { signal }).catch(() => undefined);
  }
}

/** Throws SfunnelError (SFUNNEL_ABORTED). */
export function throwIfStopped(signal: AbortSignal): void {
  if (!signal.aborted) return;
  throw new SfunnelError("SFUNNEL_ABORTED", `stopped by ${signal.reason}; nothing is attached`, {
    operation: "run",
    cause: signal.reason,
  });
}
