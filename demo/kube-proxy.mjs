// The iptables rules (or ip6tables, by the addresses) that kube-proxy writes in its iptables mode for
// a service with `sessionAffinity: ClientIP`. Chains carry the names that kube-proxy gives them.
import { createHash } from "node:crypto";

/** Address and port, as Kubernetes and iptables write them. */
function endpointOf(address, port) {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/** Digits of base 32 (RFC 4648), eight for each five bytes, of the SHA-256. */
export function hashOf(text, bytes) {
  const hash = createHash("sha256").update(text).digest();
  let bits = "";
  for (const byte of hash.subarray(0, bytes)) bits += byte.toString(2).padStart(8, "0");
  return bits.replace(/.{5}/g, (digit) => BASE32[Number.parseInt(digit, 2)]);
}

/** 16 digits: kube-proxy keeps within iptables' 28 characters. */
const nameOf = (text) => hashOf(text, 10);

export function serviceChain(portName, transport) {
  return `KUBE-SVC-${nameOf(portName + transport)}`;
}

export function endpointChain(portName, transport, endpoint) {
  return `KUBE-SEP-${nameOf(portName + transport + endpoint)}`;
}

const comment = (text) => `-m comment --comment "${text}"`;

/** Asks each endpoint in turn whether it has seen the client of late, and draws lots if none has. */
function choose(chain, { portName, affinitySeconds }, endpoints) {
  const to = ({ endpoint }) => `-A ${chain} ${comment(`${portName} -> ${endpoint}`)}`;
  return [
    ...endpoints.map(
      (endpoint) =>
        `${to(endpoint)} -m recent --name ${endpoint.chain} --rcheck` +
        ` --seconds ${affinitySeconds} --reap -j ${endpoint.chain}`,
    ),
    ...endpoints.map((endpoint, index) => {
      const left = endpoints.length - index;
      const lots =
        left > 1 ? ` -m statistic --mode random --probability ${(1 / left).toFixed(10)}` : "";
      return `${to(endpoint)}${lots} -j ${endpoint.chain}`;
    }),
  ];
}

/** Takes the client down (recent --set) and translates. */
function serve({ portName, protocol }, { chain, address, endpoint }) {
  const rule = `-A ${chain} ${comment(portName)}`;
  return [
    `${rule} -s ${address} -j KUBE-MARK-MASQ`,
    `${rule} -m recent --name ${chain} --set ${protocol} -j DNAT --to-destination ${endpoint}`,
  ];
}

/**
 * What comes to a load balancer's address or to a node port. With the policy "Local" it stays on
 * this node and keeps its address, unless it comes from the node itself or from a pod; else it gets
 * the node's, since the endpoint may be on another node.
 */
function external({ portName, chains, isLocal }, clusterCidr) {
  const rule = (text) =>
    `-A ${chains.external} ${comment(`${text} ${portName} external destinations`)}`;
  const ofNode = "-m addrtype --src-type LOCAL";
  if (!isLocal) {
    return [
      `${rule("masquerade traffic for")} -j KUBE-MARK-MASQ`,
      `-A ${chains.external} -j ${chains.cluster}`,
    ];
  }
  const ofPods = `${rule("pod traffic for")} -s ${clusterCidr} -j ${chains.cluster}`;
  return [
    ...(clusterCidr ? [ofPods] : []),
    `${rule("masquerade LOCAL traffic for")} ${ofNode} -j KUBE-MARK-MASQ`,
    `${rule("route LOCAL traffic for")} ${ofNode} -j ${chains.cluster}`,
    `-A ${chains.external} -j ${chains.local}`,
  ];
}

/** A port of a service with all that its rules speak of. */
function servicePort(service, { name, transport, port, targetPort = port, nodePort }, backends) {
  const portName = `${service.namespace}/${service.name}:${name}`;
  const cluster = serviceChain(portName, transport);
  const { affinitySeconds, loadBalancerAddress } = service;
  const endpoints = backends.map(({ address, remote = false }) => {
    const endpoint = endpointOf(address, targetPort);
    return { address, remote, endpoint, chain: endpointChain(portName, transport, endpoint) };
  });
  return {
    ...{ portName, affinitySeconds, loadBalancerAddress, port, nodePort, endpoints },
    clusterIp: service.address,
    protocol: `-m ${transport} -p ${transport}`,
    chains: {
      cluster,
      local: cluster.replace("SVC", "SVL"),
      external: cluster.replace("SVC", "EXT"),
    },
    isLocal: service.externalTrafficPolicy === "Local",
    hasExternal: (loadBalancerAddress ?? nodePort) !== undefined,
  };
}

/** The lists of clients belong to the port: here affinity ends. */
function portRules(port, clusterCidr) {
  const { portName, chains, protocol, endpoints, isLocal, hasExternal } = port;
  const to = (text, address) =>
    `${comment(`${portName} ${text}`)} ${protocol} -d ${address} --dport ${port.port}`;
  const atClusterIp = to("cluster IP", port.clusterIp);
  const local = hasExternal && isLocal;
  const localEndpoints = endpoints.filter(({ remote }) => !remote);
  return {
    chains: [
      chains.cluster,
      ...(local ? [chains.local] : []),
      ...(hasExternal ? [chains.external] : []),
      ...endpoints.map(({ chain }) => chain),
    ],
    services: [
      `-A KUBE-SERVICES ${atClusterIp} -j ${chains.cluster}`,
      ...(port.loadBalancerAddress
        ? [
            `-A KUBE-SERVICES ${to("loadbalancer IP", port.loadBalancerAddress)} -j ${chains.external}`,
          ]
        : []),
    ],
    rules: [
      ...(port.nodePort
        ? [
            `-A KUBE-NODEPORTS ${comment(portName)} ${protocol} --dport ${port.nodePort} -j ${chains.external}`,
          ]
        : []),
      ...(hasExternal ? external(port, clusterCidr) : []),
      ...(clusterCidr
        ? [`-A ${chains.cluster} ${atClusterIp} ! -s ${clusterCidr} -j KUBE-MARK-MASQ`]
        : []),
      ...choose(chains.cluster, port, endpoints),
      ...(local ? choose(chains.local, port, localEndpoints) : []),
      ...endpoints.flatMap((endpoint) => serve(port, endpoint)),
    ],
  };
}

/**
 * All of it, for iptables-restore or ip6tables-restore.
 *
 * A service may have a `loadBalancerAddress` and an `externalTrafficPolicy`, its ports a
 * `targetPort` and a `nodePort`; a backend is `remote` if it is on another node. `clusterCidr`: where
 * pods have their addresses; what comes to a cluster IP from elsewhere gets the node's.
 */
export function kubeProxyRules(service, backends, { clusterCidr } = {}) {
  const ports = service.ports.map((port) =>
    portRules(servicePort(service, port, backends), clusterCidr),
  );
  const nodePorts = "kubernetes service nodeports; NOTE: this must be the last rule in this chain";
  return `${[
    "*filter",
    ":KUBE-FORWARD - [0:0]",
    '-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD',
    "-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP",
    '-A KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark 0x4000/0x4000 -j ACCEPT',
    '-A KUBE-FORWARD -m comment --comment "kubernetes forwarding conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
    "COMMIT",
    "*nat",
    ":KUBE-SERVICES - [0:0]",
    ":KUBE-NODEPORTS - [0:0]",
    ":KUBE-POSTROUTING - [0:0]",
    ":KUBE-MARK-MASQ - [0:0]",
    ...ports.flatMap(({ chains }) => chains.map((chain) => `:${chain} - [0:0]`)),
    '-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
    '-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
    '-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING',
    "-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN",
    "-A KUBE-POSTROUTING -j MARK --xor-mark 0x4000",
    '-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully',
    "-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000",
    ...ports.flatMap(({ services }) => services),
    `-A KUBE-SERVICES ${comment(nodePorts)} -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS`,
    ...ports.flatMap(({ rules }) => rules),
    "COMMIT",
  ].join("\n")}\n`;
}
