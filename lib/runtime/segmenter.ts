/**
 * The segmenter of each network namespace in which something of this thread is attached: made
 * with the first attachment there, put right when somebody spoils it, and taken away by who finds
 * that nobody needs it. All processes share it (see return-program.ts), and work on it in turns
 * (see namespace-lock.ts).
 */
import { Segmenter as Abi } from "../compile/abi.gen.ts";
import { KernelError, type SfunnelError } from "../errors.ts";
import {
  binding,
  isFailure,
  type NativeAttachment,
  type NativeDevice,
  type NativeFailure,
  type NativeObject,
  type NativeSegmenter,
  type NativeWatch,
} from "../native/binding.ts";
import { errnoName } from "../native/errno.ts";
import { errorOf, NEEDS } from "../native/failure.ts";
import { inNamespace } from "./namespace-lock.ts";
import { findNetns, type Namespace, type Place, RECEIVING_END, SENDING_END } from "./place.ts";
import { type Hooked, registeredBy } from "./registry.ts";
import {
  hasReturnOnTcx,
  includesReturn,
  type Lifetime,
  putReturn,
  receivingEnd,
  removeUnused,
  returnsAt,
} from "./return-program.ts";

const IFINDEX = Abi.SEGMENTER_IFINDEX;
const SEGMENTER = [IFINDEX, SENDING_END, RECEIVING_END] as const;

/** The helper device that cuts up what is too large to be funneled in one piece. */
export interface SegmenterStats {
  /**
   * How often it was made again or put right, because somebody had removed or changed it. More
   * than none means that something on this host interferes.
   */
  readonly repairs: number;
  /**
   * How often that failed. It is tried again when an interface of the namespace changes; until
   * then the outcome `no_segmenter` counts what is lost.
   */
  readonly failedRepairs: number;
  /**
   * Packets and segments that did not get through: tx_dropped of `sfunnel.seg` as the kernel counts
   * it (mostly a full backlog of the CPU, net.core.netdev_max_backlog), summed over the namespaces in
   * which this Funnel is attached now. All Funnels of a namespace share its segmenter, and the count
   * is that of all of them, from when the pair was made; it begins anew where it is made again.
   * Undefined where this process may not look into one of those namespaces any more.
   */
  readonly dropped: number | undefined;
  /**
   * Packets that came out of `sfunnel.ret` without having been sent into the segmenter by sfunnel,
   * and were dropped there: somebody else sends through it. Of several Funnels in a namespace, the
   * one whose program comes first counts them.
   */
  readonly strays: number;
}

/** What is counted for one object. */
type Repairs = Pick<SegmenterStats, "repairs" | "failedRepairs">;

/** A program of this thread at a receiving end. */
interface Return {
  readonly lifetime: Lifetime;
  readonly native: NativeAttachment;
}

/** A namespace in which this thread needs the segmenter. */
interface Space {
  namespace: Namespace;
  readonly returns: Map<NativeObject, Return>;
  watch: NativeWatch | undefined;
  /** The look that is under way; it holds the namespace open. */
  look?: Promise<void> | undefined;
}

const spaces = new Map<bigint, Space>();

const counts = new WeakMap<NativeObject, Repairs>();

function repairsOf(object: NativeObject): Repairs {
  return counts.get(object) ?? { repairs: 0, failedRepairs: 0 };
}

export async function segmenterStats(
  object: NativeObject,
): Promise<Omit<SegmenterStats, "strays">> {
  let dropped: number | undefined = 0;
  for (const space of [...spaces.values()]) {
    if (!space.returns.has(object) || !(await isThere(space))) continue;
    const lost = await droppedIn(space.namespace.path);
    dropped = isFailure(lost) || dropped === undefined ? undefined : dropped + lost;
  }
  return { ...repairsOf(object), dropped };
}

/** `dropped` of one namespace; 0 where there is no segmenter. */
export async function droppedIn(netns: string): Promise<number | NativeFailure> {
  const lost = await binding().lost(netns, IFINDEX);
  return isFailure(lost) && errnoName(lost.errno) === "ENODEV" ? 0 : lost;
}

function count(object: NativeObject, what: keyof Repairs): void {
  const before = repairsOf(object);
  counts.set(object, { ...before, [what]: before[what] + 1 });
}

/**
 * Attaches (the work) in a namespace that has a segmenter by then, and this object's program at
 * it. When it throws, that is as it was before. `mayWait` as in namespace-lock.ts.
 *
 * Throws what the work throws, or KernelError where the segmenter cannot be made: without it bulk
 * TCP would be lost, and rules that funnel may come later by `replace`.
 */
export function withSegmenter<Result>(
  object: NativeObject,
  { netns: path, netnsInode: inode }: Place,
  lifetime: Lifetime,
  work: () => Promise<Result>,
  mayWait: () => void,
): Promise<Result> {
  const namespace = { path, inode };
  return inNamespace(
    namespace,
    "attach",
    async () => {
      const space = spaces.get(inode) ?? { namespace, returns: new Map(), watch: undefined };
      spaces.set(inode, space);
      // The path by which it was found last is the one most likely to lead there.
      space.namespace = namespace;
      let change: Change | undefined;
      try {
        await watch(space);
        change = await join(space, object, lifetime);
        const result = await work();
        await change.commit();
        return result;
      } catch (error) {
        await change?.undo();
        throw error;
      } finally {
        // Also for what the work has put out of use. If that fails, the next one will do it.
        await tidy(space).catch(() => undefined);
      }
    },
    mayWait,
  );
}

/**
 * After something was taken off its hook: gives up what nobody needs any more. A namespace that
 * has gone is no error.
 */
export async function leaveSegmenter({ netnsInode }: Place): Promise<void> {
  const space = spaces.get(netnsInode);
  if (!space || [...space.returns.keys()].every((object) => usedBy(object, space).length > 0)) {
    return;
  }
  if (await isThere(space)) {
    await inNamespace(space.namespace, "close", () => tidy(space));
  } else {
    await forget(space);
  }
}

/**
 * Leaves this object's program where it is, for what stays on its hook after this process. Nothing is
 * held open any more when it resolves.
 */
export async function releaseSegmenter({ object, place }: Hooked): Promise<void> {
  const space = spaces.get(place.netnsInode);
  const mine = space?.returns.get(object);
  if (!space || !mine) return;
  mine.native.release();
  space.returns.delete(object);
  closeIfEmpty(space);
  await space.look;
}

/** Removes the segmenter of a namespace if nobody needs it. Gives whether it did. */
export async function cleanSegmenter(netns: string): Promise<boolean> {
  const namespace = await findNetns(netns);
  const space = spaces.get(namespace.inode) ?? { namespace, returns: new Map(), watch: undefined };
  return inNamespace(namespace, "clean", () => tidy(space));
}

/** A step that is final, or undone, when the attach is. */
interface Change {
  commit(): Promise<void>;
  undo(): Promise<void>;
}

/** Sees to it that the pair is there, with a program of this object that lives long enough. */
async function join(space: Space, object: NativeObject, lifetime: Lifetime): Promise<Change> {
  const made = await binding().makeSegmenter(space.namespace.path, ...SEGMENTER);
  if (isFailure(made)) throw await makeError(space.namespace, made);
  const end = receivingEnd(space.namespace, made.receiver);
  const returns = await returnsAt(end);
  if (isFailure(returns)) throw errorOf(returns, "attach", NEEDS.attach ?? []);
  let old = space.returns.get(object);
  if (old && !includesReturn(returns, object)) {
    await old.native.detach();
    old = undefined;
  }
  if (old && (old.lifetime === "device" || lifetime === "process")) {
    return { commit: async () => undefined, undo: async () => undefined };
  }
  const native = await putReturn(object, end, lifetime);
  if (isFailure(native)) throw errorOf(native, "attach", NEEDS.attach ?? []);
  space.returns.set(object, { lifetime, native });
  return {
    async commit() {
      await old?.native.detach();
    },
    async undo() {
      if (old) space.returns.set(object, old);
      else space.returns.delete(object);
      await native.detach();
    },
  };
}

async function makeError({ path }: Namespace, failure: NativeFailure): Promise<SfunnelError> {
  const operation = "attach";
  const errno = errnoName(failure.errno);
  if (errno === "EOPNOTSUPP") {
    return new KernelError(
      "SFUNNEL_KERNEL",
      `attach: this kernel has no veth, which sfunnel needs to cut up large packets (${failure.step}: ${errno})`,
      {
        operation,
        errno,
        hint: "load the module veth on the host, or use a kernel with CONFIG_VETH",
      },
    );
  }
  if (errno !== "EEXIST") return errorOf(failure, operation, NEEDS.attach ?? []);
  const devices = await binding().devices(path);
  const inTheWay = (isFailure(devices) ? [] : devices).find(
    ({ name, ifindex }) => name === SENDING_END || name === RECEIVING_END || ifindex === IFINDEX,
  );
  const what = inTheWay ? `"${inTheWay.name}" (index ${inTheWay.ifindex})` : "an interface";
  return new KernelError(
    "SFUNNEL_SYSTEM",
    `attach: ${what} is in the way of sfunnel's own ${SENDING_END} and ${RECEIVING_END}, and is not one of them (EEXIST)`,
    { operation, errno, hint: `those names, and the index ${IFINDEX}, are for sfunnel alone` },
  );
}

/**
 * Takes away what nobody needs: programs of this thread whose attachments have gone, filters that
 * others have left behind, and then the pair. Under the lock. Gives whether the pair went.
 */
async function tidy(space: Space): Promise<boolean> {
  const native = binding();
  const { path } = space.namespace;
  const devices = await native.devices(path);
  if (isFailure(devices)) throw errorOf(devices, "close", NEEDS.attach ?? []);
  for (const [object, { native }] of space.returns) {
    if (usedBy(object, space, devices).length > 0) continue;
    space.returns.delete(object);
    const failure = await native.detach();
    if (isFailure(failure)) throw errorOf(failure, "close", NEEDS.attach ?? []);
  }
  closeIfEmpty(space);
  const isPair = devices.some(({ ifindex, name }) => ifindex === IFINDEX && name === SENDING_END);
  const receiver = devices.find(({ name }) => name === RECEIVING_END);
  if (!isPair) return false;
  if (receiver) {
    const end = receivingEnd(space.namespace, receiver.ifindex);
    const returns = await returnsAt(end);
    if (isFailure(returns)) throw errorOf(returns, "close", NEEDS.attach ?? []);
    const filters = await removeUnused(end, returns, [...space.returns.keys()]);
    if (filters.length > 0 || (await hasReturnOnTcx(returns))) return false;
  }
  const failure = await native.removeSegmenter(path, ...SEGMENTER);
  if (isFailure(failure)) throw errorOf(failure, "close", NEEDS.attach ?? []);
  return true;
}

/** What the object is attached to in a namespace; of these devices alone, where they are given. */
function usedBy(
  object: NativeObject,
  { namespace }: Space,
  devices?: readonly NativeDevice[],
): Hooked[] {
  return registeredBy(object).filter(
    ({ place }) =>
      place.netnsInode === namespace.inode &&
      (devices?.some(({ ifindex }) => ifindex === place.ifindex) ?? true),
  );
}

/** Whether its path still leads to the namespace. */
async function isThere({ namespace: { path, inode } }: Space): Promise<boolean> {
  return (await binding().netnsInode(path)) === inode;
}

/** Gives up what can be given up without a way into the namespace. */
async function forget(space: Space): Promise<void> {
  for (const [object, { native }] of space.returns) {
    if (usedBy(object, space).length > 0) continue;
    space.returns.delete(object);
    await native.detach();
  }
  closeIfEmpty(space);
}

function closeIfEmpty(space: Space): void {
  if (space.returns.size > 0) return;
  space.watch?.close();
  space.watch = undefined;
  if (spaces.get(space.namespace.inode) === space) spaces.delete(space.namespace.inode);
}

async function watch(space: Space): Promise<void> {
  if (space.watch) return;
  const made = await binding().watchLinks(space.namespace.path, IFINDEX);
  if (isFailure(made)) throw errorOf(made, "attach", NEEDS.attach ?? []);
  const failure = made.start(heardIn(space));
  if (failure) throw errorOf(failure, "attach", []);
  space.watch = made;
}

/** Looks after the segmenter as often as something has happened, one look at a time. */
function heardIn(space: Space): () => void {
  let again = false;
  const look = async () => {
    do {
      again = false;
      // What failed is counted, and what could not be tidied up is for the next one.
      await repair(space).catch(() => undefined);
    } while (again);
    space.look = undefined;
  };
  return () => {
    if (space.look) again = true;
    else space.look = look();
  };
}

async function repair(space: Space): Promise<void> {
  if (space.returns.size === 0 || !(await isThere(space))) return;
  await inNamespace(space.namespace, "repair", async () => {
    // What cannot be tidied up now is no reason to leave it broken.
    await tidy(space).catch(() => undefined);
    if (space.returns.size === 0) return;
    const made = await binding().makeSegmenter(space.namespace.path, ...SEGMENTER);
    for (const [object, old] of space.returns) {
      const done = isFailure(made) ? made : await putRight(space, object, old, made);
      if (!isFailure(done)) {
        if (done) count(object, "repairs");
      } else if (errnoName(done.errno) !== "ENODEV") {
        // Else it went again under our hands, which we are about to hear of.
        count(object, "failedRepairs");
      }
    }
  });
}

/** Whether anything had to be put right for this object. */
async function putRight(
  space: Space,
  object: NativeObject,
  old: Return,
  { receiver, made, repaired }: NativeSegmenter,
): Promise<boolean | NativeFailure> {
  const end = receivingEnd(space.namespace, receiver);
  const returns = await returnsAt(end);
  if (isFailure(returns)) return returns;
  if (includesReturn(returns, object)) return made || repaired;
  // First: it would take the new one for itself.
  await old.native.detach();
  const native = await putReturn(object, end, old.lifetime);
  if (isFailure(native)) return native;
  if (space.returns.get(object) === old) {
    space.returns.set(object, { ...old, native });
  } else {
    // Released meanwhile, by its Funnel's close: it is to stay.
    native.release();
  }
  return true;
}
