/** Frames in a file of the pcap format, in the byte order of this machine. */

const MAGIC = 0xa1b2c3d4;
const FILE_HEADER = 24;
const RECORD_HEADER = 16;
const CAPTURED_LENGTH = 8;
const ETHERNET = 1;
const LONGEST = 65535;

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

/** All at one time. */
export function pcapOf(frames: readonly Uint8Array[]): Buffer {
  const header = Buffer.alloc(FILE_HEADER);
  header.writeUInt32LE(MAGIC, 0);
  // Version 2.4, and what is kept of a frame.
  header.writeUInt16LE(2, 4);
  header.writeUInt16LE(4, 6);
  header.writeUInt32LE(LONGEST, 16);
  header.writeUInt32LE(ETHERNET, 20);
  const records = frames.flatMap((frame) => {
    const record = Buffer.alloc(RECORD_HEADER);
    record.writeUInt32LE(frame.length, CAPTURED_LENGTH);
    record.writeUInt32LE(frame.length, CAPTURED_LENGTH + 4);
    return [record, frame];
  });
  return Buffer.concat([header, ...records]);
}
