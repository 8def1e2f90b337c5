// The iptables rules (or ip6tables, by the addresses) that kube-proxy writes for a service with `sessionAffinity: ClientIP`, in
// its iptables mode and without a cluster CIDR (with one, it would put its own address in place
// of the client's on the way to a cluster IP). Chains carry the names that kube-proxy gives them.
import { createHash } from "node:crypto";

/** Address and port, as Kubernetes and iptables write them. */
function endpointOf(address, port) {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/** 16 digits of base 32 (RFC 4648) of the SHA-256: kube-proxy keeps within iptables' 28 characters. */
function nameOf(text) {
  const hash = createHash("sha256").update(text).digest();
  let bits = "";
  for (const byte of hash.subarray(0, 10)) bits += byte.toString(2).padStart(8, "0");
  return bits.replace(/.{5}/g, (digit) => BASE32[Number.parseInt(digit, 2)]);
}

export function serviceChain(portName, transport) {
  return `KUBE-SVC-${nameOf(portName + transport)}`;
}

function endpointChain(portName, transport, endpoint) {
  return `KUBE-SEP-${nameOf(portName + transport + endpoint)}`;
}

/**
 * Of one service port: a chain that asks each endpoint in turn whether it has seen the client
 * of late, and draws lots if none has; a chain per endpoint that takes the client down (recent
 * --set) and translates. The lists of clients belong to the port: here affinity ends.
 */
function portRules(service, { name, transport, port }, backends) {
  const portName = `${service.namespace}/${service.name}:${name}`;
  const comment = (text) => `-m comment --comment "${text}"`;
  const chain = serviceChain(portName, transport);
  const endpoints = backends.map(({ address }) => {
    const endpoint = endpointOf(address, port);
    return { address, endpoint, chain: endpointChain(portName, transport, endpoint) };
  });
  const to = ({ endpoint }) => `-A ${chain} ${comment(`${portName} -> ${endpoint}`)}`;

  return {
    chains: [chain, ...endpoints.map((endpoint) => endpoint.chain)],
    rules: [
      `-A KUBE-SERVICES ${comment(`${portName} cluster IP`)} -m ${transport} -p ${transport}` +
        ` -d ${service.address} --dport ${port} -j ${chain}`,
      ...endpoints.map(
        (endpoint) =>
          `${to(endpoint)} -m recent --name ${endpoint.chain} --rcheck` +
          ` --seconds ${service.affinitySeconds} --reap -j ${endpoint.chain}`,
      ),
      ...endpoints.map((endpoint, index) => {
        const left = endpoints.length - index;
        const lots =
          left > 1 ? ` -m statistic --mode random --probability ${(1 / left).toFixed(10)}` : "";
        return `${to(endpoint)}${lots} -j ${endpoint.chain}`;
      }),
      ...endpoints.flatMap((endpoint) => [
        `-A ${endpoint.chain} ${comment(portName)} -s ${endpoint.address} -j KUBE-MARK-MASQ`,
        `-A ${endpoint.chain} ${comment(portName)} -m recent --name ${endpoint.chain} --set` +
          ` -m ${transport} -p ${transport} -j DNAT --to-destination ${endpoint.endpoint}`,
      ]),
    ],
  };
}

/** All of it, for iptables-restore or ip6tables-restore. */
export function kubeProxyRules(service, backends) {
  const ports = service.ports.map((port) => portRules(service, port, backends));
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
    ...ports.flatMap(({ rules }) => rules),
    "COMMIT",
  ].join("\n")}\n`;
}
