/** All that this thread has attached, and whose turn it is to change that. */
import type { NativeAttachment, NativeObject } from "../native/binding.ts";
import type { Direction } from "../rules/types.ts";
import type { ResolvedAttachOptions } from "./options.ts";
import type { Place } from "./place.ts";

export type Hook = "tcx" | "clsact";

/** One program on one hook of one device, and whose it is. */
export interface Hooked {
  readonly object: NativeObject;
  readonly place: Place;
  readonly direction: Direction;
  readonly hook: Hook;
  readonly options: ResolvedAttachOptions;
  readonly native: NativeAttachment;
}

/** It keeps handles reachable: what is attached stays, also when the caller drops the objects. */
const registry = new Set<Hooked>();

let last: Promise<unknown> = Promise.resolve();

/** One attach or detach at a time, whichever Funnel it is of: each looks at what the others left. */
export function inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
  const result = last.then(work);
  last = result.catch(() => undefined);
  return result;
}

/** What we have attached to this hook; it may have gone with its device, or been taken off. */
export function registered(place: Place, direction: Direction): Hooked[] {
  return [...registry].filter(
    (hooked) =>
      hooked.place.netnsInode === place.netnsInode &&
      hooked.place.ifindex === place.ifindex &&
      hooked.direction === direction,
  );
}

/** What this object is attached to, wherever. */
export function registeredBy(object: NativeObject): Hooked[] {
  return [...registry].filter((hooked) => hooked.object === object);
}

export function register(hooked: Hooked): void {
  registry.add(hooked);
}

/** Whether it was there. */
export function unregister(hooked: Hooked): boolean {
  return registry.delete(hooked);
}

/** Whether it is still what we have attached; false once replaced or closed. */
export function isHooked(hooked: Hooked): boolean {
  return registry.has(hooked);
}
