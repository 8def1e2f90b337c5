/**
 * The rules that kube-proxy writes in its nftables mode for a service with `sessionAffinity:
 * ClientIP`: one table, verdict maps that lead from addresses and ports to the chain of a service
 * port, and for each endpoint a chain and a set of the clients that it has seen. As Kubernetes 1.33
 * names and orders them.
 */
import { familyOf } from "./family.ts";
import type { Backend, ProxyOptions, Service, ServicePort } from "./kube-proxy.ts";

/** Imported by address, since it is plain JavaScript and says nothing of its types. */
const { hashOf } = (await import(new URL("../../demo/kube-proxy.mjs", import.meta.url).href)) as {
  hashOf(text: string, bytes: number): string;
};

const MASQUERADE_MARK = "0x4000";

/** Eight digits of its hash in front keep names apart that begin alike. */
function named(text: string): string {
  return `${hashOf(text, 5)}-${text}`;
}

export function portName(service: Service, { transport, name }: ServicePort): string {
  return `${service.namespace}/${service.name}/${transport}/${name}`;
}

/** What the names of a service port's chains end with. */
export function servicePortName(service: Service, port: ServicePort): string {
  return named(portName(service, port));
}

/** What the names of an endpoint's chain and set end with; no name has a colon. */
export function endpointName(service: Service, port: ServicePort, address: string): string {
  const endpoint = `${address.replaceAll(":", ".")}/${port.targetPort ?? port.port}`;
  return named(`${portName(service, port)}__${endpoint}`);
}

/** Words that differ between the families. */
function wordsOf(service: Service) {
  return familyOf(service.address) === "IPv6"
    ? { ip: "ip6", type: "ipv6_addr", noLocalhost: "ip6 daddr != ::1" }
    : { ip: "ip", type: "ipv4_addr", noLocalhost: "ip daddr != 127.0.0.0/8" };
}

type Words = ReturnType<typeof wordsOf>;

/** Chains on the hooks of netfilter, those that they lead to, and the maps in which these look. */
function framework({ ip, type, noLocalhost }: Words): string[] {
  const hooked = (name: string, kind: string, hook: string, priority: string) =>
    `add chain ${ip} kube-proxy ${name} { type ${kind} hook ${hook} priority ${priority}; }`;
  const chain = (name: string) => `add chain ${ip} kube-proxy ${name}`;
  const rule = (of: string, text: string) => `add rule ${ip} kube-proxy ${of} ${text}`;
  const map = (name: string, key: string) =>
    `add map ${ip} kube-proxy ${name} { type ${key} : verdict; }`;
  const service = `${type} . inet_proto . inet_service`;
  const nodePort = "inet_proto . inet_service";
  const destination = `${ip} daddr . meta l4proto . th dport`;
  return [
    `add table ${ip} kube-proxy { comment "rules for kube-proxy"; }`,
    hooked("filter-prerouting-pre-dnat", "filter", "prerouting", "-110"),
    hooked("filter-output-pre-dnat", "filter", "output", "-110"),
    hooked("filter-input", "filter", "input", "0"),
    hooked("filter-forward", "filter", "forward", "0"),
    hooked("filter-output", "filter", "output", "0"),
    hooked("nat-prerouting", "nat", "prerouting", "-100"),
    hooked("nat-output", "nat", "output", "-100"),
    hooked("nat-postrouting", "nat", "postrouting", "100"),
    ...["nodeport-endpoints-check", "service-endpoints-check", "firewall-check", "services"].map(
      chain,
    ),
    ...["cluster-ips-check", "masquerading", "mark-for-masquerade", "reject-chain"].map(chain),
    `add set ${ip} kube-proxy cluster-ips { type ${type}; }`,
    map("no-endpoint-services", service),
    map("no-endpoint-nodeports", nodePort),
    map("firewall-ips", service),
    map("service-ips", service),
    map("service-nodeports", nodePort),

    rule("filter-input", "ct state new jump nodeport-endpoints-check"),
    rule("filter-input", "ct state new jump service-endpoints-check"),
    rule("filter-forward", "ct state new jump service-endpoints-check"),
    rule("filter-output", "ct state new jump service-endpoints-check"),
    rule("filter-prerouting-pre-dnat", "ct state new jump firewall-check"),
    rule("filter-output-pre-dnat", "ct state new jump firewall-check"),
    rule("nat-output", "jump services"),
    rule("nat-prerouting", "jump services"),
    rule("nat-postrouting", "jump masquerading"),
    rule("filter-forward", "ct state new jump cluster-ips-check"),
    rule("filter-output", "ct state new jump cluster-ips-check"),

    rule("mark-for-masquerade", `mark set mark or ${MASQUERADE_MARK}`),
    rule("masquerading", `mark and ${MASQUERADE_MARK} == 0 return`),
    rule("masquerading", `mark set mark xor ${MASQUERADE_MARK}`),
    rule("masquerading", "masquerade fully-random"),
    rule("reject-chain", "reject"),
    rule("cluster-ips-check", `${ip} daddr @cluster-ips reject`),
    rule("service-endpoints-check", `${destination} vmap @no-endpoint-services`),
    rule(
      "nodeport-endpoints-check",
      `${noLocalhost} meta l4proto . th dport vmap @no-endpoint-nodeports`,
    ),
    rule("firewall-check", `${destination} vmap @firewall-ips`),
    rule("services", `${destination} vmap @service-ips`),
    rule(
      "services",
      `fib daddr type local ${noLocalhost} meta l4proto . th dport vmap @service-nodeports`,
    ),
  ];
}

/** A service port: the sets of clients belong to it, and here affinity ends. */
function portRules(
  words: Words,
  service: Service,
  port: ServicePort,
  backends: readonly Backend[],
  { clusterCidr }: ProxyOptions,
): string[] {
  const { ip, type } = words;
  const { transport } = port;
  const { loadBalancerAddress: balancer } = service;
  const name = servicePortName(service, port);
  const [cluster, local, external] = [`service-${name}`, `local-${name}`, `external-${name}`];
  const isLocal = service.externalTrafficPolicy === "Local";
  const hasExternal = (balancer ?? port.nodePort) !== undefined;
  const endpoints = backends.map(({ address, remote = false }) => {
    const of = endpointName(service, port, address);
    return { address, remote, chain: `endpoint-${of}`, affinity: `affinity-${of}` };
  });
  const chain = (of: string) => `add chain ${ip} kube-proxy ${of}`;
  const rule = (of: string, text: string) => `add rule ${ip} kube-proxy ${of} ${text}`;
  const element = (of: string, text: string) => `add element ${ip} kube-proxy ${of} { ${text} }`;
  const choose = (of: string, among: typeof endpoints) => [
    ...among.map(({ affinity, chain: to }) => rule(of, `${ip} saddr @${affinity} goto ${to}`)),
    rule(
      of,
      `numgen random mod ${among.length} vmap { ` +
        `${among.map(({ chain: to }, index) => `${index} : goto ${to}`).join(", ")} }`,
    ),
  ];
  const ofNode = "fib saddr type local";
  const externalRules = isLocal
    ? [
        ...(clusterCidr ? [rule(external, `${ip} saddr ${clusterCidr} goto ${cluster}`)] : []),
        rule(external, `${ofNode} jump mark-for-masquerade`),
        rule(external, `${ofNode} goto ${cluster}`),
        rule(external, `goto ${local}`),
      ]
    : [rule(external, "jump mark-for-masquerade"), rule(external, `goto ${cluster}`)];
  const targetPort = port.targetPort ?? port.port;

  return [
    chain(cluster),
    ...(hasExternal ? [chain(external)] : []),
    ...(hasExternal && isLocal ? [chain(local)] : []),
    ...endpoints.map((endpoint) => chain(endpoint.chain)),
    ...endpoints.map(
      ({ affinity }) =>
        `add set ${ip} kube-proxy ${affinity} { type ${type}; flags dynamic,timeout; ` +
        `timeout ${service.affinitySeconds}s; }`,
    ),
    element("cluster-ips", service.address),
    element("service-ips", `${service.address} . ${transport} . ${port.port} : goto ${cluster}`),
    ...(balancer
      ? [element("service-ips", `${balancer} . ${transport} . ${port.port} : goto ${external}`)]
      : []),
    ...(port.nodePort
      ? [element("service-nodeports", `${transport} . ${port.nodePort} : goto ${external}`)]
      : []),
    ...(clusterCidr
      ? [
          rule(
            cluster,
            `${ip} daddr ${service.address} ${transport} dport ${port.port} ` +
              `${ip} saddr != ${clusterCidr} jump mark-for-masquerade`,
          ),
        ]
      : []),
    ...(hasExternal ? externalRules : []),
    ...choose(cluster, endpoints),
    ...(hasExternal && isLocal
      ? choose(
          local,
          endpoints.filter(({ remote }) => !remote),
        )
      : []),
    ...endpoints.flatMap(({ address, chain: of, affinity }) => [
      rule(of, `${ip} saddr ${address} jump mark-for-masquerade`),
      rule(of, `update @${affinity} { ${ip} saddr }`),
      rule(
        of,
        `meta l4proto ${transport} dnat to ${ip === "ip6" ? `[${address}]` : address}:${targetPort}`,
      ),
    ]),
  ];
}

/** All of it, for `nft -f`. */
export function nftablesRules(
  service: Service,
  backends: readonly Backend[],
  options: ProxyOptions,
): string {
  const words = wordsOf(service);
  const ports = service.ports.flatMap((port) => portRules(words, service, port, backends, options));
  // What stood there before goes in the same step.
  const { ip } = words;
  const anew = [`add table ${ip} kube-proxy`, `delete table ${ip} kube-proxy`];
  return `${[...anew, ...framework(words), ...ports].join("\n")}\n`;
}
