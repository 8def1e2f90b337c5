/** What the running kernel is, for tests that also run in guests with older ones. */
import { release } from "node:os";

const [major = 0, minor = 0] = release().split(".").map(Number);

/** Whether the kernel is Linux 6.6 or a later one: isSince(6, 6). */
export function isSince(wantedMajor: number, wantedMinor: number): boolean {
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
}
