/** Segments of TCP at random that have to do with one that went by before: of the same connection, or nearly. */

import type { Direction, Family } from "../../lib/rules/types.ts";
import { FLAG, type TcpFields, tcp } from "./packet.ts";
import { locate } from "./packet-readers.ts";
import type { Random } from "./random.ts";
import { damaged } from "./random-damage.ts";
import {
  ipFrame,
  padded,
  randomChecksum,
  randomMark,
  randomPayloadLength,
  randomPort,
  tagged,
} from "./random-frames.ts";
import { randomTcpOptions } from "./random-options.ts";

/** A segment as it came, and as it went on, by that hook. */
export interface Seen {
  readonly came: Uint8Array;
  readonly frame: Uint8Array;
  readonly direction: Direction;
}

interface Tuple {
  readonly family: Family;
  readonly src: string;
  readonly dst: string;
  readonly sport: number;
  readonly dport: number;
}

/**
 * The next segment, and by which hook it comes: of the same end, or of the other to what went on. Seldom
 * of what came, or by the wrong hook.
 */
export function randomSegment(
  random: Random,
  seen: Seen,
): { frame: Uint8Array; direction: Direction } | undefined {
  const came = tupleOf(seen.came);
  const left = tupleOf(seen.frame);
  if (came === undefined || left === undefined) return undefined;
  const turns = random.chance(50);
  const usual = turns ? left : came;
  const about = random.chance(90) ? usual : turns ? came : left;
  const tuple = turns ? turned(about) : about;
  const other: Direction = seen.direction === "ingress" ? "egress" : "ingress";
  const [hook, wrong] = turns ? [other, seen.direction] : [seen.direction, other];
  return {
    frame: frameOf(random, nearly(random, tuple), turns ? came.dport : undefined),
    direction: random.chance(93) ? hook : wrong,
  };
}

/**
 * What makes a connection of a SYN that went on: its answer, the acknowledgment of that, and then another
 * SYN with the same ports, which is not the first one's.
 */
export function randomHandshake(
  random: Random,
  seen: Seen,
): readonly { readonly frame: Uint8Array; readonly direction: Direction }[] {
  const came = tupleOf(seen.came);
  const left = tupleOf(seen.frame);
  if (came === undefined || left === undefined) return [];
  const seq = random.uint32();
  const segment = ({ family, src, dst, sport, dport }: Tuple, fields: TcpFields) =>
    ipFrame(random, family, tcp({ sport, dport, ...fields }), { src, dst });
  const back: Direction = seen.direction === "ingress" ? "egress" : "ingress";
  return [
    { direction: back, frame: segment(turned(left), { seq, flags: SYN_ACK, urgent: came.dport }) },
    { direction: seen.direction, frame: segment(came, { ack: (seq + 1) >>> 0, flags: FLAG.ack }) },
    {
      direction: seen.direction,
      frame: segment(came, { flags: FLAG.syn, ...(random.chance(50) ? randomMark(random) : {}) }),
    },
  ];
}

function tupleOf(frame: Uint8Array): Tuple | undefined {
  const found = locate(frame);
  if (found?.transport !== "tcp") return undefined;
  const half = found.addresses.length / 2;
  const [src, dst] = [found.addresses.subarray(0, half), found.addresses.subarray(half)];
  const port = (at: number) => ((frame[at] ?? 0) << 8) | (frame[at + 1] ?? 0);
  return {
    family: half === 4 ? "ip" : "ip6",
    src: inWords(src),
    dst: inWords(dst),
    sport: port(found.start),
    dport: port(found.start + 2),
  };
}

function inWords(address: Uint8Array): string {
  if (address.length === 4) return address.join(".");
  return Buffer.from(address)
    .toString("hex")
    .replace(/....(?!$)/g, "$&:");
}

function turned({ family, src, dst, sport, dport }: Tuple): Tuple {
  return { family, src: dst, dst: src, sport: dport, dport: sport };
}

/** Mostly the connection itself; or one to another port, which may want the same ports on the way. */
function nearly(random: Random, tuple: Tuple): Tuple {
  if (random.chance(80)) return tuple;
  return random.chance(75)
    ? { ...tuple, dport: randomPort(random) }
    : { ...tuple, sport: randomPort(random) };
}

/** A segment between these ends; an answer to what was for the port `wanted`. */
function frameOf(random: Random, tuple: Tuple, wanted: number | undefined): Uint8Array {
  const { family, src, dst, sport, dport } = tuple;
  const content = random.chance(50) ? new Uint8Array() : random.bytes(randomPayloadLength(random));
  const layer = tcp({ sport, dport, ...randomFields(random, wanted) }, content);
  const frame = ipFrame(random, family, layer, { src, dst });
  const whole = tagged(random, padded(random, frame));
  return random.chance(12) ? damaged(random, whole) : whole;
}

const SYN_ACK = FLAG.syn | FLAG.ack;
const ANYWHERE = [
  FLAG.ack,
  FLAG.ack,
  FLAG.ack | FLAG.psh,
  FLAG.fin | FLAG.ack,
  FLAG.fin | FLAG.ack,
  FLAG.rst,
  FLAG.rst | FLAG.ack,
] as const;
const ODD = [
  0,
  FLAG.fin,
  FLAG.syn | FLAG.fin,
  FLAG.syn | FLAG.rst,
  FLAG.fin | FLAG.rst | FLAG.ack,
  SYN_ACK | FLAG.rst,
  SYN_ACK | FLAG.fin,
  FLAG.ack | FLAG.urg,
] as const;

function randomFlags(random: Random, isAnswer: boolean): number {
  const more = random.chance(6) ? random.pick([0x40, 0x80, FLAG.psh, FLAG.urg]) : 0;
  if (random.chance(8)) return random.pick(ODD) | more;
  if (random.chance(40)) return (isAnswer && random.chance(85) ? SYN_ACK : FLAG.syn) | more;
  return random.pick(ANYWHERE) | more;
}

/** Few, so that acknowledgments are of something that was sent, or nearly: so far at most, or not at all. */
const SEQUENCES = [0xffffffff, 0xffffffff, 0xffffffff, 0x7fffffff] as const;
const FURTHER = [1, 1, 1, 1, 1, 0, 2, 0xffff, 0x10000, 0x10001] as const;

function randomFields(random: Random, wanted: number | undefined): TcpFields {
  const flags = randomFlags(random, wanted !== undefined);
  const isSyn = (flags & SYN_ACK) === FLAG.syn;
  const confirms = wanted !== undefined && random.chance(75);
  return {
    flags,
    seq: random.chance(20) ? random.uint32() : random.pick(SEQUENCES),
    ack: random.chance(10)
      ? random.uint32()
      : (random.pick(SEQUENCES) + random.pick(FURTHER)) >>> 0,
    urgent: confirms ? wanted : random.pick([0, 0, random.below(0x10000)]),
    ...(isSyn && random.chance(60) ? randomMark(random) : {}),
    ...(random.chance(30) ? { options: randomTcpOptions(random) } : {}),
    ...(random.chance(3) ? { dataOffset: random.below(16) } : {}),
    ...(random.chance(12) ? { checksum: random.chance(30) ? "seed" : randomChecksum(random) } : {}),
  };
}
