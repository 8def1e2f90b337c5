/** Puts one program on one hook: tcx first, clsact where the kernel has no tcx. */
import { KernelError } from "../errors.ts";
import {
  binding,
  isFailure,
  type NativeAttachment,
  type NativeFailure,
  type NativeFilter,
  type NativeObject,
} from "../native/binding.ts";
import { errnoName } from "../native/errno.ts";
import { egressInTheWay } from "../native/failure.ts";
import type { Direction } from "../rules/types.ts";
import { directionIndex } from "./directions.ts";
import type { ResolvedAttachOptions } from "./options.ts";
import type { Place } from "./place.ts";
import { canInspect, filtersOf, handleOf, tcxProgramsOf } from "./predecessor.ts";
import { choosePriority } from "./priority.ts";
import { type Hook, type Hooked, registered } from "./registry.ts";

/** What is to stand where. */
export interface Task {
  readonly object: NativeObject;
  readonly place: Place;
  readonly direction: Direction;
  readonly options: ResolvedAttachOptions;
  /** What this process has attached there under the name, if anything. */
  readonly mine: Hooked | undefined;
}

/** A program on its hook, and who stood there under its name before. */
export interface Standing {
  readonly hook: Hook;
  readonly native: NativeAttachment;
  readonly predecessors: Predecessors;
}

/**
 * Who is to go. Found before the new one stood, since whoever came later has taken its place and
 * must not be touched.
 */
export interface Predecessors {
  /** Ids on tcx; those that have given way already do no harm here. */
  readonly programs: readonly number[];
  /** On clsact; none at the priority of the new one, which has taken the place of that. */
  readonly filters: readonly NativeFilter[];
}

/** How often to look again at a hook that others change at the same time. */
const LOOKS = 16;

/** The hook, or what was to give way on it, is not what it was when we looked. */
const CHANGED: ReadonlySet<string> = new Set(["ESTALE", "ENOENT", "ENOLINK"]);

/** Id of the program of this direction. */
export function programOf(object: NativeObject, direction: Direction): number {
  return object.programIds()[directionIndex(direction)];
}

/** The kernel knows no tcx: even asking what is attached there fails (before 6.6). */
export async function lacksTcx(failure: NativeFailure, place: Place, direction: Direction) {
  if (errnoName(failure.errno) !== "EINVAL") return false;
  const { netns, ifindex } = place;
  const programs = await binding().tcxPrograms(netns, ifindex, directionIndex(direction));
  return isFailure(programs) && errnoName(programs.errno) === "EINVAL";
}

/**
 * Where a program of lifetime "device" is not found again, it would run beside its successor:
 * names on tcx are read with CAP_SYS_ADMIN alone, those on clsact by anyone.
 */
async function firstChoice({ object, direction, options }: Task): Promise<Hook> {
  if (options.hook !== "auto") return options.hook;
  if (options.lifetime === "process" || (await canInspect(programOf(object, direction)))) {
    return "tcx";
  }
  return "clsact";
}

/** Throws where one of these programs may be of the name, and nobody can tell. */
function assertTellable({ place, direction, options }: Task, unknown: readonly number[]): void {
  if (options.lifetime === "process") return;
  const ours = registered(place, direction).map(({ object }) => programOf(object, direction));
  if (unknown.every((id) => ours.includes(id))) return;
  throw new KernelError(
    "SFUNNEL_PERMISSION",
    `attach: CAP_SYS_ADMIN missing: without it nobody can tell whether a program on tcx ${direction} of ${place.device} is an earlier one of the name "${options.name}"`,
    {
      operation: "attach",
      errno: "EPERM",
      hint: 'grant it, or attach with hook "clsact", where the filter itself tells',
    },
  );
}

async function standOnTcx(task: Task): Promise<Standing | NativeFailure> {
  const { object, place, direction, options, mine } = task;
  const { netns, ifindex } = place;
  const native = binding();
  const index = directionIndex(direction);
  const [first, link] = [options.order === "first", options.lifetime === "process"];
  // Taken by its handle, which needs no capability, until that turns out to be outdated.
  let own = mine?.hook === "tcx" ? mine.native : undefined;
  for (let look = 1; ; look++) {
    const revision = await native.tcxRevision(netns, ifindex, index);
    if (isFailure(revision)) return revision;
    const { ours, unknown } = await tcxProgramsOf(place, options.name, direction);
    assertTellable(task, unknown);
    const attach = (predecessor: NativeAttachment | number) =>
      object.attachTcx(netns, ifindex, index, first, link, predecessor, revision);
    const programs = ours.filter((id) => id !== programOf(object, direction));
    const filters = await filtersNamed(task);
    const predecessor = own ?? programs[0] ?? 0;
    let result = await attach(predecessor);
    if (isFailure(result) && predecessor !== 0 && errnoName(result.errno) === "EBUSY") {
      // A link and a program without one cannot take each other's place: side by side, then.
      result = await attach(0);
    }
    if (!isFailure(result)) {
      return { hook: "tcx", native: result, predecessors: { programs, filters } };
    }
    if (look === LOOKS || !CHANGED.has(errnoName(result.errno))) return result;
    own = undefined;
  }
}

/** None where there is no qdisc for them, or asking for it fails. */
async function filtersNamed({ place, direction, options }: Task): Promise<NativeFilter[]> {
  const qdisc = await binding().qdisc(place.netns, place.ifindex);
  return isFailure(qdisc) ? [] : filtersOf(qdisc.filters, options.name, direction);
}

async function standOnClsact(task: Task): Promise<Standing | NativeFailure> {
  const { object, place, direction, options, mine } = task;
  const { netns, ifindex } = place;
  const qdisc = await binding().qdisc(netns, ifindex);
  if (isFailure(qdisc)) return qdisc;
  if (qdisc.kind === "ingress" && direction === "egress") throw egressInTheWay(place.device);
  const { ours } = await tcxProgramsOf(place, options.name, direction);
  const filters = filtersOf(qdisc.filters, options.name, direction);
  const [predecessor, ...others] = filters;
  const native = await object.attachClsact(
    netns,
    ifindex,
    directionIndex(direction),
    predecessor?.priority ?? choosePriority(qdisc.filters, direction, options.order),
    handleOf(options.name),
    options.lifetime === "device",
    mine?.hook === "clsact" ? mine.native : (predecessor?.programId ?? 0),
  );
  if (isFailure(native)) return native;
  return { hook: "clsact", native, predecessors: { programs: ours, filters: others } };
}

/** The errno decides: only a kernel without tcx makes "auto" go on to clsact. */
export async function stand(task: Task): Promise<Standing | NativeFailure> {
  if ((await firstChoice(task)) === "clsact") return standOnClsact(task);
  const standing = await standOnTcx(task);
  if (
    isFailure(standing) &&
    task.options.hook === "auto" &&
    (await lacksTcx(standing, task.place, task.direction))
  ) {
    return standOnClsact(task);
  }
  return standing;
}

/** Whether it still stands there: a device may have come in the place of the one it went with. */
export async function stillStands({ object, place, direction, hook }: Hooked): Promise<boolean> {
  const native = binding();
  const index = directionIndex(direction);
  const program = programOf(object, direction);
  if (hook === "tcx") {
    const ids = await native.tcxPrograms(place.netns, place.ifindex, index);
    return !isFailure(ids) && ids.includes(program);
  }
  const qdisc = await native.qdisc(place.netns, place.ifindex);
  return (
    !isFailure(qdisc) &&
    qdisc.filters.some((filter) => filter.direction === index && filter.programId === program)
  );
}
