// The small cluster: clients - node - backends, each in a network namespace of its own, joined by
// veth pairs with the kernel's default offloads. The node routes and has kube-proxy's rules.
import { all, Host, run } from "./host.mjs";
import { kubeProxyRules } from "./kube-proxy.mjs";
import { BACKENDS, CLIENTS, NODE, SERVICE } from "./service.mjs";

export class Cluster {
  #hosts = [];
  #signal;

  /** When the signal fires, whatever is under way here fails; `close` is still to be called. */
  constructor(signal) {
    this.#signal = signal;
  }

  /** Makes the namespaces and starts the programs in them. */
  async start() {
    const add = (host) => {
      this.#hosts.push(host);
      return host;
    };
    this.node = add(Host.router("the node", this.#signal));
    this.clients = CLIENTS.map((client) => ({
      ...client,
      host: add(Host.program(client.name, this.#signal, "client.mjs")),
    }));
    this.backends = BACKENDS.map((backend) => ({
      ...backend,
      host: add(Host.program(backend.name, this.#signal, "backend.mjs", backend.name)),
    }));
    // Whoever prints has its namespace.
    await all(this.#hosts.map((host) => host.line()));
  }

  /** Joins all to the node and gives addresses and routes. */
  async connect() {
    // A new namespace takes some of the host's settings over: what matters is set before the
    // devices come, which copy it from "default".
    await this.node.run("sh", [
      "-c",
      `cd /proc/sys/net/ipv4
       echo 1 > ip_forward
       for scope in all default; do echo 0 > conf/$scope/rp_filter; done`,
    ]);
    const links = [
      ...this.clients.map((client) => ({ ...client, gateway: NODE.clientSide })),
      ...this.backends.map((backend) => ({ ...backend, gateway: NODE.backendSide })),
    ];
    await this.#ip(
      run,
      links.map(
        ({ host, nodeDevice }) =>
          `link add eth0 netns ${host.netns} type veth peer name ${nodeDevice} netns ${this.node.netns}`,
      ),
    );
    await this.#ip(
      this.#in(this.node),
      links.flatMap(({ nodeDevice, gateway, address }) => [
        `address add ${gateway} peer ${address} dev ${nodeDevice}`,
        `link set ${nodeDevice} up`,
      ]),
    );
    await all(
      links.map(({ host, gateway, address }) =>
        this.#ip(this.#in(host), [
          "link set lo up",
          `address add ${address} peer ${gateway} dev eth0`,
          "link set eth0 up",
          `route add default via ${gateway}`,
        ]),
      ),
    );
  }

  /** Gives the node the rules of kube-proxy. */
  async balance() {
    await this.node.run("iptables-restore", ["--wait"], kubeProxyRules(SERVICE, BACKENDS));
  }

  /** The node's rules, as iptables-save shows them. */
  rules() {
    return this.node.run("iptables-save", []);
  }

  /** Makes the node forget which backend served whom: its connections and its lists of clients. */
  async forget() {
    await this.node.run("conntrack", ["--flush"]);
    // xt_recent empties a list when it is told "/".
    await this.node.run("sh", [
      "-c",
      "for list in /proc/net/xt_recent/KUBE-SEP-*; do echo / > $list; done",
    ]);
  }

  /** All clients ask all ports at once; gives each client's answers. */
  async ask(rounds) {
    return all(
      this.clients.map(async ({ name, address, host }) => {
        host.say(rounds);
        return { name, address, answers: JSON.parse(await host.line()) };
      }),
    );
  }

  /** Ends all programs; their namespaces, and the devices in them, go with them. */
  async close() {
    await all(this.#hosts.map((host) => host.close()));
  }

  /** How to run a command in a host's namespace, as `run` does in ours. */
  #in(host) {
    return (command, args, { input }) => host.run(command, args, input);
  }

  /** Several ip commands in one go. */
  #ip(runner, lines) {
    const input = `${lines.join("\n")}\n`;
    return runner("ip", ["-batch", "-"], { input, signal: this.#signal });
  }
}
