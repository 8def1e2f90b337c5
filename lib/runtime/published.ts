/** Arrays that take their places in maps of maps, written in parts so that no copy takes long. */
import type { NativeArray, NativeObject } from "../native/binding.ts";
import { check, must } from "./native-result.ts";

/** Entries as they will lie in an array. */
export interface ArrayContent {
  readonly count: number;
  readonly bytes: Uint8Array;
}

/** Bytes that are handed over at a time. */
const PART = 1 << 18;

/** A new array with this in it. It is the caller's to close. */
export async function makeArray(
  object: NativeObject,
  { count, bytes }: ArrayContent,
  operation: string,
): Promise<NativeArray> {
  const size = bytes.length / count;
  const array = must(await object.makeArray(size, count), operation);
  try {
    const inPart = Math.max(1, Math.floor(PART / size));
    for (let first = 0; first < count; first += inPart) {
      const entries = Math.min(inPart, count - first);
      const part = bytes.subarray(first * size, (first + entries) * size);
      check(await array.write(first, part, entries), operation);
    }
    return array;
  } catch (error) {
    array.close();
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
