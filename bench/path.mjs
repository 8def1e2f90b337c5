// A path from a client to a server: network namespaces of the bench's own, joined by veth pairs
// with the kernel's default offloads. See demo/host.mjs on why nothing of it can be left behind.
import { all, Host, run } from "../demo/host.mjs";

export const DEVICE = "eth0";
/** Of the gateway, towards the server. */
export const FAR_DEVICE = "eth1";

/** A client and a server, on one link or with a gateway between them. */
export class Path {
  #hosts = [];
  #signal;

  constructor(signal) {
    this.#signal = signal;
  }

  /** The server's address. */
  get address() {
    return this.gateway ? "10.0.1.2" : "10.0.0.2";
  }

  async start({ gateway = false } = {}) {
    const add = (name) => {
      const host = Host.router(name, this.#signal);
      this.#hosts.push(host);
      return host;
    };
    this.client = add("the client");
    this.gateway = gateway ? add("the gateway") : undefined;
    this.server = add("the server");
    // Whoever prints has its namespace.
    await all(this.#hosts.map((host) => host.line()));
    // Or a connection would begin with what the one before has learnt.
    const forget = "echo 1 > /proc/sys/net/ipv4/tcp_no_metrics_save";
    await all(this.#hosts.map((host) => this.#set(host, forget)));

    if (!gateway) {
      await this.#link(this.client, "10.0.0.1/24", this.server, DEVICE, "10.0.0.2/24");
      return;
    }
    await this.#set(this.gateway, "echo 1 > /proc/sys/net/ipv4/ip_forward");
    await this.#link(this.client, "10.0.0.1/24", this.gateway, DEVICE, "10.0.0.2/24");
    await this.#link(this.server, "10.0.1.2/24", this.gateway, FAR_DEVICE, "10.0.1.1/24");
    await this.#set(this.client, "ip route add default via 10.0.0.2");
    await this.#set(this.server, "ip route add default via 10.0.1.1");
  }

  #set(host, script) {
    return host.run("sh", ["-e", "-c", script]);
  }

  async #link(host, address, other, device, otherAddress) {
    await run(
      "ip",
      [
        ...["link", "add", DEVICE, "netns", host.netns, "type", "veth"],
        ...["peer", "name", device, "netns", other.netns],
      ],
      { signal: this.#signal },
    );
    for (const [end, name, own] of [
      [host, DEVICE, address],
      [other, device, otherAddress],
    ]) {
      await this.#set(end, `ip address add ${own} dev ${name}; ip link set ${name} up`);
    }
  }

  async close() {
    await all(this.#hosts.map((host) => host.close()));
  }
}
