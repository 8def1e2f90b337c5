/** The options of a TCP header (RFC 9293 section 3.1), as far as they are well-formed. */

import { viewOf } from "./bytes.ts";
import { TRANSPORT_HEADER_LENGTH } from "./protocol.ts";

/** Kinds of options that matter here. */
export const OPTION = {
  end: 0,
  nothing: 1,
  mss: 2,
  /** A signature over the ports (RFC 2385). */
  md5: 19,
  /** Its successor (RFC 5925). */
  authentication: 29,
  fastOpen: 34,
  /** For experiments, told apart by what they begin with (RFC 6994). */
  experiments: [253, 254] as readonly number[],
} as const;

/** What an experimental option of TCP fast open begins with (RFC 7413 section 4.1.1). */
const FAST_OPEN_EXPERIMENT = 0xf989;

/** An option of more than one byte. */
export interface TcpOption {
  readonly kind: number;
  /** Where in the segment it begins, with its kind. */
  readonly offset: number;
  /** Bytes of all of it: kind, length and content. */
  readonly length: number;
}

/** The options of a segment, up to the first that is malformed. */
export function readOptions(segment: Uint8Array): readonly TcpOption[] {
  const view = viewOf(segment);
  const headerLength = saidHeaderLength(segment);
  // Options that are not all there may be anything.
  if (headerLength > segment.length) return [];

  const options: TcpOption[] = [];
  let offset = TRANSPORT_HEADER_LENGTH.tcp;
  while (offset < headerLength) {
    const kind = view.getUint8(offset);
    if (kind === OPTION.end) break;
    if (kind === OPTION.nothing) {
      offset += 1;
      continue;
    }
    if (offset + 1 >= headerLength) break;
    const length = view.getUint8(offset + 1);
    if (length < 2 || offset + length > headerLength) break;
    options.push({ kind, offset, length });
    offset += length;
  }
  return options;
}

/** Whether a segment is signed with its ports, so that nobody may change them. */
export function isSigned(segment: Uint8Array): boolean {
  return readOptions(segment).some(
    ({ kind }) => kind === OPTION.md5 || kind === OPTION.authentication,
  );
}

/** Whether an option of a segment is about TCP fast open. */
export function isFastOpen(segment: Uint8Array, { kind, offset, length }: TcpOption): boolean {
  if (kind === OPTION.fastOpen) return true;
  return (
    OPTION.experiments.includes(kind) &&
    length >= 4 &&
    viewOf(segment).getUint16(offset + 2) === FAST_OPEN_EXPERIMENT
  );
}

/** Where the payload of a segment begins; a header whose length cannot be is taken for what can. */
export function headerEnd(segment: Uint8Array): number {
  const least = Math.max(TRANSPORT_HEADER_LENGTH.tcp, saidHeaderLength(segment));
  return Math.min(least, segment.length);
}

function saidHeaderLength(segment: Uint8Array): number {
  return (viewOf(segment).getUint8(12) >> 4) * 4;
}
