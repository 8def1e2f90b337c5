/** Frames in a file of the pcap format, in the byte order of this machine. */

const MAGIC = 0xa1b2c3d4;
const FILE_HEADER = 24;
const RECORD_HEADER = 16;
const CAPTURED_LENGTH = 8;

export function framesOf(file: Buffer): readonly Uint8Array[] {
  if (file.readUInt32LE(0) !== MAGIC) throw new Error("not a little-endian pcap file");
  const frames: Uint8Array[] = [];
  let offset = FILE_HEADER;
  while (offset < file.length) {
    const start = offset + RECORD_HEADER;
    offset = start + file.readUInt32LE(offset + CAPTURED_LENGTH);
    frames.push(new Uint8Array(file.subarray(start, offset)));
  }
  return frames;
}
