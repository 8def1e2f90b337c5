// What the demo is about: one service with three ports, its clients and its backends.

/** `sessionAffinity: ClientIP`, with Kubernetes' default time-out. */
export const SERVICE = {
  namespace: "default",
  name: "demo",
  address: "10.96.0.10",
  affinitySeconds: 10800,
  ports: [
    { name: "http", transport: "tcp", port: 80, title: "HTTP :80" },
    { name: "http-alt", transport: "tcp", port: 8080, title: "HTTP :8080" },
    { name: "netflow", transport: "udp", port: 2055, title: "UDP :2055" },
  ],
};

function hosts(kind, prefix, count) {
  return Array.from({ length: count }, (_, index) => ({
    name: `${kind} ${index + 1}`,
    address: `${prefix}.${index + 1}`,
    /** The device on the node that leads to it. */
    nodeDevice: `${kind}${index + 1}`,
  }));
}

export const CLIENTS = hosts("client", "10.0.0", 8);
export const BACKENDS = hosts("backend", "10.244.0", 3);

/** The node, as clients and backends see it. */
export const NODE = { clientSide: "10.0.0.254", backendSide: "10.244.0.254" };

/**
 * sfunnel's rules. Both kinds of flow travel as TCP to port 80, so that port 80 alone decides on
 * the backend. The carrier's source port tells the other side which kind is inside.
 */
export const RULES = {
  client: [
    `ip daddr ${SERVICE.address} tcp dport 8080 actions funnel tcp dport 80 sport 540`,
    `ip daddr ${SERVICE.address} udp dport 2055 actions funnel tcp dport 80 sport 541`,
  ],
  backend: [
    "tcp dport 80 sport 540 actions unfunnel tcp allow 8080",
    "tcp dport 80 sport 541 actions unfunnel udp allow 2055",
  ],
};
