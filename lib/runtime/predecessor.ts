/**
 * Finds what an earlier attachment of the same name left on a hook: of this process, of
 * another, or of one that has ended. Nobody else's program is ever named here.
 */
import { layout } from "../compile/abi.gen.ts";
import { Record } from "../compile/record.ts";
import { binding, isFailure, type NativeFilter } from "../native/binding.ts";
import type { Direction } from "../rules/types.ts";
import type { Place } from "./place.ts";
import { directionIndex } from "./tables.ts";

/** Name of the programs in the kernel, by direction. */
const PROGRAM_NAMES = ["sfunnel_ingress", "sfunnel_egress"] as const;
const NAMES_MAP = "sfunnel_names";

/** Key of the map `sfunnel_names`. */
export function nameKey(place: Place, direction: Direction): Uint8Array {
  const { size, fields } = layout.attachmentKey;
  const key = new Uint8Array(size);
  const record = new Record(key, 0);
  record.setBig(fields.netnsInode, place.netnsInode);
  record.set(fields.ifindex, place.ifindex);
  record.set(fields.direction, directionIndex(direction));
  return key;
}

/** Value of the map `sfunnel_names`. */
export function nameValue(name: string): Uint8Array {
  const value = new Uint8Array(layout.attachment.size);
  new TextEncoder().encodeInto(name, value);
  return value;
}

/**
 * Handle of our clsact filter: a hash of the name (FNV-1a, 32 bits), so that it is found again
 * without reading anybody's maps. 0 would mean "choose one".
 */
export function handleOf(name: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(name)) {
    hash = Math.imul(hash ^ byte, 0x01000193);
  }
  return hash >>> 0 || 1;
}

/** Our filters of this name on the clsact hook. */
export function filtersOf(
  filters: readonly NativeFilter[],
  name: string,
  direction: Direction,
): NativeFilter[] {
  const index = directionIndex(direction);
  const handle = handleOf(name);
  return filters.filter(
    (filter) =>
      filter.direction === index &&
      filter.handle === handle &&
      filter.kind === "bpf" &&
      filter.name.startsWith(PROGRAM_NAMES[index]),
  );
}

async function isOurs(programId: number, place: Place, name: string, direction: Direction) {
  const native = binding();
  const program = await native.program(programId);
  if (isFailure(program)) return false;
  if (program.name !== PROGRAM_NAMES[directionIndex(direction)]) return false;
  const wanted = nameValue(name);
  for (const mapId of program.mapIds) {
    const map = await native.lookup(mapId, nameKey(place, direction));
    if (isFailure(map) || map.name !== NAMES_MAP || map.value === undefined) continue;
    if (Buffer.compare(map.value, wanted) === 0) return true;
  }
  return false;
}

/**
 * Ids of our programs of this name on the tcx hook. Looking at other programs takes
 * CAP_SYS_ADMIN; without it none is found, and none is touched.
 */
export async function tcxProgramsOf(
  place: Place,
  name: string,
  direction: Direction,
): Promise<number[]> {
  const ids = await binding().tcxPrograms(place.netns, place.ifindex, directionIndex(direction));
  if (isFailure(ids)) return [];
  const ours: number[] = [];
  for (const id of ids) {
    if (await isOurs(id, place, name, direction)) ours.push(id);
  }
  return ours;
}
