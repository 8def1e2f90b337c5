/** Text as bytes in UTF-8, one text behind the other, without strings on the way. */
import type { TextSink, Word } from "../rules/text-sink.ts";

const ZERO = 0x30;
const encoder = new TextEncoder();

export class ByteSink implements TextSink {
  bytes: Uint8Array = new Uint8Array(4096);
  length = 0;

  add(text: string): void {
    const { length } = text;
    this.#makeRoom(length);
    const { bytes } = this;
    const at = this.length;
    for (let index = 0; index < length; index++) bytes[at + index] = text.charCodeAt(index);
    this.length = at + length;
  }

  addWord({ bytes: word }: Word): void {
    const { length } = word;
    this.#makeRoom(length);
    const { bytes } = this;
    const at = this.length;
    for (let index = 0; index < length; index++) bytes[at + index] = word[index] as number;
    this.length = at + length;
  }

  addNumber(value: number): void {
    let digits = 1;
    for (let limit = 10; value >= limit; limit *= 10) digits++;
    this.#makeRoom(digits);
    const { bytes, length } = this;
    let rest = value;
    for (let at = length + digits - 1; at >= length; at--) {
      const tenth = (rest / 10) | 0;
      bytes[at] = ZERO + rest - 10 * tenth;
      rest = tenth;
    }
    this.length = length + digits;
  }

  addByte(byte: number): void {
    this.#makeRoom(1);
    this.bytes[this.length++] = byte;
  }

  addAny(text: string): void {
    // A code unit takes at most three bytes.
    this.#makeRoom(3 * text.length);
    this.length += encoder.encodeInto(text, this.bytes.subarray(this.length)).written;
  }

  /** A copy of all, from which on it is empty. */
  take(): Uint8Array {
    const taken = this.bytes.slice(0, this.length);
    this.length = 0;
    return taken;
  }

  #makeRoom(more: number): void {
    const needed = this.length + more;
    if (needed <= this.bytes.length) return;
    const bytes = new Uint8Array(Math.max(needed, 2 * this.bytes.length));
    bytes.set(this.bytes.subarray(0, this.length));
    this.bytes = bytes;
  }
}
