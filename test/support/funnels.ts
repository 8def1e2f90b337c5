/** What the tests of attached Funnels share. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { type Attachment, Funnel, type FunnelRuleset } from "../../lib/index.ts";
import { binding } from "../../lib/native/binding.ts";
import { EGRESS, INGRESS, must } from "./native.ts";
import type { TestNetns } from "./netns.ts";

/** The client side: a flow in a carrier of its own protocol, which its own rule would match too. */
export const CLIENT_RULES: FunnelRuleset = {
  egress: "udp actions funnel udp dport 179 sport 540",
};

export const SERVER_RULES: FunnelRuleset = {
  ingress: "udp dport 179 sport 540 actions unfunnel udp allow 2055",
};

const funnels = new Set<Funnel>();
const children = new Set<ChildProcess>();

/** Closed by {@link closeFunnels}. */
export async function loadFunnel(ruleset: FunnelRuleset = CLIENT_RULES): Promise<Funnel> {
  const funnel = await Funnel.load(ruleset);
  funnels.add(funnel);
  return funnel;
}

/** Loaded with CLIENT_RULES, for tests that need no fresh counters: a load takes its time. */
const idle = new Set<Funnel>();
const borrowed = new Set<Funnel>();
const attachments = new Set<Attachment>();

/** Its attachments are closed, and it is kept for the next test, by {@link closeFunnels}. */
export async function borrowFunnel(): Promise<Funnel> {
  const [kept] = idle;
  const funnel = kept ?? (await Funnel.load(CLIENT_RULES));
  idle.delete(funnel);
  borrowed.add(funnel);
  if (!kept) {
    const attach = funnel.attach.bind(funnel);
    funnel.attach = async (...args) => {
      const attachment = await attach(...args);
      attachments.add(attachment);
      return attachment;
    };
  }
  return funnel;
}

async function giveBack(): Promise<void> {
  for (const attachment of attachments) await attachment.close();
  attachments.clear();
  for (const funnel of borrowed) {
    // The test may have closed it.
    const usable = await funnel.stats().then(
      () => true,
      () => false,
    );
    if (usable) idle.add(funnel);
  }
  borrowed.clear();
}

/** For afterEach: before the namespaces go. */
export async function closeFunnels(): Promise<void> {
  await giveBack();
  for (const child of children) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill("SIGKILL");
    await once(child, "exit");
  }
  for (const funnel of funnels) await funnel.close();
  children.clear();
  funnels.clear();
}

/** What stands on the hooks of a device: ids of programs in the order in which they run. */
export interface OnHooks {
  readonly tcx: { readonly ingress: readonly number[]; readonly egress: readonly number[] };
  readonly clsact: { readonly ingress: readonly number[]; readonly egress: readonly number[] };
  /** Kind of the qdisc of the filters, "" for none. */
  readonly qdisc: string;
}

export const NOTHING: OnHooks = {
  tcx: { ingress: [], egress: [] },
  clsact: { ingress: [], egress: [] },
  qdisc: "",
};

export async function onHooks(netns: string, device: string): Promise<OnHooks> {
  const native = binding();
  const path = `/run/netns/${netns}`;
  const { ifindex } = must(await native.device(path, device));
  const tcx = async (direction: 0 | 1) => must(await native.tcxPrograms(path, ifindex, direction));
  const { kind, filters } = must(await native.qdisc(path, ifindex));
  const clsact = (direction: 0 | 1) =>
    filters
      .filter((filter) => filter.direction === direction && filter.kind === "bpf")
      .map(({ programId }) => programId);
  return {
    tcx: { ingress: await tcx(INGRESS), egress: await tcx(EGRESS) },
    clsact: { ingress: clsact(INGRESS), egress: clsact(EGRESS) },
    qdisc: kind,
  };
}

export const on = ({ name, device }: TestNetns): Promise<OnHooks> => onHooks(name, device);

/** How many programs each of the four hooks has: tcx in and out, clsact in and out. */
export function countOf({ tcx, clsact }: OnHooks): readonly number[] {
  return [tcx.ingress, tcx.egress, clsact.ingress, clsact.egress].map(({ length }) => length);
}

/** One line that says what a child is to do; see funnel-process.mjs. */
export interface ChildTask {
  readonly where?: "process" | "worker";
  readonly how: string;
  readonly device: string;
  readonly options: Readonly<Record<string, unknown>>;
  readonly ruleset?: FunnelRuleset;
  /** More places for the same Funnel. */
  readonly also?: readonly Pick<ChildTask, "device" | "options">[];
  /**
   * For workers, one after the other: milliseconds until each is terminated, from when it is
   * ready (the default) or from its start.
   */
  readonly delays?: readonly number[];
  readonly from?: "ready" | "start";
}

const script = fileURLToPath(new URL("./funnel-process.mjs", import.meta.url));

/** Runs a child that uses the package, to its end. */
export function runChild(task: ChildTask) {
  return spawnSync(process.execPath, [script, JSON.stringify({ ruleset: CLIENT_RULES, ...task })], {
    encoding: "utf8",
    timeout: 30_000,
  });
}

/** Starts a child that uses the package; ready when it says so. Killed by {@link closeFunnels}. */
export async function startChild(task: ChildTask): Promise<ChildProcess> {
  const argument = JSON.stringify({ ruleset: CLIENT_RULES, ...task });
  const child = spawn(process.execPath, [script, argument], { stdio: ["pipe", "pipe", "inherit"] });
  children.add(child);
  if (!child.stdout) throw new Error("child without pipes");
  const lines = createInterface({ input: child.stdout });
  await Promise.race([
    once(lines, "line"),
    once(child, "exit").then(() => {
      throw new Error(`child ended: ${JSON.stringify(task)}`);
    }),
  ]);
  return child;
}

export async function kill(child: ChildProcess): Promise<void> {
  child.kill("SIGKILL");
  await once(child, "exit");
}
