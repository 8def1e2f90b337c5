/**
 * How much stack the functions of a compiled BPF program take, one calling the other. The verifier adds
 * that up, and how depends on the kernel: it rounds each function's up to 32 bytes, and since Linux 6.9
 * to 16 where it compiles programs. So one that loads here may be too large elsewhere.
 */
import { readFileSync } from "node:fs";

/** One function's bytes of stack and whom it calls. */
interface Frame {
  readonly name: string;
  bytes: number;
  readonly calls: Set<string>;
}

/** Functions that call each other, the first one first, and the stack of all of them together. */
export interface Chain {
  readonly names: readonly string[];
  readonly bytes: number;
}

interface Section {
  readonly name: string;
  readonly type: number;
  readonly isCode: boolean;
  readonly offset: number;
  readonly size: number;
  /** Of relocations: the section that they are for. */
  readonly info: number;
}

interface Symbol {
  readonly name: string;
  readonly section: number;
  /** Bytes from the start of the section. */
  readonly at: number;
  readonly isFunction: boolean;
  readonly isSection: boolean;
}

// ELF, as far as clang writes it for BPF: 64 bits, little endian.
const [SYMBOLS, RELOCATIONS] = [2, 9];
const EXECUTABLE = 4n;
const [FUNCTION, SECTION] = [2, 3];
const CALL_RELOCATION = 10;

// Instructions, of 8 bytes each (RFC 9669).
const SIZE = 8;
const [MOVE, ADD, CALL] = [0xbf, 0x07, 0x85];
const LOCAL_CALL = 1;
const FRAME_POINTER = 10;
/** Classes of instructions: loads and stores (LDX, ST, STX), and those that give a register a value. */
const MEMORY: readonly number[] = [1, 2, 3];
const SETTING: readonly number[] = [0, 1, 4, 7];

function textAt(file: Buffer, offset: number): string {
  return file.toString("latin1", offset, file.indexOf(0, offset));
}

function sectionsOf(file: Buffer): readonly Section[] {
  const start = Number(file.readBigUInt64LE(0x28));
  const [size, count, names] = [0x3a, 0x3c, 0x3e].map((at) => file.readUInt16LE(at));
  const headers = Array.from({ length: count ?? 0 }, (_, index) => start + index * (size ?? 0));
  const namesAt = Number(file.readBigUInt64LE((headers[names ?? 0] ?? 0) + 0x18));
  return headers.map((at) => ({
    name: textAt(file, namesAt + file.readUInt32LE(at)),
    type: file.readUInt32LE(at + 4),
    isCode: (file.readBigUInt64LE(at + 8) & EXECUTABLE) !== 0n,
    offset: Number(file.readBigUInt64LE(at + 0x18)),
    size: Number(file.readBigUInt64LE(at + 0x20)),
    info: file.readUInt32LE(at + 0x2c),
  }));
}

/** Offsets of the entries of a section. */
function entriesOf({ offset, size }: Section, length: number): readonly number[] {
  return Array.from({ length: size / length }, (_, index) => offset + index * length);
}

function symbolsOf(file: Buffer, sections: readonly Section[]): readonly Symbol[] {
  const table = sections.find(({ type }) => type === SYMBOLS);
  const names = sections.find(({ name }) => name === ".strtab");
  if (!table || !names) throw new Error("an object without symbols");
  return entriesOf(table, 24).map((at) => {
    const kind = file.readUInt8(at + 4) & 15;
    return {
      name: textAt(file, names.offset + file.readUInt32LE(at)),
      section: file.readUInt16LE(at + 6),
      at: Number(file.readBigUInt64LE(at + 8)),
      isFunction: kind === FUNCTION,
      isSection: kind === SECTION,
    };
  });
}

/** The symbol that each call refers to, by the call's offset in the file. */
function relocationsOf(file: Buffer, sections: readonly Section[], symbols: readonly Symbol[]) {
  const found = new Map<number, Symbol>();
  for (const table of sections.filter(({ type }) => type === RELOCATIONS)) {
    const start = sections[table.info]?.offset ?? 0;
    for (const at of entriesOf(table, 16)) {
      const symbol = symbols[file.readUInt32LE(at + 12)];
      if (file.readUInt32LE(at + 8) !== CALL_RELOCATION || !symbol) continue;
      found.set(start + Number(file.readBigUInt64LE(at)), symbol);
    }
  }
  return found;
}

/** Every function of an object with the stack that it takes itself. */
function framesOf(file: Buffer): ReadonlyMap<string, Frame> {
  const sections = sectionsOf(file);
  const symbols = symbolsOf(file, sections);
  const relocations = relocationsOf(file, sections, symbols);
  const frames = new Map<string, Frame>();
  for (const [index, section] of sections.entries()) {
    if (!section.isCode) continue;
    const here = symbols.filter((one) => one.section === index && one.isFunction);
    const functionAt = (at: number) => here.find((one) => one.at === at)?.name;
    let frame: Frame | undefined;
    /** Registers that are a copy of the frame pointer. */
    let copies = new Set<number>();
    for (const at of entriesOf(section, SIZE)) {
      const name = functionAt(at - section.offset);
      if (name !== undefined) {
        frame = { name, bytes: 0, calls: new Set() };
        frames.set(name, frame);
        copies = new Set();
      }
      if (!frame) continue;
      const [code, registers] = [file.readUInt8(at), file.readUInt8(at + 1)];
      const [target, source] = [registers & 15, registers >> 4];
      const [offset, immediate] = [file.readInt16LE(at + 2), file.readInt32LE(at + 4)];
      if (MEMORY.includes(code & 7) && [target, source].includes(FRAME_POINTER)) {
        frame.bytes = Math.max(frame.bytes, -offset);
      } else if (code === MOVE && source === FRAME_POINTER) {
        copies.add(target);
      } else if (code === ADD && copies.has(target)) {
        frame.bytes = Math.max(frame.bytes, -immediate);
        copies.delete(target);
      } else if (SETTING.includes(code & 7)) {
        copies.delete(target);
      } else if (code === CALL && source === LOCAL_CALL) {
        const symbol = relocations.get(at);
        const next = at - section.offset + SIZE;
        const called = symbol?.isFunction
          ? symbol.name
          : calledAt(symbols, symbol?.section ?? index, (symbol ? SIZE : next) + immediate * SIZE);
        frame.calls.add(called);
      }
    }
  }
  return frames;
}

function calledAt(symbols: readonly Symbol[], section: number, at: number): string {
  const found = symbols.find((one) => one.section === section && one.at === at && one.isFunction);
  if (!found) throw new Error(`a call of what is no function: section ${section}, byte ${at}`);
  return found.name;
}

/** The chain of calls from this function that takes the most stack, as a kernel rounds it. */
export function deepestChain(path: string, from: string, rounding: number): Chain {
  const frames = framesOf(readFileSync(path));
  const below = (name: string): Chain => {
    const frame = frames.get(name);
    if (!frame) throw new Error(`no function ${name} in ${path}`);
    const own = Math.max(rounding, Math.ceil(frame.bytes / rounding) * rounding);
    let deepest: Chain = { names: [], bytes: 0 };
    for (const called of frame.calls) {
      const chain = below(called);
      if (chain.bytes > deepest.bytes) deepest = chain;
    }
    return {
      names: [`${name} (${frame.bytes})`, ...deepest.names],
      bytes: own + deepest.bytes,
    };
  };
  return below(from);
}
