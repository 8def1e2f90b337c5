import { ClosedError } from "../errors.ts";
import { binding, type NativeObject } from "../native/binding.ts";
import { checkOptionNames } from "../rules/options.ts";
import { parseRulesInSlices } from "../rules/parse.ts";
import type { Sliced } from "../rules/sliced.ts";
import type { Rule, Ruleset } from "../rules/types.ts";
import { normaliseRulesInSlices } from "../rules/validate.ts";
import { Attachment } from "./attachment.ts";
import { directions } from "./directions.ts";
import { assertSameTraits, type Hooked, hookAll, throwIfAborted } from "./hook.ts";
import { type Hooking, traitsOf } from "./hook-traits.ts";
import { inSlices } from "./in-slices.ts";
import { assertReadable } from "./link-type.ts";
import {
  type AttachOptions,
  assertDeviceName,
  type LoadOptions,
  resolveAttachOptions,
  resolveLoadOptions,
  resolveTestRunOptions,
  type TestRunOptions,
} from "./options.ts";
import { findPlace, type Place } from "./place.ts";
import { type LoadedProgram, loadProgram } from "./program.ts";
import { registeredBy } from "./registry.ts";
import { RouteMtus } from "./route-mtus.ts";
import { segmenterStats, withSegmenter } from "./segmenter.ts";
import { readConnectionStats, readFlowStats, readStats, readStrays, type Stats } from "./stats.ts";
import { type Lists, RuleTables } from "./tables.ts";
import { type TestRunResult, testRun } from "./test-run.ts";

function resolveList(rules: unknown): Sliced<readonly Rule[]> {
  return typeof rules === "string"
    ? parseRulesInSlices(rules)
    : normaliseRulesInSlices(rules ?? []);
}

/** Checks everything before anything is loaded. Arrays are copied at once, the rest takes its time. */
async function resolveLists(ruleset: unknown, operation: string): Promise<Lists> {
  checkOptionNames(operation, ruleset, directions);
  const [ingress, egress] = [resolveList(ruleset.ingress), resolveList(ruleset.egress)];
  return { ingress: await inSlices(ingress), egress: await inSlices(egress) };
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
  readonly #routes: RouteMtus;
  readonly #attachments = new Set<Attachment>();
  /** Calls that change something wait for the one before. */
  #last: Promise<unknown> = Promise.resolve();
  #closing: Promise<void> | undefined;

  /** Capacities of the tables of flows and connections. */
  readonly #flows: number;
  readonly #connections: number;

  /** Whether the program has to be told the MTUs of interfaces. */
  readonly #tellsMtu: boolean;

  private constructor(
    { object, asksMtu, searchSteps }: LoadedProgram,
    { flows, connections }: Required<LoadOptions>,
  ) {
    this.#flows = flows;
    this.#connections = connections;
    this.#tellsMtu = !asksMtu;
    this.#object = object;
    this.#tables = new RuleTables(object, binding().cpuNumbers, { searchSteps });
    this.#routes = new RouteMtus(object);
  }

  /**
   * Loads the program with these rules, as data or as text; a direction that is left out has
   * none. Nothing is attached yet.
   *
   * Throws OptionError, RuleError for a bad rule, LimitError for too many, KernelError with
   * SFUNNEL_PERMISSION without CAP_BPF and CAP_NET_ADMIN and with SFUNNEL_KERNEL (and `verifierLog`)
   * if the kernel refuses the program.
   */
  static async load(ruleset: FunnelRuleset, options: LoadOptions = {}): Promise<Funnel> {
    const lists = await resolveLists(ruleset, "load");
    const resolved = resolveLoadOptions(options);
    const program = await loadProgram(resolved);
    const { object } = program;
    const funnel = new Funnel(program, resolved);
    try {
      await funnel.#tables.replace(lists, "load");
    } catch (error) {
      funnel.#tables.close();
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
   * Attaches to both hooks of an interface; `direction` says at which of them rules are asked,
   * the other one then sees to replies alone. When it throws, all is as it was.
   *
   * In each network namespace there is a pair of interfaces of ours, `sfunnel.seg` and
   * `sfunnel.ret`, in which the kernel cuts large packets into segments before they get their
   * carriers. It is made here, kept as it has to be while this process lives, and goes with the
   * last attachment in the namespace; what a killed process leaves of it goes with the next
   * attach or close there.
   *
   * Throws OptionError, NetnsError, DeviceError, SfunnelError (SFUNNEL_NOT_SUPPORTED) for an
   * interface whose packets begin with neither an Ethernet nor an IP header, or KernelError
   * (SFUNNEL_PERMISSION without CAP_NET_ADMIN, or CAP_SYS_ADMIN to enter another namespace; SFUNNEL_KERNEL on a kernel without
   * veth, whatever the rules are, since `replace` may bring one that funnels).
   */
  async attach(device: string, options: AttachOptions = {}): Promise<Attachment> {
    assertDeviceName(device);
    const resolved = resolveAttachOptions(options);
    return this.#inTurn("attach", async () => {
      throwIfAborted(resolved.signal);
      const place = await findPlace(device, resolved.netns);
      assertReadable(place);
      assertSameTraits(this.#object, place, resolved);
      let hooked: Hooked[];
      try {
        // Before it is attached: the first packet is read as they say.
        const hooks = directions.map((direction) => ({ place, direction, options: resolved }));
        await this.#setTraits([...registeredBy(this.#object), ...hooks], "attach");
        await this.#routes.enter(place, resolved.lifetime);
        hooked = await withSegmenter(
          this.#object,
          place,
          resolved.lifetime,
          () => hookAll(this.#object, place, directions, resolved),
          () => throwIfAborted(resolved.signal),
        );
      } catch (error) {
        await Promise.allSettled([this.#routes.leave(place), this.#forgetTraits("attach")]);
        throw error;
      }
      const attachment = new Attachment(hooked, resolved, {
        leave: (left) => this.#leave(left),
      });
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
    // It may have failed long before it is its turn.
    lists.catch(() => undefined);
    return this.#inTurn("replace", async () => this.#tables.replace(await lists, "replace"));
  }

  /** Packets and bytes per rule and per outcome, in both directions. */
  async stats(): Promise<Stats> {
    return this.#inTurn("stats", async () => {
      const [{ ingress, egress }, flows, connections, segmenter, strays] = await Promise.all([
        readStats(this.#object, this.#tables),
        readFlowStats(this.#object, this.#flows),
        readConnectionStats(this.#object, this.#connections),
        segmenterStats(this.#object),
        readStrays(this.#object),
      ]);
      return { ingress, egress, flows, connections, segmenter: { ...segmenter, strays } };
    });
  }

  /**
   * Runs one Ethernet frame through the program in the kernel (BPF_PROG_TEST_RUN), attached
   * or not. It counts in `stats()` as any packet does, and goes nowhere. What is answered to a
   * frame that is too big is the `frame` of the result.
   *
   * Throws SfunnelError (SFUNNEL_FRAME) for fewer than 14 bytes, or more than the kernel takes,
   * and what `attach` throws for an interface or namespace that is not there.
   */
  async testRun(frame: Uint8Array, options: TestRunOptions): Promise<TestRunResult> {
    const { direction, device, netns } = resolveTestRunOptions(options);
    if (this.#closing) throw new ClosedError("Funnel", "testRun");
    const place = device === undefined ? undefined : await findPlace(device, netns, "testRun");
    return testRun(this.#object, frame, direction, place);
  }

  /**
   * Detaches what was attached with the lifetime "process", and frees the programs. What was
   * attached with the lifetime "device" goes on. Idempotent.
   */
  close(): Promise<void> {
    this.#closing ??= this.#last.then(async () => {
      const results = await Promise.allSettled(
        [...this.#attachments].map(async (attachment) => {
          if (attachment.lifetime === "device") await attachment.release();
          else await attachment.close();
        }),
      );
      await this.#tables.cleaned;
      this.#tables.close();
      this.#routes.close();
      this.#object.close();
      const failed = results.find((result) => result.status === "rejected");
      if (failed) throw failed.reason;
    });
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** After something was taken off its hooks: nothing about them stays in the maps. */
  #leave(place: Place): Promise<void> {
    const result = this.#last.then(async () => {
      // Then all of it goes, or it is for what stays on its hook.
      if (this.#closing) return;
      const results = await Promise.allSettled([
        this.#routes.leave(place),
        this.#forgetTraits("close"),
      ]);
      const failed = results.find((each) => each.status === "rejected");
      if (failed) throw failed.reason;
    });
    this.#last = result.catch(() => undefined);
    return result;
  }

  #setTraits(hooks: readonly Hooking[], operation: string): Promise<void> {
    return this.#tables.setTraits(traitsOf(hooks, this.#tellsMtu), operation);
  }

  /** Of all but what is attached. */
  #forgetTraits(operation: string): Promise<void> {
    return this.#setTraits(registeredBy(this.#object), operation);
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
