/**
 * The one door to the addon: what C++ offers, typed. C++ returns values or a
 * {@link NativeFailure}; words and policy are made on this side. No descriptor crosses here:
 * each native object owns its own and gives them back in `close()`, at gc, or when its
 * environment (process or worker) ends, whichever comes first.
 */
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { SfunnelError } from "../errors.ts";

/** A system call that failed: positive errno, which step it was, the verifier's log if any. */
export interface NativeFailure {
  readonly errno: number;
  /** The step in words, e.g. "load", "create clsact", "enter network namespace". */
  readonly step: string;
  /** What libbpf and the verifier printed during a load, its tail; absent where they did not. */
  readonly log?: string;
}

/** 0 is ingress, 1 is egress, as in bpf/abi.h. */
export type NativeDirection = 0 | 1;

export interface NativeDevice {
  readonly ifindex: number;
  readonly name: string;
  /** Bytes. */
  readonly mtu: number;
  /** ARPHRD_* of the device: 1 is Ethernet. */
  readonly type: number;
}

/** One tc filter on the clsact (or ingress) hook; only the kind "bpf" has a program. */
export interface NativeFilter {
  readonly direction: NativeDirection;
  readonly kind: string;
  /** Ours are in chain 0. */
  readonly chain: number;
  /** ETH_P_* of the packets that it sees; 3 is all of them. */
  readonly protocol: number;
  readonly priority: number;
  readonly handle: number;
  /** TCA_BPF_NAME; empty for other kinds. */
  readonly name: string;
  /** TCA_BPF_ID; 0 for other kinds. */
  readonly programId: number;
}

/** Which program of an object: 0 ingress, 1 egress, 2 the one at the far end of a segmenter. */
export type NativeProgram = 0 | 1 | 2;

/** What stands on the clsact hook of a device. */
export interface NativeQdisc {
  /** "clsact", "ingress", or "" where there is none. */
  readonly kind: string;
  readonly filters: readonly NativeFilter[];
}

export interface NativeTestRun {
  /** The program's return code as a signed integer (TC_ACT_UNSPEC is -1). */
  readonly verdict: number;
  readonly frame: Uint8Array;
  /** The five words of skb->cb afterwards. */
  readonly cb: Uint32Array;
  /** Mean nanoseconds a run, as the kernel measured. */
  readonly duration: number;
}

/** A segmenter that is as it has to be, and what was done for that. */
export interface NativeSegmenter {
  /** Index of the receiving end. */
  readonly receiver: number;
  readonly made: boolean;
  /** It was there, but not as it has to be. */
  readonly repaired: boolean;
}

/** A lock that this process holds; it goes with the process. */
export interface NativeLock {
  /** Idempotent. */
  release(): void;
}

/** Hears what happens to devices, from when it was made. Keeps no process alive. */
export interface NativeWatch {
  /** Once. `heard` is called as often as something may have changed, and must not throw. */
  start(heard: () => void): NativeFailure | undefined;
  /** No call comes after this. Idempotent. */
  close(): void;
}

/** A route over a device, as far as it tells the MTU of an address by its longest prefix. */
export interface NativeRoute {
  readonly family: 4 | 6;
  /** 4 or 16 bytes, zeros behind the prefix. */
  readonly destination: Uint8Array;
  readonly prefixLength: number;
  /** Bytes; 0: it has none, and lies inside one that has. */
  readonly mtu: number;
}

export interface NativeRoutes {
  /** By family, destination and length. None says the same as the one around it. */
  readonly routes: readonly NativeRoute[];
  /** How many more there are than was asked for: those without MTU first, then the longest. */
  readonly leftOut: number;
}

/** Hears what happens to routes over one device, from when it was made. Keeps no process alive. */
export interface NativeRouteWatch extends NativeWatch {
  /**
   * As `NativeBinding.routes` would give now, also where the path leads elsewhere by now. What was
   * given last also says which changes matter. EBADF after close().
   */
  routes(most: number): Promise<NativeRoutes | NativeFailure>;
}

/**
 * A loaded object: its maps and its programs. A promise never rejects: it resolves with what
 * was asked for, or with a failure. A wrong type of an argument throws TypeError at once; a
 * number out of range, or bytes of another length than the map's entries have, RangeError.
 * Bytes are copied before the call returns. After close(): failure EBADF.
 */
export interface NativeObject {
  /** Kernel ids of [ingress program, egress program]; zeros after close(). */
  programIds(): readonly [number, number];
  /** Kernel id of the program at the far end of a segmenter; 0 after close(). */
  segmenterProgramId(): number;
  /** Writes `count` entries; keys and values are packed one after the other. */
  update(
    map: string,
    keys: Uint8Array,
    values: Uint8Array,
    count: number,
  ): Promise<NativeFailure | undefined>;
  /** Deletes `count` keys; a key that is not there is no failure. */
  remove(map: string, keys: Uint8Array, count: number): Promise<NativeFailure | undefined>;
  /**
   * Reads `count` entries of an array map from index `first`. A per-CPU map yields, for each
   * entry, one value a possible CPU, each padded to 8 bytes.
   */
  read(map: string, first: number, count: number): Promise<Uint8Array | NativeFailure>;
  /**
   * How many entries a hash map holds (Linux 5.6). With `alone`, those whose byte at this place of the
   * value is 0 come in pairs, and a pair counts once.
   */
  entries(map: string, alone?: number): Promise<number | NativeFailure>;
  /**
   * An array of `count` entries, all zero, to be placed in an array of maps, whatever length that was
   * told of.
   */
  makeArray(valueSize: number, count: number): Promise<NativeArray | NativeFailure>;
  /**
   * Puts arrays at outer[slot] and behind, each in one step for whoever reads it. The kernel keeps them
   * from then on.
   */
  place(
    outer: string,
    slot: number,
    arrays: readonly NativeArray[],
  ): Promise<NativeFailure | undefined>;
  /** As if on the device `ifindex` of the namespace; the loopback of our own where left out. */
  testRun(
    direction: NativeDirection,
    frame: Uint8Array,
    cb: Uint32Array,
    repeat: number,
    netns?: string,
    ifindex?: number,
  ): Promise<NativeTestRun | NativeFailure>;
  /**
   * Attaches one program with tcx. `first`: ahead of what is there, else behind it. With
   * `link` the attachment is a bpf_link and goes with this process; without, it stays with
   * the device. `replace` is what gives way in the same step, its position kept: an attachment
   * of this process, or the id of a program (needs CAP_SYS_ADMIN), 0 for none. It must be held
   * by a link if this is to be, else not: EBUSY. ENOENT or ESTALE: it is there no more, or the
   * hook has changed since its `revision` was asked for (left out: any). `program` is that of the
   * direction if left out.
   */
  attachTcx(
    netns: string,
    ifindex: number,
    direction: NativeDirection,
    first: boolean,
    link: boolean,
    replace: NativeAttachment | number,
    revision?: bigint,
    program?: NativeProgram,
  ): Promise<NativeAttachment | NativeFailure>;
  /**
   * Attaches one program as a direct-action bpf filter on clsact, making the qdisc where there
   * is none; replaces a filter with the same priority and handle. With `persist` it stays when
   * this process ends; without, it goes when the attachment is collected, its environment ends
   * or the process exits, but not when it is killed. `replace` names the one that is replaced,
   * as above, for `revert`. Fails with EEXIST where egress is wanted
   * and a qdisc "ingress" is in the way.
   */
  attachClsact(
    netns: string,
    ifindex: number,
    direction: NativeDirection,
    priority: number,
    handle: number,
    persist: boolean,
    replace?: NativeAttachment | number,
    program?: NativeProgram,
  ): Promise<NativeAttachment | NativeFailure>;
  /** Frees all descriptors once pending calls are done. Idempotent. */
  close(): void;
}

/** An array for a place in an array of maps; promises and arguments as those of {@link NativeObject}. */
export interface NativeArray {
  /** Writes `count` entries from index `first`; per CPU, a value each, padded to 8 bytes. */
  write(first: number, values: Uint8Array, count: number): Promise<NativeFailure | undefined>;
  /** Reads `count` entries from index `first`, likewise. */
  read(first: number, count: number): Promise<Uint8Array | NativeFailure>;
  /** Frees the descriptor once pending calls are done; what was placed stays. Idempotent. */
  close(): void;
}

/** One program on one hook of one device. */
export interface NativeAttachment {
  /**
   * Removes it (a device that has gone is no failure). On clsact the qdisc goes too if this
   * attachment made it and no filter is left on it; a filter that has another program by now
   * is left alone. Idempotent; may be tried again after a failure.
   */
  detach(): Promise<NativeFailure | undefined>;
  /**
   * Puts back in one step what gave way to it; where nothing did, or `settle` was called,
   * detaches. Whoever has taken its place meanwhile keeps it. The attachment that gave way is
   * good for use again.
   */
  revert(): Promise<NativeFailure | undefined>;
  /** Lets go of what gave way to it: no way back any more. */
  settle(): void;
  /**
   * Gives the descriptors back now instead of at gc. What was attached to stay with its device
   * stays; what goes with the process goes.
   */
  release(): void;
}

export interface NativeBinding {
  readonly libbpfVersion: string;
  /** One more than the highest number of a CPU that a program may run on. */
  readonly cpuNumbers: number;
  /** Whether tc programs may call the helper of this number (enum bpf_func_id). */
  hasHelper(helper: number): Promise<boolean | NativeFailure>;
  /**
   * Loads the object. Before the load, `limits` sets max_entries of maps, and `constants` the
   * value of `const volatile` variables, by name.
   */
  load(
    object: Uint8Array,
    limits: Readonly<Record<string, number>>,
    constants?: Readonly<Record<string, number>>,
  ): Promise<NativeObject | NativeFailure>;
  /** `netns` is a path such as /run/netns/blue; "" is the caller's own, here and below. */
  device(netns: string, name: string): Promise<NativeDevice | NativeFailure>;
  devices(netns: string): Promise<readonly NativeDevice[] | NativeFailure>;
  /**
   * How many packets a device was given to send and has lost, since it was made (tx_dropped of
   * IFLA_STATS64). Fails with ENODEV where there is no such device.
   */
  lost(netns: string, ifindex: number): Promise<number | NativeFailure>;
  /** Inode number of the namespace; fails with EINVAL on a path that is no network namespace. */
  netnsInode(netns: string): Promise<bigint | NativeFailure>;
  /** Ids of the programs on the tcx hook in the order in which they run. */
  tcxPrograms(
    netns: string,
    ifindex: number,
    direction: NativeDirection,
  ): Promise<readonly number[] | NativeFailure>;
  /** Counts the changes of the tcx hook. Asked for before `tcxPrograms`, it covers its answer. */
  tcxRevision(
    netns: string,
    ifindex: number,
    direction: NativeDirection,
  ): Promise<bigint | NativeFailure>;
  qdisc(netns: string, ifindex: number): Promise<NativeQdisc | NativeFailure>;
  /** Name and map ids of a program (needs CAP_SYS_ADMIN). */
  program(
    id: number,
  ): Promise<{ readonly name: string; readonly mapIds: readonly number[] } | NativeFailure>;
  /**
   * Name of a map, and its value at a key if it has one (needs CAP_SYS_ADMIN). A key of
   * another length than the map's has none.
   */
  lookup(
    mapId: number,
    key: Uint8Array,
  ): Promise<{ readonly name: string; readonly value?: Uint8Array } | NativeFailure>;
  /** All entries of an array, one after the other (needs CAP_SYS_ADMIN). */
  readArray(mapId: number): Promise<Uint8Array | NativeFailure>;
  /** Removes a program that was attached to tcx without a link, or detaches its link, by id. */
  detachTcx(
    netns: string,
    ifindex: number,
    direction: NativeDirection,
    programId: number,
  ): Promise<NativeFailure | undefined>;
  /** Removes the bpf filter with exactly this priority and handle; fails with ENOENT if there is none. */
  detachClsact(
    netns: string,
    ifindex: number,
    direction: NativeDirection,
    priority: number,
    handle: number,
  ): Promise<NativeFailure | undefined>;
  /**
   * Makes the veth pair that cuts packets into segments, with the names of its ends and the index
   * of the sending one, or puts right what of it is not as it has to be. Fails with EEXIST where
   * something else has its index or a name; then, as after any failure, it is as it was before.
   */
  makeSegmenter(
    netns: string,
    ifindex: number,
    sending: string,
    receiving: string,
  ): Promise<NativeSegmenter | NativeFailure>;
  /** Removes the pair; none is no failure, and something else of its index stays. */
  removeSegmenter(
    netns: string,
    ifindex: number,
    sending: string,
    receiving: string,
  ): Promise<NativeFailure | undefined>;
  /** The lock of a namespace, one for all processes. EAGAIN: another one has it, ask again. */
  lockNetns(netns: string): Promise<NativeLock | NativeFailure>;
  /**
   * For changes of this device, of its peer and of their IPv4 settings, and for any device that
   * goes. While it is open the namespace stays, whatever becomes of its name.
   */
  watchLinks(netns: string, ifindex: number): Promise<NativeWatch | NativeFailure>;
  /**
   * The routes of all tables over a device, one of several hops included: those with an MTU, and
   * those inside them without. At most as many as said. Fails with ENODEV where there is no such
   * device.
   */
  routes(netns: string, ifindex: number, most: number): Promise<NativeRoutes | NativeFailure>;
  /**
   * For changes of what `routes` gives, told at most every 50 ms. While it is open the namespace
   * stays, whatever becomes of its name.
   */
  watchRoutes(netns: string, ifindex: number): Promise<NativeRouteWatch | NativeFailure>;
}

export function isFailure(value: unknown): value is NativeFailure {
  return typeof value === "object" && value !== null && "errno" in value && "step" in value;
}

/** Both lib/native/ and dist/native/ lie two levels below the package. */
const packageRoot = fileURLToPath(new URL("../../", import.meta.url));

let loaded: NativeBinding | undefined;

/** Loads the addon on first use, so that the pure parts work where it does not exist. */
export function binding(): NativeBinding {
  if (loaded === undefined) {
    try {
      const load = createRequire(import.meta.url)("node-gyp-build") as (
        root: string,
      ) => NativeBinding;
      loaded = load(packageRoot);
    } catch (cause) {
      throw new SfunnelError("SFUNNEL_ADDON", "the native addon of sfunnel could not be loaded", {
        operation: "load addon",
        hint:
          process.platform === "linux"
            ? "on Debian: apt-get install libbpf1; where no prebuilt addon fits, build it with npm rebuild sfunnel (needs libbpf-dev and a C++ compiler)"
            : `attaching needs Linux, this is ${process.platform}; parsing, checking and sfunnel/model work everywhere`,
        cause,
      });
    }
  }
  return loaded;
}
