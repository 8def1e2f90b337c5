/** Frames that nobody has asked for. */
import { fileURLToPath } from "node:url";
import { execute } from "./execute.ts";
import type { TestNetns } from "./netns.ts";
import { PYTHON } from "./python.ts";

const sendFramesPath = fileURLToPath(new URL("./send-frames.py", import.meta.url));

/** Sends so many frames of zeros from a device. */
export function sendOddFrames({ name }: TestNetns, device: string, count: number): void {
  const frames = `${"00".repeat(60)}\n`.repeat(count);
  execute("ip", ["netns", "exec", name, PYTHON, sendFramesPath, device], frames);
}
