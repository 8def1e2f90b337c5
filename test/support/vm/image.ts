/** Images of Linux for x86: a small program that unpacks the kernel proper, and that. */
import { execFileSync } from "node:child_process";

/** Offsets of the boot protocol's header, see the kernel's Documentation/arch/x86/boot.rst. */
const SETUP_SECTORS = 0x1f1;
const PAYLOAD_OFFSET = 0x248;
const PAYLOAD_LENGTH = 0x24c;
const SECTOR = 512;

const XZ = Buffer.from("fd377a585a00", "hex");
const LARGEST = 256 * 1024 * 1024;

/**
 * The kernel proper, which qemu boots as well (PVH): xz, emulated, would take as long as all
 * the rest of the boot. Undefined where it was packed by something else, quick enough.
 */
export function unpackedKernel(image: Buffer): Buffer | undefined {
  const start = (image.readUInt8(SETUP_SECTORS) + 1) * SECTOR + image.readUInt32LE(PAYLOAD_OFFSET);
  const payload = image.subarray(start, start + image.readUInt32LE(PAYLOAD_LENGTH));
  if (!payload.subarray(0, XZ.length).equals(XZ)) return undefined;
  // Behind the stream is its length in four bytes.
  return execFileSync("xz", ["--decompress", "--stdout", "--single-stream"], {
    input: payload,
    maxBuffer: LARGEST,
    stdio: ["pipe", "pipe", "pipe"],
  });
}
