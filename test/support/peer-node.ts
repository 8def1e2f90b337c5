/**
 * A node whose pods get their packets from a BPF program at its uplink, past the node's IP stack, as
 * Cilium does it (test/fixtures/peer.bpf.c). The program balances as well: there is no kube-proxy, and
 * the node does not even forward. Of IPv4.
 */
import { binding, type NativeObject, type NativeProgram } from "../../lib/native/binding.ts";
import { gatewayOf, type Pod, podBeside } from "./cluster.ts";
import { type HookPlace, hooksOf } from "./foreign.ts";
import type { Host, Lab } from "./lab.ts";
import { fixture, must } from "./native.ts";
import { address as addressBytes } from "./packet.ts";

/** Programs of the fixture: for the uplink, and for the node's ends of the pods' interfaces. */
const [AT_UPLINK, AT_POD] = [0, 1] as const;

/** Three pods beside a node, each on an interface of its own: addresses as on a bridge. */
export function podsBeside(lab: Lab, host: Host): readonly Pod[] {
  const node = { host, number: 1 };
  return [2, 3, 4].map((last) => {
    const pod = podBeside(lab, node, `pod${last}`, last);
    lab.configure(host, pod.nodeDevice, `${gatewayOf(node)}/32`);
    lab.ip(host, "route", "add", `${pod.address}/32`, "dev", pod.nodeDevice);
    lab.configure(pod.host, "eth0", `${pod.address}/24`);
    lab.route(pod.host, gatewayOf(node));
    return pod;
  });
}

const bytesOf = (mac: string) => mac.split(":").map((byte) => Number.parseInt(byte, 16));
const bytesOfNumber = (number: number) => new Uint8Array(Uint32Array.of(number).buffer);

async function attach(
  object: NativeObject,
  { netns, ifindex, direction }: HookPlace,
  program: NativeProgram,
): Promise<void> {
  const attached = object.attachTcx(netns, ifindex, direction, false, false, 0, undefined, program);
  must(await attached).release();
}

/** What stands here stays with the node's devices. */
export async function deliverToPeers(
  lab: Lab,
  node: Host,
  uplink: string,
  serviceAddress: string,
  pods: readonly Pod[],
): Promise<void> {
  const atUplink = (await hooksOf(node.netns, uplink)).ingress;
  const constants = {
    service_address: Buffer.from(addressBytes(serviceAddress)).readUInt32LE(),
    uplink: atUplink.ifindex,
  };
  const object = must(await binding().load(fixture("peer"), {}, constants));
  try {
    for (const [index, { host, address, nodeDevice }] of pods.entries()) {
      const place = (await hooksOf(node.netns, nodeDevice)).ingress;
      const backend = Uint8Array.from([
        ...addressBytes(address),
        ...bytesOfNumber(place.ifindex),
        ...bytesOf(lab.mac(host, "eth0")),
        ...bytesOf(lab.mac(node, nodeDevice)),
      ]);
      const failure = await object.update("backends", bytesOfNumber(index), backend, 1);
      if (failure) throw new Error(`${failure.step}: errno ${failure.errno}`);
      await attach(object, place, AT_POD);
    }
    await attach(object, atUplink, AT_UPLINK);
  } finally {
    object.close();
  }
}
