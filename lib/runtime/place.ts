/** Where to attach: a device in a namespace, found before anything is changed. */
import { binding, isFailure, type NativeFailure } from "../native/binding.ts";
import { errnoName } from "../native/errno.ts";
import { DeviceError, errorOf, NEEDS, NetnsError } from "../native/failure.ts";

/** `ip netns` keeps its namespaces here under their names. */
const NETNS_FOLDER = "/run/netns";

/** The ends of the segmenter, which are nobody's to attach to. */
export const SENDING_END = "sfunnel.seg";
export const RECEIVING_END = "sfunnel.ret";

export function isSegmenter(device: string): boolean {
  return device === SENDING_END || device === RECEIVING_END;
}

export interface Place {
  /** Path of the namespace; "" is our own. */
  readonly netns: string;
  readonly netnsInode: bigint;
  readonly device: string;
  readonly ifindex: number;
}

function netnsError(netns: string, path: string, failure: NativeFailure): Error {
  switch (errnoName(failure.errno)) {
    case "ENOENT":
    case "ENOTDIR":
      return new NetnsError(
        netns,
        "there is none",
        `${path} does not exist; list them with: ip netns`,
      );
    case "EINVAL":
    case "ENOTTY":
      return new NetnsError(
        netns,
        "this is no network namespace",
        `give a name that ip netns lists, or a path such as /proc/PID/ns/net`,
      );
    default:
      return errorOf(failure, "attach", NEEDS["enter namespace"] ?? []);
  }
}

/** A network namespace that is there. */
export interface Namespace {
  /** "" is our own. */
  readonly path: string;
  readonly inode: bigint;
}

/** Throws NetnsError. */
export async function findNetns(netns: string): Promise<Namespace> {
  const path = netns === "" || netns.includes("/") ? netns : `${NETNS_FOLDER}/${netns}`;
  const inode = await binding().netnsInode(path);
  if (isFailure(inode)) throw netnsError(netns, path, inode);
  return { path, inode };
}

/** All devices of a namespace but our own, by name. Throws NetnsError, or KernelError without CAP_SYS_ADMIN. */
export async function listPlaces(netns: string): Promise<Place[]> {
  const { path, inode } = await findNetns(netns);
  const devices = await binding().devices(path);
  if (isFailure(devices)) throw errorOf(devices, "attach", NEEDS["enter namespace"] ?? []);
  return devices
    .filter(({ name }) => !isSegmenter(name))
    .map(({ name, ifindex }) => ({ netns: path, netnsInode: inode, device: name, ifindex }))
    .sort((one, other) => (one.device < other.device ? -1 : 1));
}

/** The error that says which devices there are. */
export function noSuchDevice(
  device: string,
  netns: string,
  present: readonly string[],
): DeviceError {
  const where = netns === "" ? "this network namespace" : `network namespace "${netns}"`;
  return new DeviceError(device, where, present);
}

/** Throws NetnsError or DeviceError. */
export async function findPlace(device: string, netns: string): Promise<Place> {
  const native = binding();
  const { path, inode } = await findNetns(netns);
  const found = await native.device(path, device);
  if (!isFailure(found)) {
    return { netns: path, netnsInode: inode, device, ifindex: found.ifindex };
  }
  if (errnoName(found.errno) !== "ENODEV") {
    throw errorOf(found, "attach", NEEDS["enter namespace"] ?? []);
  }
  const present = await native.devices(path);
  const names = isFailure(present) ? [] : present.map(({ name }) => name);
  throw noSuchDevice(
    device,
    netns,
    names.filter((name) => !isSegmenter(name)),
  );
}
