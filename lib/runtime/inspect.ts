/**
 * What of ours is attached, whoever attached it: found on the hooks of the devices, not in any
 * file, and read from the maps that the programs carry with them.
 */
import { HookTrait, Limit, layout } from "../compile/abi.gen.ts";
import { LITTLE_ENDIAN } from "../compile/record.ts";
import { binding, isFailure } from "../native/binding.ts";
import { errnoName } from "../native/errno.ts";
import { errorOf, NEEDS } from "../native/failure.ts";
import type { Direction } from "../rules/types.ts";
import { principalOf } from "./companion.ts";
import { directionIndex, directions } from "./directions.ts";
import type { Hook } from "./hook.ts";
import { listPlaces, noSuchDevice, type Place } from "./place.ts";
import { NAMES_MAP, nameKey, nameOf, PROGRAM_NAMES } from "./predecessor.ts";
import { failed, Gone, indexKey, isGone, Maps, readArray } from "./program-maps.ts";
import { type DescribedRule, type DescribedRuleset, decodeRulesetText } from "./ruleset-text.ts";
import { type Counter, sumCounter, sumInPage } from "./stats.ts";

/** A rule and what it has matched. */
export interface InspectedRule extends Counter, Omit<DescribedRule, "counter"> {}

/** One program of ours on one hook of one device. */
export interface InspectedAttachment {
  readonly device: string;
  readonly ifindex: number;
  /** Path of the namespace; "" is the one of this process. */
  readonly netns: string;
  readonly direction: Direction;
  readonly hook: Hook;
  /** Undefined where the program does not know this device, which has moved to this namespace. */
  readonly name: string | undefined;
  /** Attachments of one program share its counters, whatever the device. */
  readonly programId: number;
  /** The same for all programs of one Funnel. */
  readonly funnelId: number;
  /** Where the filter stands; clsact only. */
  readonly filter: { readonly priority: number; readonly handle: number } | undefined;
  /** Attached for the replies to flows of the other direction alone; no rule is asked here. */
  readonly repliesOnly: boolean;
  /** Of this direction; undefined where they were loaded by a version that this one cannot read. */
  readonly rules: readonly InspectedRule[] | undefined;
  /** Packets of this direction by what became of them; undefined as `rules` is. */
  readonly outcomes: { readonly [outcome: string]: Counter } | undefined;
  /** How often what happened to the flows that are remembered for their replies. */
  readonly flows: { readonly [event: string]: number } | undefined;
}

/** What is counted under a ruleset. */
type Counted = Pick<InspectedAttachment, "rules" | "outcomes" | "flows">;

/** How often reading starts again because the rules were replaced meanwhile. */
const READS = 20;

/**
 * All attachments of sfunnel, of any name and any process, on these devices (all of them if
 * left out), by the name of the device and, on a hook, in the order in which they run.
 *
 * Throws NetnsError, DeviceError, or KernelError (SFUNNEL_PERMISSION) without CAP_SYS_ADMIN,
 * which the kernel wants for a look at programs by their id.
 */
export async function inspect(
  options: { readonly netns?: string; readonly devices?: readonly string[] } = {},
): Promise<InspectedAttachment[]> {
  const netns = options.netns ?? "";
  const places = await listPlaces(netns);
  const missing = options.devices?.find((name) => !places.some(({ device }) => device === name));
  if (missing !== undefined) {
    throw noSuchDevice(
      missing,
      netns,
      places.map(({ device }) => device),
    );
  }
  const found: InspectedAttachment[] = [];
  for (const place of places) {
    if (options.devices && !options.devices.includes(place.device)) continue;
    for (const candidate of await candidatesOn(place)) {
      const attachment = await describe(place, candidate);
      if (attachment) found.push(attachment);
    }
  }
  return found;
}

/** Takes it off its hook, whoever attached it. One that has gone meanwhile is no error. */
export async function removeAttachment(attachment: InspectedAttachment): Promise<void> {
  const { netns, ifindex, programId, filter } = attachment;
  const direction = directionIndex(attachment.direction);
  const native = binding();
  const failure = filter
    ? await native.detachClsact(netns, ifindex, direction, filter.priority, filter.handle)
    : await native.detachTcx(netns, ifindex, direction, programId);
  if (isFailure(failure) && !isGone(failure)) throw errorOf(failure, "clean", NEEDS.inspect ?? []);
}

/** A program that stands on a hook; whose, is to be found out. */
type Candidate = Pick<InspectedAttachment, "direction" | "hook" | "programId" | "filter">;

async function candidatesOn(place: Place): Promise<Candidate[]> {
  const native = binding();
  const found: Candidate[] = [];
  for (const direction of directions) {
    const ids = await native.tcxPrograms(place.netns, place.ifindex, directionIndex(direction));
    if (!isFailure(ids)) {
      for (const programId of ids) {
        found.push({ direction, hook: "tcx", programId, filter: undefined });
      }
    } else if (errnoName(ids.errno) !== "EINVAL" && !isGone(ids)) {
      // EINVAL: a kernel before 6.6, where nothing can stand on tcx.
      throw failed(ids);
    }
  }
  const qdisc = await native.qdisc(place.netns, place.ifindex);
  if (isFailure(qdisc)) {
    if (isGone(qdisc)) return found;
    throw failed(qdisc);
  }
  for (const { direction: index, kind, name, programId, priority, handle } of qdisc.filters) {
    const direction = index === 0 ? "ingress" : "egress";
    if (kind === "bpf" && name.startsWith(PROGRAM_NAMES[index])) {
      found.push({ direction, hook: "clsact", programId, filter: { priority, handle } });
    }
  }
  return found;
}

/** Undefined where the program is not ours, or has gone. */
async function describe(
  place: Place,
  candidate: Candidate,
): Promise<InspectedAttachment | undefined> {
  const { direction, programId } = candidate;
  const program = await binding().program(programId);
  if (isFailure(program)) {
    if (isGone(program)) return undefined;
    throw failed(program);
  }
  if (program.name !== PROGRAM_NAMES[directionIndex(direction)]) return undefined;
  try {
    const maps = await Maps.of(program.mapIds);
    const funnelId = maps.id(NAMES_MAP);
    if (funnelId === undefined) return undefined;
    const value = await maps.lookup(NAMES_MAP, nameKey(place, direction));
    const named = value && principalOf(nameOf(value));
    const { device, ifindex, netns } = place;
    const { rules, outcomes, flows } = await readCounted(maps, direction);
    const repliesOnly = named?.companion || (await isRepliesOnly(maps, place, direction));
    return {
      ...{ device, ifindex, netns, ...candidate, funnelId, repliesOnly, outcomes, flows },
      name: named?.name,
      rules: repliesOnly ? [] : rules,
    };
  } catch (error) {
    if (error instanceof Gone) return undefined;
    throw error;
  }
}

async function isRepliesOnly(maps: Maps, place: Place, direction: Direction): Promise<boolean> {
  const key = new Uint8Array(Uint32Array.of(place.ifindex, directionIndex(direction)).buffer);
  const traits = await maps.lookup("special_hooks", key);
  return traits !== undefined && (readU32(traits, 0) & HookTrait.HOOK_REPLIES_ONLY) !== 0;
}

async function readCounted(maps: Maps, direction: Direction): Promise<Counted> {
  for (let read = 0; read < READS; read++) {
    const text = await textInForce(maps);
    if (text === undefined) break;
    const ruleset = await readText(text);
    if (ruleset === "replaced") continue;
    if (ruleset === undefined) break;
    const counted = await readCounters(maps, ruleset, direction);
    // Counters of rules that have gone are given to others: these belong together only if
    // the same text is still in force.
    if ((await textInForce(maps)) === text) return counted;
  }
  return { rules: undefined, outcomes: undefined, flows: undefined };
}

/** The pages of the counters of rules, each read once. */
class Pages {
  readonly #maps: Maps;
  readonly #pages = new Map<number, Uint8Array | undefined>();

  constructor(maps: Maps) {
    this.#maps = maps;
  }

  async counter(number: number): Promise<Counter> {
    const page = Math.floor(number / Limit.COUNTER_PAGE);
    if (!this.#pages.has(page)) {
      const id = await this.#maps.lookup("rule_counters", indexKey(page));
      this.#pages.set(page, id && (await readArray(readU32(id, 0))));
    }
    const counters = this.#pages.get(page);
    return counters ? sumInPage(counters, number) : { packets: 0, bytes: 0 };
  }
}

async function readCounters(
  maps: Maps,
  ruleset: DescribedRuleset,
  direction: Direction,
): Promise<Counted> {
  const counterAt = async (map: string, index: number): Promise<Counter> => {
    const value = await maps.lookup(map, indexKey(index));
    return value ? sumCounter(value, 0, value.length) : { packets: 0, bytes: 0 };
  };
  const pages = new Pages(maps);
  const rules: InspectedRule[] = [];
  for (const { counter, ...rule } of ruleset[direction]) {
    rules.push({ ...rule, ...(await pages.counter(counter)) });
  }
  const first = directionIndex(direction) * ruleset.outcomes.length;
  const outcomes = await Promise.all(
    ruleset.outcomes.map(
      async (name, index) => [name, await counterAt("outcome_counters", first + index)] as const,
    ),
  );
  const flows = await Promise.all(
    ruleset.flowEvents.map(
      async (name, index) => [name, (await counterAt("flow_counters", index)).packets] as const,
    ),
  );
  return { rules, outcomes: Object.fromEntries(outcomes), flows: Object.fromEntries(flows) };
}

/** Id of the map that holds the text of the rules in force. */
async function textInForce(maps: Maps): Promise<number | undefined> {
  const control = await maps.lookup("control", indexKey(0));
  if (control === undefined) return undefined;
  const slot = readU32(control, layout.control.fields.generation.offset) % Limit.SLOTS;
  const text = await maps.lookup("sfunnel_text", indexKey(slot));
  return text && readU32(text, 0);
}

async function readText(mapId: number): Promise<DescribedRuleset | "replaced" | undefined> {
  try {
    return decodeRulesetText(await readArray(mapId));
  } catch (error) {
    if (error instanceof Gone) return "replaced";
    throw error;
  }
}

function readU32(bytes: Uint8Array, offset: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(
    offset,
    LITTLE_ENDIAN,
  );
}
