/** What a plan cannot see to itself. */
import { formatPortRange, formatPorts, normalisePorts, portsInclude } from "../rules/ports.ts";
import type { Asked } from "./read-options.ts";
import { carriersNeedSourcePort } from "./sides.ts";
import type { Travel } from "./travel.ts";
import type { PlanWarning, PlanWarningCode } from "./types.ts";

/** BGP, the connection that is signed most often. */
const BGP_PORT = 179;

type Message = string | undefined;

/** Those that this plan is concerned with, in an order that does not change. */
export function warningsOf(asked: Asked, travel: Travel): readonly PlanWarning[] {
  const { over, servicePort } = asked;
  const service = `${over.toUpperCase()}/${servicePort}`;
  if (travel.flows.every(({ mode }) => mode === "direct")) {
    const message = `All flows go to ${service}, the service port itself: nothing has to be done.`;
    return [{ code: "nothing-to-funnel", message }];
  }
  const messages: Readonly<Record<Exclude<PlanWarningCode, "nothing-to-funnel">, Message>> = {
    "affinity-list":
      "kube-proxy in iptables mode remembers the last 100 client addresses of each endpoint " +
      "(xt_recent, ip_list_tot); a client that fell out of the list may get another backend.",
    "affinity-renewal":
      "A client's affinity is renewed by new connections alone, and ends 10800 seconds after the " +
      "last one; set sessionAffinityConfig.clientIP.timeoutSeconds to 86400, the maximum.",
    "affinity-per-node":
      "Affinity is a node's own: with several entry nodes, the router in front of them must " +
      "choose by the client's address alone, not by ports.",
    "policy-sees-service-port":
      `A NetworkPolicy sees ${service} and none of the ports behind it; "allow" in the rules of ` +
      "the service side says which of them can be reached.",
    "address-replaced": addressReplaced(asked),
    "backend-pinned": backendPinned(asked, travel),
    "source-port-matters": sourcePortMatters(asked, travel),
    "one-path": onePath(asked, travel),
    "signed-not-translated": signedNotTranslated(travel),
    mtu: mtu(travel),
  };
  return Object.entries(messages).flatMap(([code, message]) =>
    message === undefined ? [] : [{ code: code as PlanWarningCode, message }],
  );
}

function addressReplaced({ client }: Asked): Message {
  return client === "host"
    ? "Where the client is a node of the cluster, or a pod whose connections are balanced by its " +
        "socket, packets leave without the service's address (a ClusterIP), and no rule matches: " +
        "funnel on a host outside, or on the way."
    : undefined;
}

function backendPinned({ over, sport }: Asked, { carriers }: Travel): Message {
  if (over === "udp" || carriers.length === 0 || sport.every !== undefined) {
    return undefined;
  }
  const from = carriers.map((each) => formatPortRange(each.sport)).join(" and ");
  return (
    `Carriers of a client from one source port (${from}) are one connection to conntrack: when its ` +
    "backend dies, they go on to the dead one for two minutes, before Linux 5.14 for as long as " +
    "packets flow (kube-proxy clears such entries for UDP only). Let them move, with a source port " +
    "such as 540-571 every 4s, or take a service port of UDP."
  );
}

function sourcePortMatters(asked: Asked, travel: Travel): Message {
  if (!carriersNeedSourcePort(asked, travel)) {
    return undefined;
  }
  const { carriers } = travel;
  const kinds = carriers.map(
    ({ inner, sport }) => `${formatPortRange(sport)} (${inner.toUpperCase()} inside)`,
  );
  const need = carriers.length > 1 ? "tells what is inside carriers" : "knows carriers of UDP";
  return (
    `The service side ${need} by their source port, ${kinds.join(" and ")}: a NAT on the way that ` +
    "changes source ports (a masquerade) would break that."
  );
}

function onePath({ client }: Asked, { translated }: Travel): Message {
  if (client === "gateway") {
    return (
      "The gateway remembers what it has funneled: both directions of a flow must pass it. With " +
      'several gateways, plan for client "redundant-gateways".'
    );
  }
  if (client === "redundant-gateways" && translated.length > 0) {
    return (
      "A translated connection lives on the gateway where it began: both directions must pass " +
      "that one, and it is reset where another takes over. Asymmetric paths need encap."
    );
  }
  return undefined;
}

function signedNotTranslated({ translated }: Travel): Message {
  return portsInclude(translated, BGP_PORT)
    ? `BGP (TCP/${BGP_PORT}) is often signed by TCP-MD5 or TCP-AO, and so are its ports: a signed ` +
        'connection is left as it is, unfunneled. Where there are some, give the flow mode "encap".'
    : undefined;
}

function mtu({ flows }: Travel): Message {
  const grown = flows.filter(({ overhead }) => overhead > 0);
  const [first] = grown;
  if (first === undefined) {
    return undefined;
  }
  const ports = (["tcp", "udp"] as const).flatMap((protocol) => {
    const ranges = grown.filter((flow) => flow.protocol === protocol).flatMap((flow) => flow.ports);
    return ranges.length > 0
      ? [`${protocol.toUpperCase()}/${formatPorts(normalisePorts(ranges))}`]
      : [];
  });
  return (
    `Packets of ${ports.join(" and ")} grow by ${first.overhead} bytes. TCP makes room by its MSS; ` +
    `datagrams have to leave it: with an MTU of 1500, packets of ${1500 - first.overhead} bytes at ` +
    "most pass; larger ones are answered by ICMP."
  );
}
