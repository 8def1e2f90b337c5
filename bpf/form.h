/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What a TCP header shows beside ports: that of a carrier, or of a SYN with a mark. */
#ifndef SFUNNEL_FORM_H
#define SFUNNEL_FORM_H

#include <bpf/bpf_endian.h>

#include "abi.h"
#include "packet.h"

#define TCP_FLAG_FIN 0x01
#define TCP_FLAG_SYN 0x02
#define TCP_FLAG_RST 0x04
#define TCP_FLAG_ACK 0x10
#define TCP_FLAG_URG 0x20

/* Those that begin and end a connection; ECN (RFC 3168) and PSH have no part in that. */
#define TCP_FLAGS_OF_STATE (TCP_FLAG_FIN | TCP_FLAG_SYN | TCP_FLAG_RST | TCP_FLAG_ACK)

/* The fixed fields of a TCP carrier, by which it is told from a real connection. */
#define CARRIER_SEQ 0xcafebabeU
#define CARRIER_ACK 0xbabecafeU
#define CARRIER_WINDOW 1024
#define CARRIER_OFFSET 0x50             /* 5 words, in the upper half of its byte */
#define CARRIER_OFFSET_AND_FLAGS 0x5002 /* SYN alone */

/* The upper half of the acknowledgment number of a marked SYN; the lower one is the port. */
#define MARK 0x5f0eU

/* Does a TCP header have the fixed fields of a carrier? No real SYN has an ACK number and these. */
static __always_inline bool has_carrier_fields(const struct l4_start *start) {
    return start->tcp.seq == bpf_htonl(CARRIER_SEQ) && start->tcp.ack == bpf_htonl(CARRIER_ACK) &&
           start->tcp.offset == CARRIER_OFFSET && start->tcp.flags == TCP_FLAG_SYN &&
           start->tcp.window == bpf_htons(CARRIER_WINDOW);
}

/* Does this segment offer a connection? */
static __always_inline bool offers_connection(__u8 flags) {
    return (flags & TCP_FLAGS_OF_STATE) == TCP_FLAG_SYN;
}

/* Does it accept one? */
static __always_inline bool accepts_connection(__u8 flags) {
    return (flags & TCP_FLAGS_OF_STATE) == (TCP_FLAG_SYN | TCP_FLAG_ACK);
}

/* The port that the mark of a SYN names, if it is one. */
static __always_inline __u16 marked_port(const struct l4_start *start) {
    return bpf_ntohl(start->tcp.ack);
}

static __always_inline bool is_marked(const struct l4_start *start) {
    return offers_connection(start->tcp.flags) && !(start->tcp.flags & TCP_FLAG_URG) &&
           bpf_ntohl(start->tcp.ack) >> 16 == MARK &&
           bpf_ntohs(start->tcp.urgent) == (__u16)~marked_port(start);
}

static __always_inline __u8 form_of(const struct l4_start *start) {
    if (!offers_connection(start->tcp.flags))
        return SFUNNEL_PLAIN;
    if (has_carrier_fields(start))
        return SFUNNEL_CARRIER;
    return is_marked(start) ? SFUNNEL_MARKED : SFUNNEL_PLAIN;
}

#endif
