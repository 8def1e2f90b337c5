/**
 * Before and after all tests: namespaces of test processes that are no more. A test cleans up
 * after itself, also when it fails; but a process that was killed in the middle cannot.
 */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";

/** What Lab and makeNetns call theirs: the process that made it is part of the name. */
const OURS = /^sft-?(\d+)\D/;

function sweep(): void {
  let names: string[];
  try {
    names = execFileSync("ip", ["netns", "list"], { encoding: "utf8" }).split("\n");
  } catch {
    // Not Linux, or no iproute2: then there are none.
    return;
  }
  for (const line of names) {
    const name = line.split(" ")[0] ?? "";
    const owner = OURS.exec(name)?.[1];
    if (owner !== undefined && !existsSync(`/proc/${owner}`)) {
      execFileSync("ip", ["netns", "delete", name]);
    }
  }
}

export function setup(): void {
  sweep();
}

export function teardown(): void {
  sweep();
}
