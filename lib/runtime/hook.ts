/** One program on one hook of one device: tcx first, clsact where the kernel has no tcx. */
import { SfunnelError } from "../errors.ts";
import {
  binding,
  isFailure,
  type NativeAttachment,
  type NativeFailure,
  type NativeObject,
} from "../native/binding.ts";
import { errnoName } from "../native/errno.ts";
import { errorOf, NEEDS } from "../native/failure.ts";
import type { Direction } from "../rules/types.ts";
import type { ResolvedAttachOptions } from "./options.ts";
import type { Place } from "./place.ts";
import { filtersOf, handleOf, nameKey, nameValue, tcxProgramsOf } from "./predecessor.ts";
import { choosePriority } from "./priority.ts";
import { directionIndex } from "./tables.ts";

export type Hook = "tcx" | "clsact";

/** What stands on a hook, and whose it is. */
export interface Hooked {
  readonly object: NativeObject;
  readonly place: Place;
  readonly direction: Direction;
  readonly hook: Hook;
  readonly options: ResolvedAttachOptions;
  readonly native: NativeAttachment;
}

/**
 * All that this process has attached. It keeps handles reachable: what is attached stays until
 * it is closed, also when the caller lets go of the objects.
 */
const registry = new Set<Hooked>();

function registered(place: Place, direction: Direction): Hooked[] {
  return [...registry].filter(
    (hooked) =>
      hooked.place.netnsInode === place.netnsInode &&
      hooked.place.ifindex === place.ifindex &&
      hooked.direction === direction,
  );
}

/** Whether this is still what stands on the hook; false once replaced or closed. */
export function isHooked(hooked: Hooked): boolean {
  return registry.has(hooked);
}

/** Takes the program off its hook. Nothing happens if it was replaced or closed before. */
export async function unhook(hooked: Hooked): Promise<void> {
  if (!registry.delete(hooked)) return;
  const failure = await hooked.native.detach();
  await hooked.object.remove("sfunnel_names", nameKey(hooked.place, hooked.direction), 1);
  if (isFailure(failure)) throw errorOf(failure, "close", NEEDS.attach ?? []);
}

/** Leaves the program on its hook and forgets it. */
export function release(hooked: Hooked): void {
  if (registry.delete(hooked)) hooked.native.release();
}

/** The kernel knows no tcx: even asking what is attached there fails (before 6.6). */
export async function lacksTcx(failure: NativeFailure, place: Place, direction: Direction) {
  if (errnoName(failure.errno) !== "EINVAL") return false;
  const programs = await binding().tcxPrograms(
    place.netns,
    place.ifindex,
    directionIndex(direction),
  );
  return isFailure(programs) && errnoName(programs.errno) === "EINVAL";
}

async function attachTcx(
  object: NativeObject,
  place: Place,
  direction: Direction,
  options: ResolvedAttachOptions,
): Promise<NativeAttachment | NativeFailure> {
  const attach = (link: boolean, replace: number) =>
    object.attachTcx(
      place.netns,
      place.ifindex,
      directionIndex(direction),
      options.order === "first",
      link,
      replace,
    );
  if (options.lifetime === "process") return attach(true, 0);
  const [predecessor] = await tcxProgramsOf(place, options.name, direction);
  if (predecessor !== undefined) {
    const replaced = await attach(false, predecessor);
    if (!isFailure(replaced)) return replaced;
    // It is held by a link, which gives way only after we stand beside it.
  }
  return attach(false, 0);
}

async function attachClsact(
  object: NativeObject,
  place: Place,
  direction: Direction,
  options: ResolvedAttachOptions,
): Promise<NativeAttachment | NativeFailure> {
  const qdisc = await binding().qdisc(place.netns, place.ifindex);
  if (isFailure(qdisc)) return qdisc;
  const [predecessor] = filtersOf(qdisc.filters, options.name, direction);
  return object.attachClsact(
    place.netns,
    place.ifindex,
    directionIndex(direction),
    predecessor?.priority ?? choosePriority(qdisc.filters, direction, options.order),
    handleOf(options.name),
    options.lifetime === "device",
  );
}

/** Throws unless the hook is free for this program under this name. */
function assertOneName(
  object: NativeObject,
  place: Place,
  direction: Direction,
  options: ResolvedAttachOptions,
): void {
  const other = registered(place, direction).find(
    (hooked) => hooked.object === object && hooked.options.name !== options.name,
  );
  if (!other) return;
  throw new SfunnelError(
    "SFUNNEL_OPTION",
    `attach: this Funnel is attached to ${direction} of ${place.device} already, as "${other.options.name}"`,
    { operation: "attach", hint: "close that attachment first, or load another Funnel" },
  );
}

/** Removes what an earlier attachment of this name left, now that the new one stands. */
async function retire(
  place: Place,
  direction: Direction,
  options: ResolvedAttachOptions,
  hook: Hook,
  programIds: readonly number[],
): Promise<void> {
  const native = binding();
  const index = directionIndex(direction);
  for (const id of programIds) {
    await native.detachTcx(place.netns, place.ifindex, index, id);
  }
  // On clsact the new filter has taken the place of the old one.
  if (hook === "clsact") return;
  const qdisc = await native.qdisc(place.netns, place.ifindex);
  if (isFailure(qdisc)) return;
  for (const { priority, handle } of filtersOf(qdisc.filters, options.name, direction)) {
    await native.detachClsact(place.netns, place.ifindex, index, priority, handle);
  }
}

/** Attaches one program; one of the same name gives way when the new one stands. */
export async function hookOn(
  object: NativeObject,
  place: Place,
  direction: Direction,
  options: ResolvedAttachOptions,
): Promise<Hooked> {
  assertOneName(object, place, direction, options);
  const mine = registered(place, direction).find(({ options: { name } }) => name === options.name);
  if (mine?.object === object) {
    const same =
      (options.hook === "auto" || options.hook === mine.hook) &&
      options.lifetime === mine.options.lifetime &&
      options.order === mine.options.order;
    if (same) {
      const taken: Hooked = { ...mine, options };
      registry.delete(mine);
      registry.add(taken);
      return taken;
    }
    // The kernel does not take the same program twice on one hook, so the old one goes first.
    await unhook(mine);
  }

  const key = nameKey(place, direction);
  const [ownIngress, ownEgress] = object.programIds();
  const own = direction === "ingress" ? ownIngress : ownEgress;
  const before = (await tcxProgramsOf(place, options.name, direction)).filter((id) => id !== own);
  const named = await object.update("sfunnel_names", key, nameValue(options.name), 1);
  if (isFailure(named)) throw errorOf(named, "attach", NEEDS.load ?? []);

  let hook: Hook = options.hook === "clsact" ? "clsact" : "tcx";
  let native =
    hook === "tcx"
      ? await attachTcx(object, place, direction, options)
      : await attachClsact(object, place, direction, options);
  if (isFailure(native) && options.hook === "auto" && (await lacksTcx(native, place, direction))) {
    hook = "clsact";
    native = await attachClsact(object, place, direction, options);
  }
  if (isFailure(native)) {
    await object.remove("sfunnel_names", key, 1);
    throw errorOf(native, "attach", NEEDS.attach ?? []);
  }

  const hooked: Hooked = { object, place, direction, hook, options, native };
  registry.add(hooked);
  await retire(place, direction, options, hook, before);
  if (mine && mine.object !== object) await unhook(mine);
  return hooked;
}
