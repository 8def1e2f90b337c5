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
  /** ARPHRD_*; see link-type.ts. */
  readonly linkType: number;
  /** In bytes, when it was found. */
  readonly mtu: number;
}

function netnsError(operation: string, netns: string, path: string, failure: NativeFailure): Error {
  switch (errnoName(failure.errno)) {
    case "ENOENT":
    case "ENOTDIR":
      return new NetnsError(
        operation,
        netns,
        "there is none",
        `${path} does not exist; list them with: ip netns`,
      );
    case "EINVAL":
    case "ENOTTY":
      return new NetnsError(
        operation,
        netns,
        "this is no network namespace",
        `give a name that ip netns lists, or a path such as /proc/PID/ns/net`,
      );
    default:
      return errorOf(failure, operation, NEEDS["enter namespace"] ?? []);
  }
}

/** A network namespace that is there. */
export interface Namespace {
  /** "" is our own. */
  readonly path: string;
  readonly inode: bigint;
}

/** Throws NetnsError. `operation` is what its message begins with, here and below. */
export async function findNetns(netns: string, operation = "attach"): Promise<Namespace> {
  const path = netns === "" || netns.includes("/") ? netns : `${NETNS_FOLDER}/${netns}`;
  const inode = await binding().netnsInode(path);
  if (isFailure(inode)) throw netnsError(operation, netns, path, inode);
  return { path, inode };
}

/** All devices of a namespace but our own, by name. Throws NetnsError, or KernelError without CAP_SYS_ADMIN. */
export async function listPlaces(netns: string): Promise<Place[]> {
  const { path, inode } = await findNetns(netns);
  const devices = await binding().devices(path);
  if (isFailure(devices)) throw errorOf(devices, "attach", NEEDS["enter namespace"] ?? []);
  return devices
    .filter(({ name }) => !isSegmenter(name))
    .map(({ name, ifindex, type, mtu }) => ({
      ...{ netns: path, netnsInode: inode },
      ...{ device: name, ifindex, linkType: type, mtu },
    }))
    .sort((one, other) => (one.device < other.device ? -1 : 1));
}

/** The error that says which devices there are. */
export function noSuchDevice(
  device: string,
  netns: string,
  present: readonly string[],
  operation = "attach",
): DeviceError {
  const where = netns === "" ? "this network namespace" : `network namespace "${netns}"`;
  return new DeviceError(operation, device, where, present);
}

/** Throws NetnsError or DeviceError. */
export async function findPlace(
  device: string,
  netns: string,
  operation = "attach",
): Promise<Place> {
  const native = binding();
  const { path, inode } = await findNetns(netns, operation);
  const found = await native.device(path, device);
  if (!isFailure(found)) {
    const { ifindex, type: linkType, mtu } = found;
    return { netns: path, netnsInode: inode, device, ifindex, linkType, mtu };
  }
  if (errnoName(found.errno) !== "ENODEV") {
    throw errorOf(found, operation, NEEDS["enter namespace"] ?? []);
  }
  const present = await native.devices(path);
  const names = isFailure(present) ? [] : present.map(({ name }) => name);
  throw noSuchDevice(
    device,
    netns,
    names.filter((name) => !isSegmenter(name)),
    operation,
  );
}
