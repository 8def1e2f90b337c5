/** Network namespaces and veth pairs for one test each. */
import { execute } from "./execute.ts";

let made = 0;

export function run(command: string, ...args: string[]): string {
  return execute(command, args);
}

/** A namespace of its own with one device, a veth whose other end is in there too. */
export class TestNetns {
  readonly name = `sft-${process.pid}-${++made}`;
  readonly path = `/run/netns/${this.name}`;
  readonly device = "veth-a";
  readonly peer = "veth-b";

  constructor() {
    run("ip", "netns", "add", this.name);
    this.addDevices();
  }

  /** Runs a command inside. */
  run(command: string, ...args: string[]): string {
    return run("ip", "netns", "exec", this.name, command, ...args);
  }

  addDevices(): void {
    this.run("ip", "link", "add", this.device, "type", "veth", "peer", "name", this.peer);
    for (const device of [this.device, this.peer]) this.run("ip", "link", "set", device, "up");
  }

  deleteDevices(): void {
    this.run("ip", "link", "del", this.device);
  }

  /** Takes the name away; the namespace itself goes with its last user. */
  delete(): void {
    run("ip", "netns", "del", this.name);
  }
}

const alive = new Set<TestNetns>();

export function makeNetns(): TestNetns {
  const netns = new TestNetns();
  alive.add(netns);
  return netns;
}

/** For afterEach. */
export function deleteNetns(): void {
  for (const netns of alive) {
    try {
      netns.delete();
    } catch {
      // The test has deleted it.
    }
  }
  alive.clear();
}
