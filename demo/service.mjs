// What the demo is about: one service with three ports, its clients and its backends, on IPv4 or
// on IPv6.

const CLIENTS = 8;
const BACKENDS = 3;

/** What differs between the families. `network` is what the addresses of hosts begin with. */
const FAMILIES = {
  ipv4: {
    serviceAddress: "10.96.0.10",
    clients: { network: "10.0.0.", gateway: "254" },
    backends: { network: "10.244.0.", gateway: "254" },
    /** Nobody's: what the tests hide a client behind. */
    strange: "10.9.9.9",
  },
  ipv6: {
    serviceAddress: "fd00:96::10",
    clients: { network: "2001:db8::", gateway: "fe" },
    backends: { network: "fd00:244::", gateway: "fe" },
    strange: "fd00:9::9",
  },
};

function hosts(kind, network, count) {
  return Array.from({ length: count }, (_, index) => ({
    name: `${kind} ${index + 1}`,
    address: `${network}${index + 1}`,
    /** The device on the node that leads to it. */
    nodeDevice: `${kind}${index + 1}`,
  }));
}

/** All of it for "ipv4" or "ipv6". */
export function scene(family) {
  const { serviceAddress, clients, backends, strange } = FAMILIES[family];
  return {
    family,
    /** `sessionAffinity: ClientIP`, with Kubernetes' default time-out. */
    service: {
      namespace: "default",
      name: "demo",
      address: serviceAddress,
      affinitySeconds: 10800,
      ports: PORTS,
    },
    clients: hosts("client", clients.network, CLIENTS),
    backends: hosts("backend", backends.network, BACKENDS),
    /** The node, as clients and backends see it. */
    node: {
      clientSide: `${clients.network}${clients.gateway}`,
      backendSide: `${backends.network}${backends.gateway}`,
    },
    strange,
  };
}

/** Ports of the service. */
export const PORTS = [
  { name: "http", transport: "tcp", port: 80, title: "HTTP :80" },
  { name: "http-alt", transport: "tcp", port: 8080, title: "HTTP :8080" },
  { name: "netflow", transport: "udp", port: 2055, title: "UDP :2055" },
];
