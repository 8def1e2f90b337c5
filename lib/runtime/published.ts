/** Arrays that take their places in maps of maps, written in parts so that no copy takes long. */
import { setImmediate } from "node:timers/promises";
import type { NativeArray, NativeObject } from "../native/binding.ts";
import { check, must } from "./native-result.ts";
import { settled } from "./settled.ts";

/** Entries as they will lie in an array. */
export interface ArrayContent {
  readonly count: number;
  readonly bytes: Uint8Array;
}

/** Bytes that are handed over at a time. */
const PART = 1 << 18;

/** An array that is being filled, part by part. */
export class Filling {
  readonly array: NativeArray;
  readonly #operation: string;
  readonly #writes: Promise<void>[] = [];

  private constructor(array: NativeArray, operation: string) {
    this.array = array;
    this.#operation = operation;
  }

  /** All of it is zero. It is the caller's to close. */
  static async make(
    object: NativeObject,
    size: number,
    count: number,
    operation: string,
  ): Promise<Filling> {
    return new Filling(must(await object.makeArray(size, count), operation), operation);
  }

  /** Entries from one on. They are copied at once, and written beside whatever else is done. */
  write(first: number, bytes: Uint8Array, count: number): void {
    const write = async () => check(await this.array.write(first, bytes, count), this.#operation);
    const written = write();
    // It is asked for in the end; until then it is no failure that nobody looks at.
    written.catch(() => undefined);
    this.#writes.push(written);
  }

  /** When all is there. Throws once nothing is under way any more. */
  async done(): Promise<void> {
    await settled(this.#writes);
  }
}

/** A new array with this in it. It is the caller's to close. */
export async function makeArray(
  object: NativeObject,
  { count, bytes }: ArrayContent,
  operation: string,
): Promise<NativeArray> {
  const size = bytes.length / count;
  const filling = await Filling.make(object, size, count, operation);
  try {
    const inPart = Math.max(1, Math.floor(PART / size));
    for (let first = 0; first < count; first += inPart) {
      const entries = Math.min(inPart, count - first);
      filling.write(first, bytes.subarray(first * size, (first + entries) * size), entries);
      // A copy takes its time as well.
      if (first + entries < count) await setImmediate();
    }
    await filling.done();
    return filling.array;
  } catch (error) {
    filling.array.close();
    throw error;
  }
}

/** Makes arrays, and puts them one behind the other from a place on. */
export async function publish(
  object: NativeObject,
  map: string,
  place: number,
  contents: readonly ArrayContent[],
  operation: string,
): Promise<void> {
  const made = await Promise.allSettled(
    contents.map((content) => makeArray(object, content, operation)),
  );
  const arrays = made.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
  try {
    for (const each of made) if (each.status === "rejected") throw each.reason;
    check(await object.place(map, place, arrays), operation);
  } finally {
    for (const array of arrays) array.close();
  }
}
