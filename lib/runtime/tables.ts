/**
 * The rules in the kernel: which slot is in force, which counters and sets belong to whom.
 * Every packet sees the old rules or the new ones, never a mixture.
 */
import { Direction as DirectionIndex, Limit, layout, ReplyKind } from "../compile/abi.gen.ts";
import {
  encodeRules,
  type RuleList,
  replyKinds,
  sharedPorts,
  translatedPorts,
  translates,
} from "../compile/encode.ts";
import { assertWithin, limits } from "../compile/limits.ts";
import { PortBits } from "../compile/port-bits.ts";
import { Record } from "../compile/record.ts";
import { portPrefixes, SetWriter } from "../compile/sets.ts";
import { isFailure, type NativeFailure, type NativeObject } from "../native/binding.ts";
import { errorOf, NEEDS } from "../native/failure.ts";
import { formatRule } from "../rules/format.ts";
import type { Direction, PortRange, Rule } from "../rules/types.ts";
import { encodeRulesetText } from "./ruleset-text.ts";

/** Both lists, as they are in force. */
export interface Lists {
  readonly ingress: readonly Rule[];
  readonly egress: readonly Rule[];
}

export const directions: readonly Direction[] = ["ingress", "egress"];

/** Index of a direction in the maps. */
export function directionIndex(direction: Direction): 0 | 1 {
  return direction === "ingress" ? DirectionIndex.INGRESS : DirectionIndex.EGRESS;
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

/** A rule that is the same text in the same direction keeps its counter. */
class Counters {
  readonly #byRule = new Map<string, number>();
  readonly #free: number[];

  constructor(size: number) {
    this.#free = Array.from({ length: size }, (_, index) => size - 1 - index);
  }

  /** Counters for new lists: kept where the rule stays, fresh ones elsewhere. */
  assign(lists: Lists): {
    readonly numbers: { readonly [direction in Direction]: readonly number[] };
    readonly fresh: readonly number[];
    /** Makes the assignment final, and gives back the counters of rules that have gone. */
    commit(): void;
    /** Gives the fresh counters back. */
    revert(): void;
  } {
    const next = new Map<string, number>();
    const fresh: number[] = [];
    const numbers = { ingress: [] as number[], egress: [] as number[] };
    for (const direction of directions) {
      for (const rule of lists[direction]) {
        let key = `${direction} ${formatRule(rule)}`;
        // The same rule twice in one list: the second never matches, but has its own counter.
        while (next.has(key)) key += " again";
        let number = this.#byRule.get(key);
        if (number === undefined) {
          // Twice the largest ruleset fits, so there is always one.
          number = this.#free.pop() as number;
          fresh.push(number);
        }
        next.set(key, number);
        numbers[direction].push(number);
      }
    }
    return {
      numbers,
      fresh,
      commit: () => {
        for (const [key, number] of this.#byRule) {
          if (!next.has(key)) this.#free.push(number);
        }
        this.#byRule.clear();
        for (const [key, number] of next) this.#byRule.set(key, number);
      },
      revert: () => {
        this.#free.push(...fresh);
      },
    };
  }
}

/** What replies may be at each hook under these lists, and what they may still be from before. */
function repliesOf(
  { ingress, egress }: Lists,
  before: readonly [ingress: number, egress: number],
): readonly [ingress: number, egress: number] {
  const translated = translates(ingress) || translates(egress) ? ReplyKind.REPLY_TRANSLATED : 0;
  // A rule at one hook makes replies come by at the other.
  return [
    before[0] | replyKinds(egress) | translated,
    before[1] | replyKinds(ingress) | translated,
  ];
}

/** Throws the error of a failed native call. */
export function check(result: NativeFailure | undefined, operation: string): void {
  if (isFailure(result)) throw errorOf(result, operation, NEEDS.load ?? []);
}

function numberKeys(numbers: readonly number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from(numbers).buffer);
}

const LAST_GENERATION = 2 ** 32 - 1;

export class RuleTables {
  readonly #object: NativeObject;
  /** Possible CPUs: a per-CPU value is written for all of them at once. */
  readonly #cpus: number;
  readonly #counters = new Counters(Limit.MAX_COUNTERS);
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
  #setKeys: Uint8Array = new Uint8Array(0);
  #lists: Lists = { ingress: [], egress: [] };
  #numbers: { readonly [direction in Direction]: readonly number[] } = { ingress: [], egress: [] };

  constructor(object: NativeObject, cpus: number) {
    this.#object = object;
    this.#cpus = cpus;
  }

  get lists(): Lists {
    return this.#lists;
  }

  /** Counter of each rule in force. */
  counterNumbers(direction: Direction): readonly number[] {
    return this.#numbers[direction];
  }

  /**
   * Puts new lists in force in one step. When it throws, the old ones are in force.
   * Throws LimitError, or KernelError if the kernel has no room.
   */
  async replace(lists: Lists, operation: string): Promise<void> {
    for (const direction of directions) {
      assertWithin(`${direction} rules`, limits.rules, lists[direction].length);
    }
    const counters = this.#counters.assign(lists);
    const sets = new SetWriter(this.#nextSet);
    const encoded = {
      ingress: encodeRules(lists.ingress, counters.numbers.ingress, sets),
      egress: encodeRules(lists.egress, counters.numbers.egress, sets),
    };
    for (const direction of directions) {
      const members = sharedPorts(lists[direction]).flatMap(portPrefixes);
      // No packet looks at it before the new lists are in force.
      this.#sharedPorts[this.#idleSlot * DirectionIndex.DIRECTIONS + directionIndex(direction)] =
        members.length === 0 ? 0 : sets.add(members);
    }
    const setKeys = sets.keys();
    this.#replies = repliesOf(lists, this.#replies);
    try {
      assertWithin("prefixes in sets", limits.setPrefixes, sets.count);
      const ports = directions.flatMap((direction) => translatedPorts(lists[direction]));
      await this.#prepare(encoded, setKeys, sets.count, counters.fresh, ports, operation);
      await this.#describe(lists, counters.numbers, operation);
      await this.#flip(operation);
    } catch (error) {
      counters.revert();
      // If this fails as well it costs memory until close, nothing else.
      await this.#object.remove("sets", setKeys, sets.count);
      throw error;
    }

    const oldSetKeys = this.#setKeys;
    this.#nextSet = sets.nextSet;
    this.#setKeys = setKeys;
    this.#lists = lists;
    this.#numbers = counters.numbers;
    counters.commit();
    // The new rules are in force, whatever becomes of the rest: what cannot be freed stays to close.
    if (!(await this.#waitForPackets())) return;
    await this.#object.remove("sets", oldSetKeys, oldSetKeys.length / layout.setKey.size);
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

  /** Fills everything that no packet looks at yet. */
  async #prepare(
    encoded: { readonly [direction in Direction]: RuleList },
    setKeys: Uint8Array,
    setCount: number,
    freshCounters: readonly number[],
    ports: readonly PortRange[],
    operation: string,
  ): Promise<void> {
    const object = this.#object;
    check(await object.update("sets", setKeys, new Uint8Array(setCount * 4), setCount), operation);
    const words = this.#translatedPorts.add(ports);
    check(
      await object.update(
        "translated_ports",
        numberKeys([...words.keys()]),
        new Uint8Array(BigUint64Array.from(words.values()).buffer),
        words.size,
      ),
      operation,
    );
    const zeros = new Uint8Array(freshCounters.length * layout.counter.size * this.#cpus);
    check(
      await object.update("rule_counters", numberKeys(freshCounters), zeros, freshCounters.length),
      operation,
    );
    for (const direction of directions) {
      const place = this.#idleSlot * DirectionIndex.DIRECTIONS + directionIndex(direction);
      const { bytes, count } = encoded[direction];
      check(await object.publish("rulesets", place, bytes, count), operation);
    }
  }

  /** Leaves word for later processes of what is about to be in force. */
  async #describe(
    lists: Lists,
    counters: { readonly [direction in Direction]: readonly number[] },
    operation: string,
  ): Promise<void> {
    const { bytes, count } = encodeRulesetText(lists, counters);
    check(await this.#object.publish("sfunnel_text", this.#idleSlot, bytes, count), operation);
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

  /**
   * Returns when no packet is under the old rules any more (see `rulesets` in bpf/maps.h); false
   * where the kernel did not let us wait.
   */
  async #waitForPackets(): Promise<boolean> {
    const { bytes, count } = encodeRules([], [], new SetWriter(0));
    return !isFailure(await this.#object.publish("rulesets", Limit.GRACE_PLACE, bytes, count));
  }
}
