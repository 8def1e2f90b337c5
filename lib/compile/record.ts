/** Writes the structs of bpf/abi.h, field by field, in the byte order of this machine. */

export const LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** Where a field lies, as abi.gen.ts tells it. */
export interface Field {
  readonly offset: number;
  readonly size: number;
}

/** One struct inside a buffer of many; it can be moved to the next one. */
export class Record {
  readonly #view: DataView;
  #start: number;

  constructor(buffer: Uint8Array | DataView, start: number) {
    this.#view =
      buffer instanceof DataView
        ? buffer
        : new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
    this.#start = start;
  }

  set(field: Field, value: number): void {
    const at = this.#start + field.offset;
    if (field.size === 1) this.#view.setUint8(at, value);
    else if (field.size === 2) this.#view.setUint16(at, value, LITTLE_ENDIAN);
    else this.#view.setUint32(at, value, LITTLE_ENDIAN);
  }

  setBig(field: Field, value: bigint): void {
    this.#view.setBigUint64(this.#start + field.offset, value, LITTLE_ENDIAN);
  }

  /** An array of 32-bit words. */
  setWords(field: Field, words: readonly number[]): void {
    for (let index = 0; index < words.length; index++) {
      const at = this.#start + field.offset + index * 4;
      this.#view.setUint32(at, words[index] as number, LITTLE_ENDIAN);
    }
  }

  /** Bytes as they are: addresses and names have no byte order of their own. */
  setBytes(field: Field, bytes: Uint8Array): void {
    const at = this.#view.byteOffset + this.#start + field.offset;
    new Uint8Array(this.#view.buffer, at, field.size).set(bytes);
  }

  /** From here on it is the struct that begins at this byte of the buffer. */
  moveTo(start: number): void {
    this.#start = start;
  }
}
