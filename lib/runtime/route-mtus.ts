/**
 * The table from which the datapath knows the MTUs of routes, kept as the kernel's routes are. The
 * program cannot ask for them itself: what it sees has left the routing behind.
 *
 * It tells interfaces apart by index alone. Where one object is attached to two of the same index,
 * in two namespaces, an address gets the smaller of its two MTUs there.
 */
import { setTimeout as wait } from "node:timers/promises";
import {
  binding,
  isFailure,
  type NativeObject,
  type NativeRoutes,
  type NativeRouteWatch,
} from "../native/binding.ts";
import { errnoName } from "../native/errno.ts";
import { errorOf, NEEDS } from "../native/failure.ts";
import type { Place } from "./place.ts";
import { registeredBy } from "./registry.ts";
import type { Lifetime } from "./return-program.ts";
import {
  cutEntries,
  type Entries,
  encodeMtus,
  encodePrefixes,
  entriesOf,
  MOST_ENTRIES,
  mergeEntries,
} from "./route-entries.ts";

const MAP = "route_mtus";

/** Of a host with a million routes that change all day, we take a tenth of one CPU's time. */
const REST_AFTER_READING = 9;

/** Routes over one interface. */
interface Followed {
  readonly place: Place;
  watch: NativeRouteWatch | undefined;
  entries: Entries;
  /** What did not even get into `entries`. */
  leftOut: number;
  reading: boolean;
  again: boolean;
}

function keyOf({ netnsInode, ifindex }: Place): string {
  return `${netnsInode} ${ifindex}`;
}

/** The entries of one object. Its calls take effect in the order in which they were made. */
export class RouteMtus {
  readonly #object: NativeObject;
  readonly #followed = new Map<string, Followed>();
  /** What the table holds; undefined where a write has failed. */
  readonly #written = new Map<string, number | undefined>();
  #last: Promise<unknown> = Promise.resolve();
  #closed = false;
  #cut = 0;
  #failures = 0;

  constructor(object: NativeObject) {
    this.#object = object;
  }

  /**
   * How many prefixes are not in the table, which takes MAX_ROUTES - 1. Those without an MTU inside
   * one that has it are left out first, then the longest.
   */
  get leftOut(): number {
    return [...this.#followed.values()].reduce((sum, { leftOut }) => sum + leftOut, this.#cut);
  }

  /** How often changes of routes could not be followed. The next change is another chance. */
  get failures(): number {
    return this.#failures;
  }

  /**
   * Enters the MTUs of the routes over an interface, before packets ask for them. With the lifetime
   * "process" they are followed from then on, until `leave` or `close`; with "device" they stay
   * as they are, unless they are followed already. When it throws, none of a new interface stays.
   */
  enter(place: Place, lifetime: Lifetime): Promise<void> {
    return this.#inTurn(async () => {
      const known = this.#followed.get(keyOf(place));
      const followed = known ?? {
        ...{ place, watch: undefined, entries: new Map(), leftOut: 0 },
        ...{ reading: false, again: false },
      };
      const follows = followed.watch !== undefined;
      try {
        if (!follows && lifetime === "process") {
          followed.watch = await open(followed.place);
          start(followed.watch, () => this.#heard(followed));
        }
        const routes = await readRoutes(followed);
        if (isFailure(routes)) throw errorOf(routes, "attach", NEEDS.attach ?? []);
        this.#followed.set(keyOf(place), followed);
        await this.#take(followed, routes, "attach");
      } catch (error) {
        if (!follows) unfollow(followed);
        if (!known) await this.#forget(followed).catch(() => undefined);
        throw error;
      }
    });
  }

  /** Takes the entries out again, unless the object is attached there. */
  leave(place: Place): Promise<void> {
    return this.#inTurn(async () => {
      const followed = this.#followed.get(keyOf(place));
      const isUsed = registeredBy(this.#object).some(
        (hooked) => keyOf(hooked.place) === keyOf(place),
      );
      if (followed && !isUsed) await this.#forget(followed);
    });
  }

  /** Follows no more changes. The entries stay, for what stays on its hook. Idempotent. */
  close(): void {
    this.#closed = true;
    for (const followed of this.#followed.values()) unfollow(followed);
  }

  async #inTurn(work: () => Promise<void>): Promise<void> {
    const result = this.#last.then(async () => {
      if (!this.#closed) await work();
    });
    this.#last = result.catch(() => undefined);
    return result;
  }

  /** Looks at the routes as often as something has happened, one look at a time. */
  async #heard(followed: Followed): Promise<void> {
    followed.again = true;
    if (followed.reading) return;
    followed.reading = true;
    while (followed.again && followed.watch) {
      followed.again = false;
      const begun = performance.now();
      await this.#inTurn(() => this.#update(followed)).catch(() => {
        this.#failures++;
      });
      await wait((performance.now() - begun) * REST_AFTER_READING, undefined, { ref: false });
    }
    followed.reading = false;
  }

  /** Reads the routes and writes what has changed. */
  async #update(followed: Followed): Promise<void> {
    if (!followed.watch) return;
    const routes = await readRoutes(followed);
    if (!isFailure(routes)) return this.#take(followed, routes, "follow routes");
    // Closed meanwhile.
    if (this.#closed || errnoName(routes.errno) === "EBADF") return;
    // The interface has gone, and its index may come back as another one's.
    if (errnoName(routes.errno) === "ENODEV") return this.#forget(followed);
    throw errorOf(routes, "follow routes", NEEDS.attach ?? []);
  }

  async #take(followed: Followed, { routes, leftOut }: NativeRoutes, operation: string) {
    followed.entries = entriesOf(followed.place.ifindex, routes);
    followed.leftOut = leftOut;
    await this.#write(operation);
  }

  async #forget(followed: Followed): Promise<void> {
    unfollow(followed);
    if (this.#followed.delete(keyOf(followed.place))) await this.#write("close");
  }

  async #write(operation: string): Promise<void> {
    const all = mergeEntries([...this.#followed.values()].map(({ entries }) => entries));
    const wanted = cutEntries(all);
    this.#cut = all.size - wanted.size;
    const changed = [...wanted].filter(([prefix, mtu]) => this.#written.get(prefix) !== mtu);
    const gone = [...this.#written.keys()].filter((prefix) => !wanted.has(prefix));
    const added = changed.filter(([prefix]) => !this.#written.has(prefix)).length;
    // New ones first, so that no packet meets neither the old nor the new; if both fit.
    if (this.#written.size + added <= MOST_ENTRIES) {
      await this.#put(changed, operation);
      await this.#remove(gone, operation);
    } else {
      await this.#remove(gone, operation);
      await this.#put(changed, operation);
    }
  }

  async #put(entries: readonly [string, number][], operation: string): Promise<void> {
    if (entries.length === 0) return;
    const prefixes = entries.map(([prefix]) => prefix);
    const values = encodeMtus(entries.map(([, mtu]) => mtu));
    for (const prefix of prefixes) this.#written.set(prefix, undefined);
    const failure = await this.#object.update(
      MAP,
      encodePrefixes(prefixes),
      values,
      prefixes.length,
    );
    if (failure) throw errorOf(failure, operation, NEEDS.load ?? []);
    for (const [prefix, mtu] of entries) this.#written.set(prefix, mtu);
  }

  async #remove(prefixes: readonly string[], operation: string): Promise<void> {
    if (prefixes.length === 0) return;
    const failure = await this.#object.remove(MAP, encodePrefixes(prefixes), prefixes.length);
    if (failure) throw errorOf(failure, operation, NEEDS.load ?? []);
    for (const prefix of prefixes) this.#written.delete(prefix);
  }
}

async function open({ netns, ifindex }: Place): Promise<NativeRouteWatch> {
  const watch = await binding().watchRoutes(netns, ifindex);
  if (isFailure(watch)) throw errorOf(watch, "attach", NEEDS.attach ?? []);
  return watch;
}

function start(watch: NativeRouteWatch, heard: () => Promise<void>): void {
  const failure = watch.start(() => void heard());
  if (failure) throw errorOf(failure, "attach", []);
}

function readRoutes({ place: { netns, ifindex }, watch }: Followed) {
  return watch ? watch.routes(MOST_ENTRIES) : binding().routes(netns, ifindex, MOST_ENTRIES);
}

function unfollow(followed: Followed): void {
  followed.watch?.close();
  followed.watch = undefined;
}
