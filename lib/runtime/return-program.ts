/**
 * The program at the receiving end of a segmenter, which sends segments back to where they came
 * from. Each Funnel has one there, any of them serves all, and none of them left means that nobody
 * needs the segmenter: the kernel itself keeps that count, whatever became of the processes.
 *
 * One that goes with its process is held by a tcx link. One that stays is a clsact filter: its
 * handle is the id of its Funnel's ingress program, so that anybody can tell, without a capability
 * to look at programs, whether that Funnel is still attached to anything.
 */
import {
  binding,
  isFailure,
  type NativeAttachment,
  type NativeFailure,
  type NativeFilter,
  type NativeObject,
} from "../native/binding.ts";
import { errnoName } from "../native/errno.ts";
import { directionIndex, directions } from "./directions.ts";
import { ETHERNET } from "./link-type.ts";
import { listPlaces, type Namespace, type Place, RECEIVING_END } from "./place.ts";
import { lacksTcx, programOf } from "./stand.ts";

/** Name of the program in the kernel. */
export const RETURN_PROGRAM = "sfunnel_return";
/** NativeProgram */
const PROGRAM = 2;
const INGRESS = directionIndex("ingress");

/** By lifetime, so that one can take the place of the other while both stand. */
const PRIORITIES = { process: 1, device: 2 } as const;
export type Lifetime = keyof typeof PRIORITIES;

/** The receiving end of the segmenter of a namespace. */
export function receivingEnd({ path, inode }: Namespace, ifindex: number): Place {
  return {
    netns: path,
    netnsInode: inode,
    device: RECEIVING_END,
    ifindex,
    linkType: ETHERNET,
    mtu: 0,
  };
}

export async function putReturn(
  object: NativeObject,
  end: Place,
  lifetime: Lifetime,
): Promise<NativeAttachment | NativeFailure> {
  const { netns, ifindex } = end;
  if (lifetime === "process") {
    const link = await object.attachTcx(
      ...([netns, ifindex, INGRESS, true, true, 0, undefined, PROGRAM] as const),
    );
    if (!isFailure(link)) return link;
    // A hook holds 64 programs: of those that come then, a filter does the same.
    const isFull = errnoName(link.errno) === "ERANGE";
    if (!isFull && !(await lacksTcx(link, end, "ingress"))) return link;
  }
  const persist = lifetime === "device";
  const handle = programOf(object, "ingress");
  return object.attachClsact(
    ...([netns, ifindex, INGRESS, PRIORITIES[lifetime], handle, persist, 0, PROGRAM] as const),
  );
}

/** What stands at a receiving end. */
export interface Returns {
  /** Ids of programs on tcx, whosesoever they are. */
  readonly tcx: readonly number[];
  /** Filters of ours. */
  readonly filters: readonly NativeFilter[];
}

export async function returnsAt({ netns, ifindex }: Place): Promise<Returns | NativeFailure> {
  const native = binding();
  const ids = await native.tcxPrograms(netns, ifindex, INGRESS);
  // EINVAL: a kernel before 6.6, where nothing can stand on tcx.
  if (isFailure(ids) && errnoName(ids.errno) !== "EINVAL") return ids;
  const qdisc = await native.qdisc(netns, ifindex);
  if (isFailure(qdisc)) return qdisc;
  return {
    tcx: isFailure(ids) ? [] : ids,
    filters: qdisc.filters.filter(
      ({ kind, direction, name }) =>
        kind === "bpf" && direction === INGRESS && name.startsWith(RETURN_PROGRAM),
    ),
  };
}

/** Whether that of this object is among them. */
export function includesReturn({ tcx, filters }: Returns, object: NativeObject): boolean {
  const id = object.segmenterProgramId();
  return tcx.includes(id) || filters.some(({ programId }) => programId === id);
}

/** Whether somebody's stands on tcx there. Where the kernel does not let us look, it may be one. */
export async function hasReturnOnTcx({ tcx }: Returns): Promise<boolean> {
  for (const id of tcx) {
    const program = await binding().program(id);
    if (
      isFailure(program) ? errnoName(program.errno) === "EPERM" : program.name === RETURN_PROGRAM
    ) {
      return true;
    }
  }
  return false;
}

/** Removes filters of Funnels that are attached to nothing any more; gives those that stay. */
export async function removeUnused(
  end: Place,
  { filters }: Returns,
  ours: readonly NativeObject[],
): Promise<readonly NativeFilter[]> {
  const isOurs = ({ programId }: NativeFilter) =>
    ours.some((object) => object.segmenterProgramId() === programId);
  if (filters.every(isOurs)) return filters;
  const attached = await attachedPrograms(end);
  if (attached === undefined) return filters;
  const stay: NativeFilter[] = [];
  for (const filter of filters) {
    if (isOurs(filter) || attached.has(filter.handle)) stay.push(filter);
    else await removeFilter(end, filter);
  }
  return stay;
}

async function removeFilter({ netns, ifindex }: Place, { priority, handle }: NativeFilter) {
  // One that has gone meanwhile, or the end with it, is what was wanted.
  await binding().detachClsact(netns, ifindex, INGRESS, priority, handle);
}

/** Ids of all programs on hooks of the namespace; undefined where one cannot be listed. */
async function attachedPrograms({ netns }: Place): Promise<ReadonlySet<number> | undefined> {
  const native = binding();
  const found = new Set<number>();
  for (const { ifindex } of await listPlaces(netns)) {
    for (const direction of directions) {
      const ids = await native.tcxPrograms(netns, ifindex, directionIndex(direction));
      if (!isFailure(ids)) for (const id of ids) found.add(id);
      else if (!["EINVAL", "ENODEV"].includes(errnoName(ids.errno))) return undefined;
    }
    const qdisc = await native.qdisc(netns, ifindex);
    if (!isFailure(qdisc)) for (const { programId } of qdisc.filters) found.add(programId);
    else if (errnoName(qdisc.errno) !== "ENODEV") return undefined;
  }
  return found;
}
