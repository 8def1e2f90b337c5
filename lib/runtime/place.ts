/** Where to attach: a device in a namespace, found before anything is changed. */
import { binding, isFailure, type NativeFailure } from "../native/binding.ts";
import { errnoName } from "../native/errno.ts";
import { DeviceError, errorOf, NEEDS, NetnsError } from "../native/failure.ts";

/** `ip netns` keeps its namespaces here under their names. */
const NETNS_FOLDER = "/run/netns";

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

/** Throws NetnsError or DeviceError. */
export async function findPlace(device: string, netns: string): Promise<Place> {
  const native = binding();
  const path = netns === "" || netns.includes("/") ? netns : `${NETNS_FOLDER}/${netns}`;
  const inode = await native.netnsInode(path);
  if (isFailure(inode)) throw netnsError(netns, path, inode);
  const found = await native.device(path, device);
  if (!isFailure(found)) {
    return { netns: path, netnsInode: inode, device, ifindex: found.ifindex };
  }
  if (errnoName(found.errno) !== "ENODEV") {
    throw errorOf(found, "attach", NEEDS["enter namespace"] ?? []);
  }
  const present = await native.devices(path);
  throw new DeviceError(
    device,
    netns === "" ? "this network namespace" : `network namespace "${netns}"`,
    isFailure(present) ? [] : present.map(({ name }) => name),
  );
}
