// The small cluster: clients - node - backends, each in a network namespace of its own, joined by
// veth pairs with the kernel's default offloads. The node routes and has kube-proxy's rules.
import { all, Host, run } from "./host.mjs";
import { kubeProxyRules } from "./kube-proxy.mjs";

/**
 * What differs between the families: the node's command for its rules, settings (of the kernel, set
 * before there is a device, which copies them) and what is said with an address.
 */
const TOOLS = {
  ipv4: {
    iptables: "iptables",
    onNode: `cd /proc/sys/net/ipv4
       echo 1 > ip_forward
       for scope in all default; do echo 0 > conf/$scope/rp_filter; done`,
    flags: "",
  },
  ipv6: {
    iptables: "ip6tables",
    // Nobody else has these addresses, or those of the links: else the first seconds go into asking
    // (RFC 4862, 5.4).
    onNode: `cd /proc/sys/net/ipv6/conf
       for scope in all default; do echo 1 > $scope/forwarding; echo 0 > $scope/accept_dad; done`,
    flags: " nodad",
  },
};

export class Cluster {
  #hosts = [];
  #scene;
  #signal;
  #tools;

  /**
   * Of this scene (service.mjs). When the signal fires, whatever is under way here fails; `close` is
   * still to be called.
   */
  constructor(scene, signal) {
    this.#scene = scene;
    this.#signal = signal;
    this.#tools = TOOLS[scene.family];
  }

  /** The command that the node's rules are for. */
  get iptables() {
    return this.#tools.iptables;
  }

  /** Makes the namespaces and starts the programs in them. */
  async start() {
    const add = (host) => {
      this.#hosts.push(host);
      return host;
    };
    this.node = add(Host.router("the node", this.#signal));
    const { clients, backends, family } = this.#scene;
    const program = (name, ...words) => add(Host.program(name, this.#signal, ...words, family));
    this.clients = clients.map((client) => ({
      ...client,
      host: program(client.name, "client.mjs"),
    }));
    this.backends = backends.map((backend) => ({
      ...backend,
      host: program(backend.name, "backend.mjs", backend.name),
    }));
    // Whoever prints has its namespace.
    await all(this.#hosts.map((host) => host.line()));
  }

  /** Joins all to the node and gives addresses and routes. */
  async connect() {
    // A new namespace takes some of the host's settings over: what matters is set before the
    // devices come, which copy it from "default".
    const { node } = this.#scene;
    const { onNode, flags } = this.#tools;
    await this.node.run("sh", ["-c", onNode]);
    const links = [
      ...this.clients.map((client) => ({ ...client, gateway: node.clientSide })),
      ...this.backends.map((backend) => ({ ...backend, gateway: node.backendSide })),
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
        `link set ${nodeDevice} up`,
        `address add ${gateway} peer ${address} dev ${nodeDevice}${flags}`,
      ]),
    );
    await all(
      links.map(({ host, gateway, address }) =>
        this.#ip(this.#in(host), [
          "link set lo up",
          "link set eth0 up",
          `address add ${address} peer ${gateway} dev eth0${flags}`,
          `route add default via ${gateway} dev eth0 onlink`,
        ]),
      ),
    );
  }

  /** Gives the node the rules of kube-proxy. */
  async balance() {
    const { service, backends } = this.#scene;
    const rules = kubeProxyRules(service, backends);
    await this.node.run(`${this.#tools.iptables}-restore`, ["--wait"], rules);
  }

  /** The node's rules, as iptables-save shows them. */
  rules() {
    return this.node.run(`${this.#tools.iptables}-save`, []);
  }

  /** Shows an address instead of a client's own. */
  async hide({ address }, behind) {
    const nat = ["--wait", "-t", "nat", "-I", "POSTROUTING", "-s", address];
    await this.node.run(this.#tools.iptables, [...nat, "-j", "SNAT", "--to-source", behind]);
  }

  /** Makes the node forget which backend served whom: its connections and its lists of clients. */
  async forget() {
    await this.node.run("conntrack", ["--flush", "--family", this.#scene.family]);
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
