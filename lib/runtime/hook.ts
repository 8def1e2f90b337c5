/** Programs on the hooks of one device: all that are wanted, or as it was before. */
import { Limit } from "../compile/abi.gen.ts";
import { SfunnelError } from "../errors.ts";
import { binding, isFailure, type NativeFailure, type NativeObject } from "../native/binding.ts";
import { errnoName } from "../native/errno.ts";
import { egressInTheWay, errorOf, NEEDS } from "../native/failure.ts";
import type { Direction } from "../rules/types.ts";
import { companionOf } from "./companion.ts";
import { directionIndex, directions } from "./directions.ts";
import { isWithoutEthernet } from "./link-type.ts";
import type { ResolvedAttachOptions } from "./options.ts";
import type { Place } from "./place.ts";
import { filtersOf, nameKey, nameValue, tcxProgramsOf } from "./predecessor.ts";
import { type Hooked, inTurn, register, registered, registeredBy, unregister } from "./registry.ts";
import { type Predecessors, type Standing, stand, stillStands } from "./stand.ts";

export type { Hook, Hooked } from "./registry.ts";

/** Throws SfunnelError (SFUNNEL_ABORTED) once the caller's signal has fired. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (!signal?.aborted) return;
  throw new SfunnelError("SFUNNEL_ABORTED", "attach: aborted", {
    operation: "attach",
    cause: signal.reason,
  });
}

/**
 * The program tells interfaces apart by index, and every namespace counts its own: throws where
 * this Funnel stands on one of the same index elsewhere, for other directions or with packets that
 * begin otherwise.
 */
export function assertSameTraits(
  object: NativeObject,
  place: Place,
  { direction }: ResolvedAttachOptions,
): void {
  const others = registeredBy(object).filter(
    (hooked) =>
      hooked.place.ifindex === place.ifindex && hooked.place.netnsInode !== place.netnsInode,
  );
  for (const other of others) {
    const where = `${other.place.device} of another namespace, which has the same index as ${place.device} (${place.ifindex})`;
    if (other.options.direction !== direction) {
      throw twoOfOneIndex(
        `for direction "${other.options.direction}" to ${where}`,
        "load another Funnel for the other direction",
      );
    }
    if (isWithoutEthernet(other.place) !== isWithoutEthernet(place)) {
      throw twoOfOneIndex(
        `to ${where}, but only one of the two has an Ethernet header on its packets`,
        "load another Funnel for the other interface",
      );
    }
  }
}

function twoOfOneIndex(how: string, hint: string): SfunnelError {
  return new SfunnelError("SFUNNEL_OPTION", `attach: this Funnel is attached ${how}`, {
    operation: "attach",
    hint,
  });
}

/** Takes the program off its hook. Nothing happens if it was replaced or closed before. */
export function unhook(hooked: Hooked): Promise<void> {
  return inTurn(() => takeOff(hooked));
}

/** Leaves the program on its hook and forgets it. */
export function release(hooked: Hooked): void {
  if (unregister(hooked)) hooked.native.release();
}

async function takeOff(hooked: Hooked): Promise<void> {
  if (!unregister(hooked)) return;
  const failure = await hooked.native.detach();
  await forgetName(hooked);
  if (isFailure(failure)) throw errorOf(failure, "close", NEEDS.attach ?? []);
}

/** Takes the name out of the object's map, unless it stands there on another hook. */
async function forgetName({
  object,
  place,
  direction,
}: Pick<Hooked, "object" | "place" | "direction">): Promise<void> {
  if (registered(place, direction).some((other) => other.object === object)) return;
  await object.remove("sfunnel_names", nameKey(place, direction), 1);
}

/** One step of an attach, until all of them are done. */
type Step =
  /** It stands there already. */
  | { readonly kept: Hooked; readonly hooked: Hooked }
  | {
      readonly kept?: never;
      readonly hooked: Hooked;
      readonly mine: Hooked | undefined;
      readonly predecessors: Predecessors;
    };

function alreadyThere({ place, direction }: Hooked, how: string): SfunnelError {
  return new SfunnelError(
    "SFUNNEL_OPTION",
    `attach: this Funnel is attached to ${direction} of ${place.device} already, ${how}`,
    {
      operation: "attach",
      hint: "close that attachment first, attach both directions at once, or load another Funnel",
    },
  );
}

/**
 * What this process has there under the name. Throws where the object stands there in a way that
 * cannot change in one step: the kernel takes a program once on a hook.
 */
async function findMine(
  object: NativeObject,
  place: Place,
  direction: Direction,
  options: ResolvedAttachOptions,
): Promise<{ readonly mine: Hooked | undefined; readonly kept: boolean }> {
  let mine: Hooked | undefined;
  for (const hooked of registered(place, direction)) {
    const { name, lifetime } = hooked.options;
    if (hooked.object !== object && name !== options.name) continue;
    if (!(await stillStands(hooked))) {
      await takeOff(hooked);
      continue;
    }
    if (hooked.object === object && name !== options.name) {
      throw alreadyThere(hooked, `as "${name}"`);
    }
    const sameHook = options.hook === "auto" || options.hook === hooked.hook;
    if (hooked.object === object && sameHook && lifetime !== options.lifetime) {
      throw alreadyThere(hooked, `with lifetime "${lifetime}"`);
    }
    mine = hooked;
    if (hooked.object === object && sameHook) return { mine, kept: true };
  }
  return { mine, kept: false };
}

async function hookOn(
  object: NativeObject,
  place: Place,
  direction: Direction,
  options: ResolvedAttachOptions,
): Promise<Step> {
  const { mine, kept } = await findMine(object, place, direction, options);
  if (mine && kept) return { kept: mine, hooked: { ...mine, options } };
  const named = await object.update(
    "sfunnel_names",
    nameKey(place, direction),
    nameValue(options.name),
    1,
  );
  if (isFailure(named)) throw nameError(named);
  let standing: Standing | NativeFailure | undefined;
  try {
    standing = await stand({ object, place, direction, options, mine });
    if (isFailure(standing)) throw errorOf(standing, "attach", NEEDS.attach ?? []);
    const { hook, native, predecessors } = standing;
    return { hooked: { object, place, direction, hook, options, native }, mine, predecessors };
  } catch (error) {
    await forgetName({ object, place, direction });
    throw error;
  }
}

function nameError(failure: NativeFailure): SfunnelError {
  if (errnoName(failure.errno) !== "E2BIG") return errorOf(failure, "attach", NEEDS.load ?? []);
  return new SfunnelError(
    "SFUNNEL_LIMIT",
    `attach: this Funnel is attached to as many hooks as it takes (${Limit.MAX_ATTACHMENTS})`,
    { operation: "attach", hint: "close attachments, or load another Funnel" },
  );
}

/** Removes these programs from tcx, and these filters from clsact. */
async function remove(
  { netns, ifindex }: Place,
  direction: Direction,
  { programs, filters }: Predecessors,
): Promise<void> {
  const native = binding();
  const index = directionIndex(direction);
  const failures: (NativeFailure | undefined)[] = [];
  for (const id of programs) failures.push(await native.detachTcx(netns, ifindex, index, id));
  for (const { priority, handle } of filters) {
    failures.push(await native.detachClsact(netns, ifindex, index, priority, handle));
  }
  for (const failure of failures) {
    if (failure && !["ENOENT", "ENODEV"].includes(errnoName(failure.errno))) {
      throw errorOf(failure, "attach", NEEDS.inspect ?? []);
    }
  }
}

/** From here on there is no way back to what was there before. */
async function finish(step: Step): Promise<void> {
  if (step.kept) return;
  const { hooked, mine, predecessors } = step;
  await remove(hooked.place, hooked.direction, predecessors);
  hooked.native.settle();
  register(hooked);
  if (mine) await takeOff(mine);
}

async function undo(step: Step): Promise<void> {
  if (step.kept) return;
  const { hooked } = step;
  unregister(hooked);
  if (isFailure(await hooked.native.revert())) {
    // No way back: at least nothing of the new one stays.
    hooked.native.settle();
    await hooked.native.detach();
  }
  await forgetName(hooked);
}

/** At a hook whose rules are not wanted, what is attached sees to replies alone. */
function nameAt(hook: Direction, { direction, name }: ResolvedAttachOptions): string {
  return direction === "both" || direction === hook ? name : companionOf(name);
}

/** An attachment for both directions takes the place of those for one, and of their companions. */
async function retireCompanions(place: Place, options: ResolvedAttachOptions): Promise<void> {
  if (options.direction !== "both") return;
  const name = companionOf(options.name);
  for (const direction of directions) {
    for (const hooked of registered(place, direction)) {
      if (hooked.options.name === name) await takeOff(hooked);
    }
    const { ours } = await tcxProgramsOf(place, name, direction);
    const qdisc = await binding().qdisc(place.netns, place.ifindex);
    const filters = isFailure(qdisc) ? [] : filtersOf(qdisc.filters, name, direction);
    await remove(place, direction, { programs: ours, filters });
  }
}

/**
 * Attaches to all these hooks. What has the same name there gives way, wherever the kernel can do
 * that in one step, without a packet that meets both or neither. When it throws, all is as it was.
 */
export function hookAll(
  object: NativeObject,
  place: Place,
  wanted: readonly Direction[],
  options: ResolvedAttachOptions,
): Promise<Hooked[]> {
  return inTurn(async () => {
    if (options.hook === "clsact" && wanted.includes("egress")) await assertEgressFits(place);
    const steps: Step[] = [];
    try {
      for (const direction of wanted) {
        throwIfAborted(options.signal);
        const name = nameAt(direction, options);
        steps.push(await hookOn(object, place, direction, { ...options, name }));
      }
      throwIfAborted(options.signal);
      for (const step of steps) await finish(step);
      await retireCompanions(place, options);
    } catch (error) {
      for (const step of steps.reverse()) await undo(step);
      throw error;
    }
    for (const { kept, hooked } of steps) {
      if (!kept) continue;
      unregister(kept);
      register(hooked);
    }
    return steps.map(({ hooked }) => hooked);
  });
}

/** Before anything is changed: a filter for egress on the qdisc "ingress" runs at ingress. */
async function assertEgressFits(place: Place): Promise<void> {
  const qdisc = await binding().qdisc(place.netns, place.ifindex);
  if (!isFailure(qdisc) && qdisc.kind === "ingress") throw egressInTheWay(place.device);
}
