/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* encap mode: Eth / IP / L4 becomes Eth / IP / carrier / L4, and back. */
#ifndef SFUNNEL_ENCAP_H
#define SFUNNEL_ENCAP_H

#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "checksum.h"
#include "classify.h"
#include "flows.h"
#include "hash.h"
#include "parse.h"

/* The fixed fields of a TCP carrier, by which it is told from a real connection. */
#define CARRIER_SEQ 0xcafebabeU
#define CARRIER_ACK 0xbabecafeU
#define CARRIER_WINDOW 1024
#define CARRIER_OFFSET_AND_FLAGS 0x5002 /* data offset 5 words, SYN alone */

/* The kernel's own errno, which user space never sees as such. */
#define ENOTSUPP 524

/* The 13th and 14th byte of a TCP header as one word: data offset, reserved, flags. */
static __always_inline __u16 *offset_and_flags(struct tcphdr *tcp) {
    return (__u16 *)((void *)tcp + 12);
}

static __always_inline __u32 carrier_size(__u8 transport) {
    return transport == IPPROTO_TCP ? sizeof(struct tcphdr) : sizeof(struct udphdr);
}

static __always_inline __u16 carrier_source_port(const struct sfunnel_rule *rule,
                                                 const struct sfunnel_flow *flow) {
    __u64 span;

    switch (rule->carrier_sport_kind) {
    case SFUNNEL_SPORT_KEEP:
        return flow->sport;
    case SFUNNEL_SPORT_HASH:
        span = (__u32)rule->carrier_sport_last - rule->carrier_sport_first + 1;
        return rule->carrier_sport_first + (span * flow_hash(flow) >> 32);
    default:
        return rule->carrier_sport_first;
    }
}

/* The part of an IPv4 header that changes: from the length to the checksum. */
struct ip_middle {
    __u16 total_length;
    __u16 id;
    __u16 fragment;
    __u8 ttl;
    __u8 protocol;
    __u16 checksum;
};

/* Protocol and length change, all else stays; the header checksum follows (RFC 1624). */
static __always_inline int rewrite_ip(struct packet *packet, __u8 protocol, __u32 ip_length) {
    __u32 offset = ETH_HLEN + offsetof(struct iphdr, tot_len);
    __u16 length = bpf_htons(ip_length), checksum;
    struct ip_middle ip;

    if (read_header(packet->skb, offset, &ip, sizeof(ip)))
        return -1;
    checksum = checksum_replace(ip.checksum, ip.total_length, length);
    /* The protocol is the low byte of its word. */
    ip.checksum = checksum_replace(checksum, bpf_htons(ip.protocol), bpf_htons(protocol));
    ip.total_length = length;
    ip.protocol = protocol;
    return bpf_skb_store_bytes(packet->skb, offset, &ip, sizeof(ip), 0);
}

/* Fills in the carrier and gives the sum of its bytes, checksum included. */
static __always_inline __u32 fill_tcp_carrier(struct tcphdr *tcp, __u16 sport, __u16 dport,
                                              __u32 sum) {
    __u32 header;

    tcp->source = bpf_htons(sport);
    tcp->dest = bpf_htons(dport);
    tcp->seq = bpf_htonl(CARRIER_SEQ);
    tcp->ack_seq = bpf_htonl(CARRIER_ACK);
    *offset_and_flags(tcp) = bpf_htons(CARRIER_OFFSET_AND_FLAGS);
    tcp->window = bpf_htons(CARRIER_WINDOW);
    tcp->urg_ptr = 0;
    header = bpf_htons(sport) + bpf_htons(dport) + bpf_htons(CARRIER_OFFSET_AND_FLAGS) +
             bpf_htons(CARRIER_WINDOW);
    header = sum_add(header, bpf_htonl(CARRIER_SEQ));
    header = sum_add(header, bpf_htonl(CARRIER_ACK));
    tcp->check = checksum_of(sum_add(sum, header));
    return sum_add(header, tcp->check);
}

static __always_inline __u32 fill_udp_carrier(struct udphdr *udp, __u16 sport, __u16 dport,
                                              __u16 length, __u32 sum) {
    __u32 header = bpf_htons(sport) + bpf_htons(dport) + bpf_htons(length);

    udp->source = bpf_htons(sport);
    udp->dest = bpf_htons(dport);
    udp->len = bpf_htons(length);
    udp->check = udp_checksum_of(sum_add(sum, header));
    return sum_add(header, udp->check);
}

/*
 * The room lies behind the 20 fixed bytes, also where options follow. These two carry the
 * options, of which there are some, over the room that was made, and over the carrier that is
 * removed. All lengths are multiples of 4, so no sum changes.
 */
#define OPTIONS_SPACE 64
#define CARRIER_SPACE 32

static __noinline int options_before_room(struct __sk_buff *skb, __u32 length, __u32 room) {
    __u8 options[OPTIONS_SPACE] = {};

    length = bounded(length, OPTIONS_SPACE);
    if (bpf_skb_load_bytes(skb, ROOM_OFFSET + room, options, length))
        return -1;
    return bpf_skb_store_bytes(skb, ROOM_OFFSET, options, length, 0);
}

static __noinline int options_behind_carrier(struct __sk_buff *skb, __u32 length, __u32 size) {
    __u8 options[OPTIONS_SPACE] = {};
    __u8 carrier[CARRIER_SPACE] = {};

    length = bounded(length, OPTIONS_SPACE);
    size = bounded(size, CARRIER_SPACE);
    if (bpf_skb_load_bytes(skb, ROOM_OFFSET, options, length) ||
        bpf_skb_load_bytes(skb, ROOM_OFFSET + length, carrier, size) ||
        bpf_skb_store_bytes(skb, ROOM_OFFSET, carrier, size, 0))
        return -1;
    return bpf_skb_store_bytes(skb, ROOM_OFFSET + size, options, length, 0);
}

/*
 * A frame longer than the device's MTU would be lost behind us without a word. bpf_skb_adjust_room
 * refuses to make one up to 5.11; the helper came with 5.12. The program for kernels before 5.17
 * does without, so on 5.12 to 5.16 such a frame is lost. Not inlined: that would double the work
 * of the verifier.
 */
static __noinline bool exceeds_mtu(const struct packet *packet, __u32 size) {
    __u32 mtu = 0;

    return HAS_LOOP_HELPER && packet->direction == SFUNNEL_EGRESS &&
           bpf_check_mtu(packet->skb, 0, &mtu, size, 0) == BPF_MTU_CHK_RET_FRAG_NEEDED;
}

/* Not inlined, as pop_carrier: one copy serves rules and replies. GO_ON where all went well. */
static __noinline int push_carrier(struct packet *packet, const struct carrier *carrier) {
    struct __sk_buff *skb = packet->skb;
    __u32 size = carrier_size(carrier->transport);
    __u32 length = size + packet->l4_length;
    __u32 sum;
    long error;

    if (packet->ip_length + size > IP_MAX_LENGTH)
        return SFUNNEL_TOO_BIG;
    if (skb->gso_size)
        return SFUNNEL_NO_SEGMENTER;
    if (exceeds_mtu(packet, size))
        return SFUNNEL_TOO_BIG;

    if (settle_inner_checksum(packet, &sum))
        return SFUNNEL_FAILED;
    error = bpf_skb_adjust_room(skb, size, BPF_ADJ_ROOM_NET, 0);
    if (error)
        return error == -ENOTSUPP ? SFUNNEL_TOO_BIG : SFUNNEL_FAILED;
    if (packet->options_length && options_before_room(skb, packet->options_length, size))
        return SFUNNEL_FAILED;

    sum = sum_add(sum, sum_addresses(&packet->flow));
    sum = sum_add(sum, sum_pseudo(carrier->transport, length));
    if (carrier->transport == IPPROTO_TCP) {
        struct tcphdr tcp;

        sum = fill_tcp_carrier(&tcp, carrier->sport, carrier->dport, sum);
        error = bpf_skb_store_bytes(skb, packet->l4_offset, &tcp, sizeof(tcp), 0);
    } else {
        struct udphdr udp;

        sum = fill_udp_carrier(&udp, carrier->sport, carrier->dport, length, sum);
        error = bpf_skb_store_bytes(skb, packet->l4_offset, &udp, sizeof(udp), 0);
    }
    if (error)
        return SFUNNEL_FAILED;
    if (rewrite_ip(packet, carrier->transport, packet->ip_length + size))
        return SFUNNEL_FAILED;
    /* CHECKSUM_COMPLETE covers the new bytes as well; anything else ignores this. */
    if (packet->direction == SFUNNEL_INGRESS)
        bpf_csum_update(skb, sum);
    return GO_ON;
}

/*
 * Does a TCP packet have the fixed fields of a carrier? No real SYN has an ACK number and these.
 */
static __noinline bool has_carrier_fields(const struct packet *packet) {
    struct tcphdr tcp;

    return !read_header(packet->skb, packet->l4_offset, &tcp, sizeof(tcp)) &&
           tcp.seq == bpf_htonl(CARRIER_SEQ) && tcp.ack_seq == bpf_htonl(CARRIER_ACK) &&
           *offset_and_flags(&tcp) == bpf_htons(CARRIER_OFFSET_AND_FLAGS) &&
           tcp.window == bpf_htons(CARRIER_WINDOW);
}

/* What lies under a carrier. */
struct inner {
    struct sfunnel_flow flow;
    bool begins; /* a TCP SYN without ACK */
};

/*
 * Reads the header under the carrier as one of `transport`. Not a carrier if it cannot be one:
 * under a UDP carrier, which has no fixed fields, the fitting lengths are all there is to see.
 */
static __noinline int find_inner(const struct packet *packet, __u32 transport,
                                 struct inner *inner) {
    __u32 size = carrier_size(packet->flow.transport);
    __u32 offset = packet->l4_offset + size, length;
    struct sfunnel_flow *flow = &inner->flow;

    if (packet->l4_length < size)
        return SFUNNEL_NOT_CARRIER;
    length = packet->l4_length - size;

    *flow = packet->flow;
    flow->transport = transport;
    inner->begins = false;
    if (transport == IPPROTO_TCP) {
        struct tcphdr tcp;

        if (length < sizeof(tcp) || read_header(packet->skb, offset, &tcp, sizeof(tcp)) ||
            tcp.doff < 5 || tcp.doff * 4U > length)
            return SFUNNEL_NOT_CARRIER;
        flow->sport = bpf_ntohs(tcp.source);
        flow->dport = bpf_ntohs(tcp.dest);
        inner->begins = tcp.syn && !tcp.ack;
    } else {
        struct udphdr udp;

        if (length < sizeof(udp) || read_header(packet->skb, offset, &udp, sizeof(udp)) ||
            bpf_ntohs(udp.len) != length)
            return SFUNNEL_NOT_CARRIER;
        flow->sport = bpf_ntohs(udp.source);
        flow->dport = bpf_ntohs(udp.dest);
    }
    return GO_ON;
}

static __noinline int pop_carrier(struct packet *packet, __u32 inner) {
    struct __sk_buff *skb = packet->skb;
    __u32 size = carrier_size(packet->flow.transport);

    if (skb->gso_size)
        return SFUNNEL_NO_SEGMENTER;
    /* The addresses that count are those of now, behind any NAT. */
    if (adjust_l4_checksum(skb, packet->l4_offset + size, inner, sum_addresses(&packet->flow)))
        return SFUNNEL_FAILED;
    if (packet->options_length && options_behind_carrier(skb, packet->options_length, size))
        return SFUNNEL_FAILED;
    if (bpf_skb_adjust_room(skb, -(__s32)size, BPF_ADJ_ROOM_NET, 0))
        return SFUNNEL_FAILED;
    if (rewrite_ip(packet, inner, packet->ip_length - size))
        return SFUNNEL_FAILED;
    return GO_ON;
}

/* A funnel rule has matched. */
static __noinline int funnel(struct packet *packet, const struct sfunnel_rule *rule) {
    struct carrier carrier = {
        .sport = carrier_source_port(rule, &packet->flow),
        .dport = rule->carrier_dport,
        .transport = rule->other_transport,
    };
    int outcome = push_carrier(packet, &carrier);

    if (outcome != GO_ON)
        return outcome;
    remember_funneled(packet, &carrier);
    return SFUNNEL_FUNNELED;
}

/* An unfunnel rule has matched the carrier, if it is one. */
static __noinline int unfunnel(struct packet *packet, const struct sfunnel_rule *rule) {
    struct carrier carrier = {
        .sport = packet->flow.sport,
        .dport = packet->flow.dport,
        .transport = packet->flow.transport,
    };
    __u32 offset = packet->l4_offset + carrier_size(carrier.transport);
    struct inner inner;
    __u16 port;
    int outcome;

    if (carrier.transport == IPPROTO_TCP && !has_carrier_fields(packet))
        return SFUNNEL_NOT_CARRIER;
    outcome = find_inner(packet, rule->other_transport, &inner);
    if (outcome != GO_ON)
        return outcome;
    if (!port_matches(&rule->allow, inner.flow.dport))
        return SFUNNEL_NOT_ALLOWED;

    port = remember_unfunneled(packet, &inner.flow, &carrier, inner.begins);
    if (port == 0)
        return SFUNNEL_NO_FREE_PORT;
    if (port != inner.flow.sport && rewrite_port(packet->skb, offset, inner.flow.transport,
                                                 PORT_SOURCE, (__u32)inner.flow.sport << 16 | port))
        return SFUNNEL_FAILED;
    outcome = pop_carrier(packet, inner.flow.transport);
    return outcome == GO_ON ? SFUNNEL_UNFUNNELED : outcome;
}

/* No rule has matched, but this may be the answer to a flow that came funneled. */
static __noinline int funnel_reply(struct packet *packet) {
    struct sfunnel_reply *reply = find_reply_to_funnel(packet);
    struct carrier carrier;
    __u16 port = packet->flow.dport;
    int outcome;

    if (!reply)
        return SFUNNEL_NO_MATCH;
    carrier.sport = reply->carrier_sport;
    carrier.dport = reply->carrier_dport;
    carrier.transport = reply->carrier_transport;
    if (reply->port != port && rewrite_port(packet->skb, packet->l4_offset, packet->flow.transport,
                                            PORT_DESTINATION, (__u32)port << 16 | reply->port))
        return SFUNNEL_FAILED;
    outcome = push_carrier(packet, &carrier);
    return outcome == GO_ON ? SFUNNEL_REPLY_FUNNELED : outcome;
}

/* Nor this; but it may bring the answer to a flow that left funneled. */
static __noinline int unfunnel_reply(struct packet *packet, __u32 replies) {
    struct inner inner;
    int outcome;

    if (packet->flow.transport == IPPROTO_TCP) {
        if (!(replies & SFUNNEL_REPLY_IN_TCP) || !has_carrier_fields(packet))
            return SFUNNEL_NO_MATCH;
    } else if (!(replies & SFUNNEL_REPLY_IN_UDP)) {
        return SFUNNEL_NO_MATCH;
    }

    /* The carrier does not tell what it carries; the length of UDP seldom fits by chance. */
    if (find_inner(packet, IPPROTO_UDP, &inner) != GO_ON ||
        !is_reply_to_unfunnel(packet, &inner.flow)) {
        if (find_inner(packet, IPPROTO_TCP, &inner) != GO_ON ||
            !is_reply_to_unfunnel(packet, &inner.flow))
            return SFUNNEL_NO_MATCH;
    }
    outcome = pop_carrier(packet, inner.flow.transport);
    return outcome == GO_ON ? SFUNNEL_REPLY_UNFUNNELED : outcome;
}

#endif
