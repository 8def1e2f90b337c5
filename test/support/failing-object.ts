/** A loaded object of which one call fails, as if the kernel had refused it or had stopped half-way. */
import { constants } from "node:os";
import { layout } from "../../lib/compile/abi.gen.ts";
import type { NativeArray, NativeFailure, NativeObject } from "../../lib/native/binding.ts";

/** The calls by which rules come into the kernel. */
export type Call = "makeArray" | "write" | "place" | "update" | "remove";

/** The map that a call is about; arrays are of none, but for pages of counters. */
export interface Made {
  readonly call: Call;
  readonly map: string;
}

export interface Injection {
  readonly call: Call;
  /** Of those, counted from 1. */
  readonly nth: number;
  /** Only of those on this map. */
  readonly map?: string | undefined;
  /** The first part of what it writes is there all the same. */
  readonly halfWay?: boolean;
}

const FAILURE: NativeFailure = { errno: constants.errno.ENOMEM, step: "injected" };

export class FailingObject {
  /** In the place of the real one. */
  readonly object: NativeObject;
  #made: Made[] = [];
  #injections: readonly Injection[] = [];
  /** How often each has met its call. */
  #met: number[] = [];
  readonly #real: NativeObject;
  readonly #arrays = new WeakMap<NativeArray, NativeArray>();

  constructor(real: NativeObject) {
    this.#real = real;
    this.object = this.#standIn(real, {
      makeArray: (valueSize, count) => this.#makeArray(valueSize, count),
      place: (outer, slot, arrays) => this.#place(outer, slot, arrays),
      update: (map, keys, values, count) => this.#update(map, keys, values, count),
      remove: (map, keys, count) => this.#remove(map, keys, count),
    });
  }

  /** Forgets what was called; from here on these calls fail, once each. */
  begin(...injections: readonly Injection[]): void {
    this.#made = [];
    this.#met = injections.map(() => 0);
    this.#injections = injections;
  }

  /** From here on none fails. */
  stop(): void {
    this.#injections = [];
  }

  /** What was called since `begin`, in that order. */
  get made(): readonly Made[] {
    return this.#made;
  }

  /** Whether all calls that were to fail have come. */
  get hasFailed(): boolean {
    return this.#injections.every(({ nth }, index) => (this.#met[index] as number) >= nth);
  }

  /** How much of so many entries a call takes before it fails; undefined if it does not. */
  #takes(count: number, call: Call, map = ""): number | undefined {
    this.#made.push({ call, map });
    let taken: number | undefined;
    for (const [index, wanted] of this.#injections.entries()) {
      if (wanted.call !== call || (wanted.map ?? map) !== map) continue;
      const met = (this.#met[index] as number) + 1;
      this.#met[index] = met;
      if (met === wanted.nth) taken = wanted.halfWay ? count >> 1 : 0;
    }
    return taken;
  }

  /** An object of the addon, some of whose methods are others. */
  #standIn<Native extends object>(real: Native, methods: Partial<Native>): Native {
    return new Proxy(real, {
      get(target, name) {
        const own = methods[name as keyof Native];
        if (own !== undefined) return own;
        const value = Reflect.get(target, name, target) as unknown;
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
  }

  async #makeArray(valueSize: number, count: number) {
    const map = valueSize === layout.counter.size ? "rule_counters" : "";
    if (this.#takes(1, "makeArray", map) !== undefined) return FAILURE;
    const made = await this.#real.makeArray(valueSize, count);
    if ("errno" in made) return made;
    const standIn = this.#standIn<NativeArray>(made, {
      write: async (first, values, entries) => {
        const part = this.#takes(entries, "write", map);
        if (part === undefined) return made.write(first, values, entries);
        if (part > 0)
          await made.write(first, values.subarray(0, part * (values.length / entries)), part);
        return FAILURE;
      },
    });
    this.#arrays.set(standIn, made);
    return standIn;
  }

  async #place(outer: string, slot: number, arrays: readonly NativeArray[]) {
    const real = arrays.map((array) => this.#arrays.get(array) ?? array);
    const part = this.#takes(arrays.length, "place", outer);
    if (part === undefined) return this.#real.place(outer, slot, real);
    if (part > 0) await this.#real.place(outer, slot, real.slice(0, part));
    return FAILURE;
  }

  async #update(map: string, keys: Uint8Array, values: Uint8Array, count: number) {
    const part = this.#takes(count, "update", map);
    if (part === undefined) return this.#real.update(map, keys, values, count);
    const first = (bytes: Uint8Array) => bytes.subarray(0, part * (bytes.length / count));
    if (part > 0) await this.#real.update(map, first(keys), first(values), part);
    return FAILURE;
  }

  async #remove(map: string, keys: Uint8Array, count: number) {
    const part = this.#takes(count, "remove", map);
    if (part === undefined) return this.#real.remove(map, keys, count);
    const first = keys.subarray(0, part * (keys.length / count));
    if (part > 0) await this.#real.remove(map, first, part);
    return FAILURE;
  }
}
