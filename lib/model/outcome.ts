/**
 * What can become of a packet: one name for each counter of the kernel program, in the order
 * of `enum sfunnel_outcome` in bpf/abi.h.
 */
export const OUTCOMES = [
  /** No rule matched; passed untouched. */
  "no_match",
  /** A carrier was pushed. */
  "funneled",
  /** A carrier was removed. */
  "unfunneled",
  /** Passed untouched by an accept rule. */
  "accepted",
  /** Dropped by a drop rule. */
  "dropped",
  /** A reply to a flow that came funneled: its carrier was pushed, turned round. */
  "reply_funneled",
  /** A reply to a flow that left funneled: its carrier was removed. */
  "reply_unfunneled",
  /** Neither IPv4 nor IPv6; passed untouched. */
  "not_ip",
  /** IP, but neither TCP nor UDP; passed untouched. */
  "not_tcp_udp",
  /** IPv6 with another header before that of TCP or UDP; passed untouched. */
  "extension_header",
  /** Fragment offset or MF set, or an IPv6 fragment header, the first fragment included; passed untouched. */
  "fragment",
  /** A header is cut short or its lengths contradict the frame; passed untouched. */
  "malformed",
  /** An unfunnel rule matched, but this is no carrier (a real connection); passed untouched. */
  "not_carrier",
  /** A carrier for an inner port that the rule does not allow; dropped. */
  "not_allowed",
  /** Two clients share an address and port, and no free port was found to tell them apart; dropped. */
  "no_free_port",
  /** Kernel only: handed to the segmenter; its segments come by again. */
  "segmented",
  /** Kernel only: a super-packet, and the segmenter is missing; dropped. */
  "no_segmenter",
  /** With a carrier it would exceed the MTU or 16000 bytes, and nobody asks to be told; dropped. */
  "too_big",
  /** The same, and the sender was told by ICMP; dropped, the frame is the error. */
  "too_big_reported",
  /** An ICMP error about a packet in a carrier, turned into one about the packet itself. */
  "error_unfunneled",
  /** An ICMP error about a packet that came in a carrier, turned into one about the carrier. */
  "error_funneled",
  /** An ICMP error that quotes too little of a carrier; passed untouched. */
  "quote_too_short",
  /** A real connection that would look like a funneled one: it goes on from another port. */
  "direct_remapped",
  /** A translating rule matched, but the connection began on the other side; passed untouched. */
  "translate_inbound",
  /** TCP-MD5 or TCP-AO sign the ports, so they cannot be translated; passed untouched. */
  "translate_signed",
  /** Nobody has confirmed that the port was put back: a SYN-ACK turned into a reset. */
  "translate_unconfirmed",
  /** A SYN on the ports of a translated connection that may be alive, turned into a question to it. */
  "translate_challenged",
  /** A translated SYN for a port that the rule does not allow; dropped, the frame is the reset. */
  "translate_not_allowed",
  /** A segment to be translated, of a connection that is not known; dropped, the frame is the reset. */
  "translate_lost",
  /** Kernel only: a helper failed after the packet was changed; dropped. */
  "failed",
] as const;

/** Name of what became of a packet. Every packet ends in exactly one. */
export type Outcome = (typeof OUTCOMES)[number];
