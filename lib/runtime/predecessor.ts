/**
 * Finds what an earlier attachment of the same name left on a hook: of this process, of
 * another, or of one that has ended. Nobody else's program is ever named here.
 */
import { layout } from "../compile/abi.gen.ts";
import { Record } from "../compile/record.ts";
import { binding, isFailure, type NativeFilter } from "../native/binding.ts";
import { errnoName } from "../native/errno.ts";
import type { Direction } from "../rules/types.ts";
import { directionIndex } from "./directions.ts";
import type { Place } from "./place.ts";

/** Name of the programs in the kernel, by direction. */
export const PROGRAM_NAMES = ["sfunnel_ingress", "sfunnel_egress"] as const;
/** Each loaded program has this map; the attachments in it are by device and direction. */
export const NAMES_MAP = "sfunnel_names";

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

/** The name in a value of `sfunnel_names`. */
export function nameOf(value: Uint8Array): string {
  const end = value.indexOf(0);
  return new TextDecoder().decode(end < 0 ? value : value.subarray(0, end));
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
      filter.chain === 0 &&
      filter.handle === handle &&
      filter.kind === "bpf" &&
      filter.name.startsWith(PROGRAM_NAMES[index]),
  );
}

/** Whether we may look at programs by their id, as at this one of ours: CAP_SYS_ADMIN. */
export async function canInspect(programId: number): Promise<boolean> {
  return !isFailure(await binding().program(programId));
}

/** Undefined where the kernel does not let us look. */
async function isOurs(
  programId: number,
  place: Place,
  name: string,
  direction: Direction,
): Promise<boolean | undefined> {
  const native = binding();
  const program = await native.program(programId);
  if (isFailure(program)) return errnoName(program.errno) === "EPERM" ? undefined : false;
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
 * Ids of our programs of this name on the tcx hook. Looking at programs takes CAP_SYS_ADMIN;
 * without it all are unknown.
 */
export async function tcxProgramsOf(
  place: Place,
  name: string,
  direction: Direction,
): Promise<{ readonly ours: readonly number[]; readonly unknown: readonly number[] }> {
  const ids = await binding().tcxPrograms(place.netns, place.ifindex, directionIndex(direction));
  const [ours, unknown]: [number[], number[]] = [[], []];
  if (isFailure(ids)) return { ours, unknown };
  for (const id of ids) {
    const known = await isOurs(id, place, name, direction);
    if (known === undefined) unknown.push(id);
    else if (known) ours.push(id);
  }
  return { ours, unknown };
}
