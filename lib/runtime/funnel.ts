import { readFile } from "node:fs/promises";
import { assertSupported } from "../compile/supported.ts";
import { ClosedError, SfunnelError } from "../errors.ts";
import { binding, isFailure, type NativeObject, objectPath } from "../native/binding.ts";
import { errorOf, NEEDS } from "../native/failure.ts";
import { checkOptionNames } from "../rules/options.ts";
import { parseRules } from "../rules/parse.ts";
import type { Direction, Rule, Ruleset } from "../rules/types.ts";
import { normaliseRules } from "../rules/validate.ts";
import { Attachment } from "./attachment.ts";
import { type Hooked, hookOn, unhook } from "./hook.ts";
import {
  type AttachOptions,
  assertDeviceName,
  resolveAttachOptions,
  resolveDirection,
} from "./options.ts";
import { findPlace } from "./place.ts";
import { readStats, type Stats } from "./stats.ts";
import { directions, type Lists, RuleTables } from "./tables.ts";
import { type TestRunResult, testRun } from "./test-run.ts";

/** BPF_FUNC_loop, since Linux 5.17. */
const LOOP_HELPER = 181;

function resolveList(rules: unknown, direction: Direction): readonly Rule[] {
  const list = typeof rules === "string" ? parseRules(rules) : normaliseRules(rules ?? []);
  assertSupported(list, direction);
  return list;
}

/** Checks everything before anything is loaded. */
function resolveLists(ruleset: unknown, operation: string): Lists {
  checkOptionNames(operation, ruleset, directions);
  return {
    ingress: resolveList(ruleset.ingress, "ingress"),
    egress: resolveList(ruleset.egress, "egress"),
  };
}

async function loadObject(): Promise<NativeObject> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(objectPath);
  } catch (cause) {
    throw new SfunnelError("SFUNNEL_ADDON", `load: the BPF program is missing (${objectPath})`, {
      operation: "load",
      hint: "in a checkout, build it with: npm run build",
      cause,
    });
  }
  const native = binding();
  let object = await native.load(bytes, {}, { has_loop_helper: 1 });
  if (isFailure(object) && (await native.hasHelper(LOOP_HELPER)) === false) {
    object = await native.load(bytes, {}, { has_loop_helper: 0 });
  }
  if (isFailure(object)) throw errorOf(object, "load", NEEDS.load ?? []);
  return object;
}

function throwIfAborted(signal: AbortSignal | undefined): void {
  if (!signal?.aborted) return;
  throw new SfunnelError("SFUNNEL_ABORTED", "attach: aborted", {
    operation: "attach",
    cause: signal.reason,
  });
}

/**
 * Rules in the kernel, and what they are attached to.
 *
 * Owns the loaded programs; `close()` gives everything back. Calls on one Funnel take effect
 * in the order in which they were made.
 */
export class Funnel implements AsyncDisposable {
  readonly #object: NativeObject;
  readonly #tables: RuleTables;
  readonly #attachments = new Set<Attachment>();
  /** Calls that change something wait for the one before. */
  #last: Promise<unknown> = Promise.resolve();
  #closing: Promise<void> | undefined;

  private constructor(object: NativeObject) {
    this.#object = object;
    this.#tables = new RuleTables(object, binding().possibleCpus);
  }

  /**
   * Loads the program with these rules, as data or as text; a direction that is left out has
   * none. Nothing is attached yet.
   *
   * Throws RuleError for a bad rule, NotSupportedError for one that the datapath cannot do
   * yet, LimitError for too many, KernelError with SFUNNEL_PERMISSION without CAP_BPF and
   * CAP_NET_ADMIN and with SFUNNEL_KERNEL (and `verifierLog`) if the kernel refuses the program.
   */
  static async load(ruleset: FunnelRuleset): Promise<Funnel> {
    const lists = resolveLists(ruleset, "load");
    const object = await loadObject();
    const funnel = new Funnel(object);
    try {
      await funnel.#tables.replace(lists, "load");
    } catch (error) {
      object.close();
      throw error;
    }
    return funnel;
  }

  /** The rules in force. */
  get rules(): Required<Ruleset> {
    return this.#tables.lists;
  }

  /**
   * Attaches to an interface, by default to both of its hooks. When it throws, nothing is
   * attached that was not before.
   *
   * Throws OptionError, NetnsError, DeviceError, or KernelError (SFUNNEL_PERMISSION without
   * CAP_NET_ADMIN, or CAP_SYS_ADMIN to enter another namespace).
   */
  async attach(device: string, options: AttachOptions = {}): Promise<Attachment> {
    assertDeviceName(device);
    const resolved = resolveAttachOptions(options);
    return this.#inTurn("attach", async () => {
      throwIfAborted(resolved.signal);
      const place = await findPlace(device, resolved.netns);
      const wanted = directions.filter(
        (direction) => resolved.direction === "both" || resolved.direction === direction,
      );
      const hooked: Hooked[] = [];
      try {
        for (const direction of wanted) {
          throwIfAborted(resolved.signal);
          hooked.push(await hookOn(this.#object, place, direction, resolved));
        }
        throwIfAborted(resolved.signal);
      } catch (error) {
        await Promise.allSettled(hooked.map(unhook));
        throw error;
      }
      const attachment = new Attachment(hooked as [Hooked, ...Hooked[]]);
      for (const old of this.#attachments) {
        if (!old.attached) this.#attachments.delete(old);
      }
      this.#attachments.add(attachment);
      return attachment;
    });
  }

  /**
   * Puts both lists in force in one step, under traffic: every packet sees the old rules or
   * the new ones. A direction that is left out has no rules afterwards. A rule that stays the
   * same keeps its counters. When it throws (as `load` does) the old rules stay.
   */
  async replace(ruleset: FunnelRuleset): Promise<void> {
    const lists = resolveLists(ruleset, "replace");
    return this.#inTurn("replace", () => this.#tables.replace(lists, "replace"));
  }

  /** Packets and bytes per rule and per outcome, in both directions. */
  async stats(): Promise<Stats> {
    return this.#inTurn("stats", async () => {
      const [ingress, egress] = await Promise.all(
        directions.map((direction) => readStats(this.#object, this.#tables, direction)),
      );
      return { ingress, egress } as Stats;
    });
  }

  /**
   * Runs one Ethernet frame through the program in the kernel (BPF_PROG_TEST_RUN), attached
   * or not. It counts in `stats()` as any packet does, and goes nowhere.
   *
   * Throws SfunnelError (SFUNNEL_FRAME) for fewer than 14 bytes, or more than the kernel takes.
   */
  async testRun(
    frame: Uint8Array,
    options: { readonly direction: Direction },
  ): Promise<TestRunResult> {
    const direction = resolveDirection(options, "testRun");
    if (this.#closing) throw new ClosedError("Funnel", "testRun");
    return testRun(this.#object, frame, direction);
  }

  /**
   * Detaches what was attached with the lifetime "process", and frees the programs. What was
   * attached with the lifetime "device" goes on. Idempotent.
   */
  close(): Promise<void> {
    this.#closing ??= this.#last.then(async () => {
      const results = await Promise.allSettled(
        [...this.#attachments].map(async (attachment) => {
          if (attachment.lifetime === "device") attachment.release();
          else await attachment.close();
        }),
      );
      this.#object.close();
      const failed = results.find((result) => result.status === "rejected");
      if (failed) throw failed.reason;
    });
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #inTurn<Result>(operation: string, work: () => Promise<Result>): Promise<Result> {
    if (this.#closing) throw new ClosedError("Funnel", operation);
    const result = this.#last.then(work);
    this.#last = result.catch(() => undefined);
    return result;
  }
}

/** Rules of both directions, as data or as text. */
export interface FunnelRuleset {
  readonly ingress?: readonly Rule[] | string;
  readonly egress?: readonly Rule[] | string;
}
