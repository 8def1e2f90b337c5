/** Frames that nobody has asked for. */
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { TestNetns } from "./netns.ts";
import { PYTHON } from "./python.ts";

const sendFramesPath = fileURLToPath(new URL("./send-frames.py", import.meta.url));

/** Sends so many frames of zeros from a device. */
export function sendOddFrames({ name }: TestNetns, device: string, count: number): void {
  execFileSync("ip", ["netns", "exec", name, PYTHON, sendFramesPath, device], {
    input: `${"00".repeat(60)}\n`.repeat(count),
  });
}
