/** Names of errno numbers, which are what people look up. */
import { constants } from "node:os";

/** ENOTSUPP of the kernel's own errno.h: bpf(2) lets it out, libc has no name for it. */
const KERNEL_ONLY: readonly (readonly [number, string])[] = [[524, "ENOTSUPP"]];

/** Two names for one number, of which this is the usual one on Linux. */
const PREFERRED: ReadonlySet<string> = new Set(["EAGAIN", "EOPNOTSUPP"]);

const NAMES: ReadonlyMap<number, string> = tabulate();

function tabulate(): Map<number, string> {
  const names = new Map(KERNEL_ONLY);
  for (const [name, number] of Object.entries(constants.errno)) {
    if (!names.has(number) || PREFERRED.has(name)) names.set(number, name);
  }
  return names;
}

/** "EPERM" for 1; a number without a name comes as "errno 4000". */
export function errnoName(errno: number): string {
  return NAMES.get(errno) ?? `errno ${errno}`;
}
