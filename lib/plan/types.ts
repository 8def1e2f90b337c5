/** What `plan()` takes and gives. */
import type { PortsInput } from "../rules/builders.ts";
import type { PortRange, Rule, Transport } from "../rules/types.ts";

/** The one service port that all flows go through. */
export interface PlanService {
  /**
   * Addresses under which clients reach the service, of either family or of both; no prefixes.
   * Rules of the client side are about packets to them.
   */
  readonly address: string | readonly string[];
  /** The port, 1 to 65535. Its own traffic goes on as it is. */
  readonly port: number;
  /** Protocol of the port. Over UDP a carrier costs 8 bytes a packet, over TCP 20. */
  readonly protocol: Transport;
}

/** How TCP travels over TCP. UDP, and everything over UDP, always has a carrier ("encap"). */
export type TcpMode = "translate" | "encap";

/** Flows to some ports of the service. A port may be named once for each protocol. */
export interface PlanFlow {
  readonly protocol: Transport;
  /** Destination ports, as the clients know them. */
  readonly port: PortsInput;
  /** How these flows travel. Left out: as `tcp` of the plan says, and "encap" for UDP. */
  readonly mode?: TcpMode;
}

/**
 * Where flows are funneled:
 * - "host": where they begin, as they leave (egress).
 * - "gateway": on the one gateway that they pass in both directions, as they come in (ingress) on
 *   the interface to the clients.
 * - "redundant-gateways": on each of several, where answers may pass another one than the flow.
 */
export type PlanClient = "host" | "gateway" | "redundant-gateways";

export interface PlanOptions {
  readonly service: PlanService;
  /** At least one. */
  readonly flows: readonly PlanFlow[];
  /** Default: "host". */
  readonly client?: PlanClient;
  /**
   * How TCP flows travel that do not say it themselves. Default: "translate"; "encap" over UDP and
   * with redundant gateways, since a translated flow needs one node for both directions.
   */
  readonly tcp?: TcpMode;
  /**
   * Source port of the carriers, or several. Where carriers of TCP and of UDP have to be told apart,
   * the second kind has the next one, or the next as many. Default: 540.
   */
  readonly sport?: number | CarrierPorts;
}

/**
 * Source ports `first` to `last` of carriers. With `every` (seconds) carriers of TCP move from one to
 * the next with time, so that conntrack does not pin them to a dead backend.
 */
export interface CarrierPorts {
  readonly first: number;
  readonly last: number;
  readonly every?: number;
}

/** Rule lists of one side, as `Funnel.load` takes them. An empty one needs no rule. */
export interface PlanSide {
  readonly ingress: readonly Rule[];
  readonly egress: readonly Rule[];
}

/** How some flows travel. */
export interface PlannedFlow {
  readonly protocol: Transport;
  /** Destination ports, sorted and merged. */
  readonly ports: readonly PortRange[];
  /** "direct": it is the service port itself, and nothing is done to it. */
  readonly mode: TcpMode | "direct";
  /** Bytes that each of its packets grows by on the way: 0, 8 or 20. */
  readonly overhead: number;
  /** Source port of its carriers, or several; undefined without one. */
  readonly sport: number | CarrierPorts | undefined;
}

/** What a warning is about. */
export type PlanWarningCode =
  /** kube-proxy in iptables mode remembers 100 client addresses an endpoint. */
  | "affinity-list"
  /** Affinity is renewed by new connections alone, and ends after a time. */
  | "affinity-renewal"
  /** Affinity is a node's own: what stands before several nodes has to hash by address. */
  | "affinity-per-node"
  /** A NetworkPolicy sees the service port alone. */
  | "policy-sees-service-port"
  /** An address of the service that is replaced before packets leave is never seen. */
  | "address-replaced"
  /** conntrack keeps carriers of TCP on a dead backend for a time. */
  | "backend-pinned"
  /** A NAT that changes the source port of carriers would break the plan. */
  | "source-port-matters"
  /** Both directions of a flow have to pass the same node of the client side. */
  | "one-path"
  /** TCP-MD5 and TCP-AO sign ports, so that signed connections are not translated. */
  | "signed-not-translated"
  /** Packets grow, and the MTU does not. */
  | "mtu"
  /** All flows go to the service port itself: there is nothing to do. */
  | "nothing-to-funnel";

export interface PlanWarning {
  /** A stable word for programs. */
  readonly code: PlanWarningCode;
  /** A sentence or two: what happens, and what to do about it. */
  readonly message: string;
}

/** Plain frozen data. */
export interface Plan {
  /** For each client, or each gateway. */
  readonly client: PlanSide;
  /** For each backend of the service, in its network namespace. */
  readonly service: PlanSide;
  /** Every flow, in the order of the options; one that holds the service port is two. */
  readonly flows: readonly PlannedFlow[];
  /** The most bytes that a packet of any flow grows by: 0, 8 or 20. */
  readonly overhead: number;
  /** What to know before it runs; only what this plan is concerned with. */
  readonly warnings: readonly PlanWarning[];
}
