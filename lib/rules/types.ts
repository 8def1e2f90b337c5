/**
 * Rules are plain immutable data. The text form (`parseRules`, `formatRules`) and the
 * builders (`tcp()`, `udp()`) are two ways to write what is declared here.
 */

/** Layer 4 protocol of a flow or of a carrier. */
export type Transport = "tcp" | "udp";

/** IP version, under the names that nftables uses: "ip" is IPv4, "ip6" is IPv6. */
export type Family = "ip" | "ip6";

/** Which hook of an interface a list of rules serves. */
export type Direction = "ingress" | "egress";

/** Ports `first` to `last`, both included, 1 to 65535. A single port has `first === last`. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** Matches a port in (or, negated, outside) all of the ranges. Never empty; sorted and merged. */
export interface PortMatch {
  readonly negate: boolean;
  readonly ranges: readonly PortRange[];
}

/** A network prefix in canonical text: host bits zero, IPv6 compressed as RFC 5952 writes it. */
export interface Prefix {
  /** e.g. "10.0.0.0" or "2001:db8::" */
  readonly address: string;
  /** Prefix length in bits: 0 to 32, or 0 to 128. */
  readonly length: number;
}

/**
 * Matches an address inside (or, negated, outside) all of the prefixes. All of one family: negated as
 * well, it holds for packets of that family alone.
 */
export interface AddressMatch {
  readonly negate: boolean;
  readonly prefixes: readonly Prefix[];
}

/** Which packets a rule is about. Everything that is left out matches anything. */
export interface Match {
  /** Left out: both families. An address match sets it. */
  readonly family?: Family;
  readonly transport: Transport;
  readonly saddr?: AddressMatch;
  readonly daddr?: AddressMatch;
  readonly sport?: PortMatch;
  readonly dport?: PortMatch;
  /** Source or destination port; negated: neither of the two is in the ranges. */
  readonly port?: PortMatch;
}

/** Source port that a carrier shows. */
export type CarrierSourcePort =
  | { readonly kind: "fixed"; readonly port: number }
  /** The flow's own source port. */
  | { readonly kind: "keep" }
  /**
   * Spread over the range by a hash of the inner flow; with `every` (seconds) the range is
   * walked through with time.
   */
  | {
      readonly kind: "range";
      readonly first: number;
      readonly last: number;
      readonly every?: number;
    };

/** Push a carrier header between IP and the flow's own header. */
export interface FunnelEncap {
  readonly kind: "funnel";
  readonly mode: "encap";
  /** Protocol of the carrier. */
  readonly over: Transport;
  /** Destination port of the carrier: the service port. */
  readonly dport: number;
  readonly sport: CarrierSourcePort;
}

/** Rewrite the destination port in place (TCP over TCP). */
export interface FunnelTranslate {
  readonly kind: "funnel";
  readonly mode: "translate";
  readonly over: "tcp";
  readonly dport: number;
}

/** Remove a carrier header. */
export interface UnfunnelDecap {
  readonly kind: "unfunnel";
  readonly mode: "decap";
  /** Protocol of the flow inside. */
  readonly inner: Transport;
  /** Inner destination ports that may pass; all others are dropped. Left out: all may. */
  readonly allow?: readonly PortRange[];
}

/** Put a translated port back. */
export interface UnfunnelTranslate {
  readonly kind: "unfunnel";
  readonly mode: "translate";
  readonly inner: "tcp";
  readonly allow: readonly PortRange[];
}

export interface Accept {
  readonly kind: "accept";
}

export interface Drop {
  readonly kind: "drop";
}

export type Action =
  | FunnelEncap
  | FunnelTranslate
  | UnfunnelDecap
  | UnfunnelTranslate
  | Accept
  | Drop;

/** One rule: the first rule of a list whose match holds decides what happens to a packet. */
export interface Rule {
  readonly match: Match;
  readonly action: Action;
  readonly comment?: string;
}

/** The rules of both directions, as `Funnel.load` and `simulate` take them. */
export interface Ruleset {
  readonly ingress?: readonly Rule[];
  readonly egress?: readonly Rule[];
}
