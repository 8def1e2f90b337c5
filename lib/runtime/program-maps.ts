/** The maps of programs that others have loaded, read through the ids that the kernel gives. */
import { binding, isFailure, type NativeFailure } from "../native/binding.ts";
import { errnoName } from "../native/errno.ts";
import { errorOf, NEEDS } from "../native/failure.ts";

/** The maps of a program by name; the kernel keeps 15 characters of it. */
export class Maps {
  readonly #ids: ReadonlyMap<string, number>;

  private constructor(ids: ReadonlyMap<string, number>) {
    this.#ids = ids;
  }

  static async of(mapIds: readonly number[]): Promise<Maps> {
    const ids = new Map<string, number>();
    for (const id of mapIds) ids.set((await lookupIn(id, new Uint8Array(0))).name, id);
    return new Maps(ids);
  }

  id(name: string): number | undefined {
    return this.#ids.get(name.slice(0, MAP_NAME_LENGTH));
  }

  async lookup(name: string, key: Uint8Array): Promise<Uint8Array | undefined> {
    const id = this.id(name);
    return id === undefined ? undefined : (await lookupIn(id, key)).value;
  }
}

/** BPF_OBJ_NAME_LEN without its zero. */
const MAP_NAME_LENGTH = 15;

/** Went while it was being read: detached, or its last owner closed it. */
export class Gone extends Error {}

/** A value of a map by its id; throws {@link Gone} where there is no such map any more. */
export async function lookupIn(mapId: number, key: Uint8Array) {
  const entry = await binding().lookup(mapId, key);
  if (!isFailure(entry)) return entry;
  if (isGone(entry)) throw new Gone();
  throw failed(entry);
}

/** All entries of an array by its id; throws {@link Gone} likewise. */
export async function readArray(mapId: number): Promise<Uint8Array> {
  const entries = await binding().readArray(mapId);
  if (!isFailure(entries)) return entries;
  if (isGone(entries)) throw new Gone();
  throw failed(entries);
}

export function isGone({ errno }: NativeFailure): boolean {
  const name = errnoName(errno);
  return name === "ENOENT" || name === "ENODEV";
}

export function failed(failure: NativeFailure): Error {
  return errorOf(failure, "inspect", NEEDS.inspect ?? []);
}

export function indexKey(index: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(index).buffer);
}
