/**
 * The rules in the kernel: which slot is in force, which counters and sets belong to whom.
 * Every packet sees the old rules or the new ones, never a mixture.
 */
import { setImmediate } from "node:timers/promises";
import { Direction as DirectionIndex, Limit, layout, ReplyKind } from "../compile/abi.gen.ts";
import type { Consequences } from "../compile/consequences.ts";
import { assertWithin, limits } from "../compile/limits.ts";
import { PortBits } from "../compile/port-bits.ts";
import { Record } from "../compile/record.ts";
import { type NumberedSet, type Sets, SetWriter, setKeys } from "../compile/sets.ts";
import type { NativeObject } from "../native/binding.ts";
import type { Direction, Rule } from "../rules/types.ts";
import { type ByDirection, directionIndex, directions } from "./directions.ts";
import { check } from "./native-result.ts";
import { NewRuleset, SET_PART } from "./new-ruleset.ts";
import { publish } from "./published.ts";
import { type Assignment, RuleCounters } from "./rule-counters.ts";

/** Both lists, as they are in force. */
export interface Lists {
  readonly ingress: readonly Rule[];
  readonly egress: readonly Rule[];
}

/**
 * What is special about hooks: bits of HookTrait by `hookNumber`; a hook with nothing special is left
 * out.
 *
 * Interfaces are told apart by index alone, which is that of a namespace: a packet cannot name its
 * namespace before Linux 6.12. So one Funnel is not attached to two interfaces of the same index
 * that differ in this (`assertSameTraits`).
 */
export type HookTraits = ReadonlyMap<number, number>;

/** Index of an interface and direction in one number. */
export function hookNumber(ifindex: number, direction: Direction): number {
  return ifindex * DirectionIndex.DIRECTIONS + directionIndex(direction);
}

/** Key of the map `special_hooks`. */
function hookKey(hook: number): Uint8Array {
  const direction = hook % DirectionIndex.DIRECTIONS;
  return numberKeys([(hook - direction) / DirectionIndex.DIRECTIONS, direction]);
}

/** What replies may be at each hook under these lists, and what they may still be from before. */
function repliesOf(
  { ingress, egress }: ByDirection<Consequences>,
  before: readonly [ingress: number, egress: number],
): readonly [ingress: number, egress: number] {
  const translates = ingress.translates || egress.translates;
  const translated = translates ? ReplyKind.REPLY_TRANSLATED : 0;
  // A rule at one hook makes replies come by at the other.
  return [before[0] | egress.replies | translated, before[1] | ingress.replies | translated];
}

function numberKeys(numbers: readonly number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from(numbers).buffer);
}

const LAST_GENERATION = 2 ** 32 - 1;

/** Lists beyond this are not kept until the next replace. */
const WORTH_FREEING = 1024;

/** What was of rules alone that are in force no more. */
interface Gone {
  readonly counters: Assignment;
  readonly sets: readonly NumberedSet[];
}

export interface TablesOptions {
  /** Steps that a search may take in this program. */
  readonly searchSteps?: number;
}

export class RuleTables {
  readonly #object: NativeObject;
  readonly #searchSteps: number;
  readonly #counters: RuleCounters;
  /** As in bpf/abi.h: its lowest bit is the slot in force, and it is never 0. */
  #generation: number = Limit.SLOTS;
  /** What `special_hooks` holds. */
  readonly #traits = new Map<number, number>();
  /** Bits of ReplyKind by direction; once set, a bit stays, because flows outlive their rule. */
  #replies: readonly [ingress: number, egress: number] = [0, 0];
  /** As in bpf/abi.h, by slot and direction in one row. */
  readonly #sharedPorts = new Array<number>(Limit.SLOTS * DirectionIndex.DIRECTIONS).fill(0);
  /** What `translated_ports` holds: of all rules that were ever in force, as connections outlive them. */
  readonly #translatedPorts = new PortBits();
  #nextSet = 1;
  #sets: Sets = new Map();
  #lists: Lists = { ingress: [], egress: [] };
  /** Whether there are rules in force, be it none at all: packets come by from then on. */
  #inForce = false;
  /** What rules had that have gone, and under which there may still be a packet. */
  #gone: Gone[] = [];
  /** The end of what is done behind the last replace. */
  #cleaned: Promise<void> = Promise.resolve();

  constructor(object: NativeObject, cpus: number, options: TablesOptions = {}) {
    this.#object = object;
    this.#searchSteps = options.searchSteps ?? limits.searchSteps;
    this.#counters = new RuleCounters(object, cpus);
  }

  get lists(): Lists {
    return this.#lists;
  }

  /** Counter of each rule in force. */
  counterNumbers(direction: Direction): Uint32Array {
    return this.#counters.numbers(direction);
  }

  /** What each CPU has counted for each counter, page by page. */
  readCounters(operation: string): Promise<readonly Uint8Array[]> {
    return this.#counters.read(operation);
  }

  /** When nothing is left to do behind the last replace. */
  get cleaned(): Promise<void> {
    return this.#cleaned;
  }

  /** Gives back what is not the object's own. */
  close(): void {
    this.#counters.close();
  }

  /**
   * Puts new lists in force in one step. When it throws, the old ones are in force. The lists must be
   * frozen and canonical. Throws LimitError, or KernelError if the kernel has no room.
   */
  async replace(lists: Lists, operation: string): Promise<void> {
    for (const direction of directions) {
      assertWithin(`${direction} rules`, limits.rules, lists[direction].length);
    }
    await this.#cleaned;
    // Done already, unless that has failed.
    await this.#letGo(operation);
    const sets = new SetWriter(this.#nextSet, this.#sets);
    const made = new NewRuleset({
      ...{ object: this.#object, searchSteps: this.#searchSteps, counters: this.#counters },
      ...{ lists, sets, slot: this.#idleSlot, operation },
    });
    try {
      await made.make();
      await this.#tellPorts(made.consequences, operation);
      this.#replies = repliesOf(made.consequences, this.#replies);
      for (const [index, set] of made.sharedPorts.entries()) {
        // No packet looks at it before the new lists are in force.
        this.#sharedPorts[this.#idleSlot * DirectionIndex.DIRECTIONS + index] = set;
      }
      await this.#flip(operation);
    } catch (error) {
      this.#counters.revert(made.assignment);
      // If this fails as well it costs memory until close, nothing else: nobody gets these numbers again.
      await this.#removeSets(sets.fresh);
      throw error;
    } finally {
      this.#nextSet = sets.nextSet;
    }

    const [before, replaced] = [this.#lists, this.#inForce];
    this.#inForce = true;
    this.#sets = sets.used;
    this.#lists = lists;
    this.#counters.commit(made.assignment);
    // Before the first rules no packet came by.
    if (!replaced) return;
    this.#gone.push({ counters: made.assignment, sets: sets.unused });
    // The new rules are in force, whatever becomes of the rest.
    this.#cleaned = this.#cleanUp(before, operation).catch(() => undefined);
  }

  /**
   * Says what is special about which hooks, in the place of all that was said before. When it throws,
   * part of it may be said already.
   */
  async setTraits(wanted: HookTraits, operation: string): Promise<void> {
    const [object, told] = [this.#object, this.#traits];
    let changed = false;
    for (const hook of new Set([...wanted.keys(), ...told.keys()])) {
      const bits = wanted.get(hook);
      if (told.get(hook) === bits) continue;
      changed = true;
      if (bits === undefined) {
        check(await object.remove("special_hooks", hookKey(hook), 1), operation);
        told.delete(hook);
      } else {
        check(
          await object.update("special_hooks", hookKey(hook), numberKeys([bits]), 1),
          operation,
        );
        told.set(hook, bits);
      }
    }
    // What CPUs have cached was the answer of other hooks: the same rules get a new generation.
    if (changed) await this.#writeControl(this.#generation + Limit.SLOTS, operation);
  }

  /** Notes ports that rules translate. What is noted for rules that then fail costs a look, nothing else. */
  async #tellPorts(consequences: ByDirection<Consequences>, operation: string): Promise<void> {
    const ports = directions.flatMap((direction) => consequences[direction].translatedPorts);
    const words = this.#translatedPorts.changedBy(ports);
    check(
      await this.#object.update(
        "translated_ports",
        numberKeys([...words.keys()]),
        new Uint8Array(BigUint64Array.from(words.values()).buffer),
        words.size,
      ),
      operation,
    );
    this.#translatedPorts.set(words);
  }

  async #removeSets(sets: readonly NumberedSet[]): Promise<void> {
    for (const { keys, count } of setKeys(sets, SET_PART)) {
      await this.#object.remove("sets", keys, count);
      await setImmediate();
    }
  }

  /**
   * Waits until no packet is under rules that have gone, and frees what only they had. Before that, no
   * other rules may come into their slot.
   */
  async #letGo(operation: string): Promise<void> {
    if (this.#gone.length === 0) return;
    const nothing = { count: 1, bytes: new Uint8Array(layout.rule.size) };
    await publish(this.#object, "rulesets", Limit.GRACE_PLACE, [nothing], operation);
    const gone = this.#gone;
    this.#gone = [];
    for (const { counters, sets } of gone) {
      this.#counters.free(counters);
      await this.#removeSets(sets);
    }
  }

  /** Frees what only the old rules had. */
  async #cleanUp(before: Lists, operation: string): Promise<void> {
    await this.#letGo(operation);
    if (before.ingress.length + before.egress.length < WORTH_FREEING) return;
    const places = this.#idleSlot * DirectionIndex.DIRECTIONS;
    const object = this.#object;
    const nothing = { count: 1, bytes: new Uint8Array(layout.rule.size) };
    const cell = { count: 1, bytes: new Uint8Array(layout.searchTable.size) };
    const chunk = { count: 1, bytes: new Uint8Array(layout.textChunk.size) };
    await Promise.all([
      publish(object, "rulesets", places, [nothing, nothing], operation),
      publish(object, "indexes", places, [cell, cell], operation),
      publish(object, "sfunnel_text", this.#idleSlot, [chunk], operation),
    ]);
  }

  /**
   * One store puts both new lists in force. What belongs to them is written before, as the kernel does
   * not promise to write a struct in one piece.
   */
  async #flip(operation: string): Promise<void> {
    await this.#writeControl(this.#generation, operation);
    await this.#writeControl(this.#generation + 1, operation);
  }

  get #idleSlot(): number {
    return (this.#generation + 1) % Limit.SLOTS;
  }

  /** A new generation also ends what CPUs have cached of the one before. */
  async #writeControl(generation: number, operation: string): Promise<void> {
    const next =
      generation > LAST_GENERATION ? Limit.SLOTS + (generation % Limit.SLOTS) : generation;
    const control = new Uint8Array(layout.control.size);
    const { generation: inForce, replies, hasSpecialHooks, sharedPorts } = layout.control.fields;
    const record = new Record(control, 0);
    record.set(inForce, next);
    record.setWords(replies, this.#replies);
    record.set(hasSpecialHooks, Number(this.#traits.size > 0));
    record.setWords(sharedPorts, this.#sharedPorts);
    check(await this.#object.update("control", numberKeys([0]), control, 1), operation);
    this.#generation = next;
  }
}
