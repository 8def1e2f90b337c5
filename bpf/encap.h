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

/* Docs: wire format of `sport a-b`. The model computes the same. */
static __always_inline __u32 flow_hash_word(__u32 hash, __u32 word) {
    hash = (hash ^ word) * 0x85ebca6bU;
    return hash ^ (hash >> 15);
}

static __always_inline __u32 flow_hash(const struct sfunnel_flow *flow) {
    __u32 hash = 0x9e3779b9U;

#pragma unroll
    for (int word = 0; word < 4; word++)
        hash = flow_hash_word(hash, bpf_ntohl(flow->saddr[word]));
#pragma unroll
    for (int word = 0; word < 4; word++)
        hash = flow_hash_word(hash, bpf_ntohl(flow->daddr[word]));
    hash = flow_hash_word(hash, (__u32)flow->sport << 16 | flow->dport);
    return flow_hash_word(hash, flow->transport);
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

/* Protocol and length change, all else stays; the header checksum follows (RFC 1624). */
static __always_inline int rewrite_ip(struct packet *packet, __u8 protocol, __u32 ip_length) {
    void *data = (void *)(long)packet->skb->data;
    struct iphdr *ip = data + ETH_HLEN;
    __u16 length = bpf_htons(ip_length), checksum;

    if ((void *)(ip + 1) > (void *)(long)packet->skb->data_end)
        return -1;
    checksum = checksum_replace(ip->check, ip->tot_len, length);
    /* The protocol is the low byte of its word. */
    ip->check = checksum_replace(checksum, bpf_htons(ip->protocol), bpf_htons(protocol));
    ip->tot_len = length;
    ip->protocol = protocol;
    return 0;
}

/* Writes the carrier at `header` and gives the sum of its bytes, checksum included. */
static __always_inline __u32 write_tcp_carrier(struct tcphdr *tcp, __u16 sport, __u16 dport,
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

static __always_inline __u32 write_udp_carrier(struct udphdr *udp, __u16 sport, __u16 dport,
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
 * options over the room that was made, and over the carrier that is removed. All lengths are
 * multiples of 4, so no sum changes.
 */
#define OPTIONS_SPACE 64
#define CARRIER_SPACE 32

static __noinline int options_before_room(struct __sk_buff *skb, __u32 length, __u32 room) {
    __u8 options[OPTIONS_SPACE] = {};

    barrier_var(length);
    length &= OPTIONS_SPACE - 1;
    if (length == 0)
        return 0;
    if (bpf_skb_load_bytes(skb, ROOM_OFFSET + room, options, length))
        return -1;
    return bpf_skb_store_bytes(skb, ROOM_OFFSET, options, length, 0);
}

static __noinline int options_behind_carrier(struct __sk_buff *skb, __u32 length, __u32 size) {
    __u8 options[OPTIONS_SPACE] = {};
    __u8 carrier[CARRIER_SPACE] = {};

    barrier_var(length);
    barrier_var(size);
    length &= OPTIONS_SPACE - 1;
    size &= CARRIER_SPACE - 1;
    if (length == 0 || size == 0)
        return 0;
    if (bpf_skb_load_bytes(skb, ROOM_OFFSET, options, length) ||
        bpf_skb_load_bytes(skb, ROOM_OFFSET + length, carrier, size) ||
        bpf_skb_store_bytes(skb, ROOM_OFFSET, carrier, size, 0))
        return -1;
    return bpf_skb_store_bytes(skb, ROOM_OFFSET + size, options, length, 0);
}

static __always_inline enum sfunnel_outcome push_carrier(struct packet *packet,
                                                         const struct sfunnel_rule *rule) {
    struct __sk_buff *skb = packet->skb;
    __u8 carrier = rule->other_transport;
    __u32 size = carrier_size(carrier);
    __u32 length = size + packet->l4_length;
    __u32 addresses = sum_addresses(&packet->flow);
    __u16 sport = carrier_source_port(rule, &packet->flow);
    void *data, *header;
    __u32 sum;
    long error;

    if (packet->ip_length + size > IP_MAX_LENGTH)
        return SFUNNEL_TOO_BIG;
    if (skb->gso_size)
        return SFUNNEL_GSO;

    if (settle_inner_checksum(packet, &sum))
        return SFUNNEL_FAILED;
    error = bpf_skb_adjust_room(skb, size, BPF_ADJ_ROOM_NET, 0);
    if (error)
        return error == -ENOTSUPP ? SFUNNEL_TOO_BIG : SFUNNEL_FAILED;

    if (packet->options_length && options_before_room(skb, packet->options_length, size))
        return SFUNNEL_FAILED;

    sum = sum_add(sum, sum_add(addresses, sum_pseudo(carrier, length)));
    data = (void *)(long)skb->data;
    header = data + (packet->l4_offset & HEADER_OFFSET_MASK);
    if (carrier == IPPROTO_TCP) {
        if (header + sizeof(struct tcphdr) > (void *)(long)skb->data_end)
            return SFUNNEL_FAILED;
        sum = write_tcp_carrier(header, sport, rule->carrier_dport, sum);
    } else {
        if (header + sizeof(struct udphdr) > (void *)(long)skb->data_end)
            return SFUNNEL_FAILED;
        sum = write_udp_carrier(header, sport, rule->carrier_dport, length, sum);
    }
    if (rewrite_ip(packet, carrier, packet->ip_length + size))
        return SFUNNEL_FAILED;
    /* CHECKSUM_COMPLETE covers the new bytes as well; anything else ignores this. */
    if (packet->direction == SFUNNEL_INGRESS)
        bpf_csum_update(skb, sum);
    return SFUNNEL_FUNNELED;
}

/* Does the packet, which came on the carrier's ports, carry anything? */
static __always_inline enum sfunnel_outcome
find_inner(struct packet *packet, const struct sfunnel_rule *rule, __u16 *inner_dport) {
    __u32 size = carrier_size(packet->flow.transport);
    __u32 inner_length;

    if (packet->l4_length < size)
        return SFUNNEL_NOT_CARRIER;
    inner_length = packet->l4_length - size;

    if (packet->flow.transport == IPPROTO_TCP) {
        struct tcphdr *tcp = header_at(packet->skb, packet->l4_offset, sizeof(*tcp));

        if (!tcp || tcp->seq != bpf_htonl(CARRIER_SEQ) || tcp->ack_seq != bpf_htonl(CARRIER_ACK) ||
            *offset_and_flags(tcp) != bpf_htons(CARRIER_OFFSET_AND_FLAGS) ||
            tcp->window != bpf_htons(CARRIER_WINDOW))
            return SFUNNEL_NOT_CARRIER;
    }

    if (rule->other_transport == IPPROTO_TCP) {
        struct tcphdr *inner;

        if (inner_length < sizeof(*inner))
            return SFUNNEL_NOT_CARRIER;
        inner = header_at(packet->skb, packet->l4_offset + size, sizeof(*inner));
        if (!inner || inner->doff < 5 || inner->doff * 4U > inner_length)
            return SFUNNEL_NOT_CARRIER;
        *inner_dport = bpf_ntohs(inner->dest);
    } else {
        struct udphdr *inner;

        if (inner_length < sizeof(*inner))
            return SFUNNEL_NOT_CARRIER;
        inner = header_at(packet->skb, packet->l4_offset + size, sizeof(*inner));
        if (!inner || bpf_ntohs(inner->len) != inner_length)
            return SFUNNEL_NOT_CARRIER;
        *inner_dport = bpf_ntohs(inner->dest);
    }
    return GO_ON;
}

static __always_inline enum sfunnel_outcome pop_carrier(struct packet *packet,
                                                        const struct sfunnel_rule *rule) {
    struct __sk_buff *skb = packet->skb;
    __u32 size = carrier_size(packet->flow.transport);
    __u8 inner = rule->other_transport;
    enum sfunnel_outcome outcome;
    __u16 inner_dport = 0;

    outcome = find_inner(packet, rule, &inner_dport);
    if (outcome != GO_ON)
        return outcome;
    if (!port_matches(&rule->allow, inner_dport))
        return SFUNNEL_NOT_ALLOWED;
    if (skb->gso_size)
        return SFUNNEL_GSO;

    /* The addresses that count are those of now, behind any NAT. */
    if (adjust_l4_checksum(skb, packet->l4_offset + size, inner, sum_addresses(&packet->flow)))
        return SFUNNEL_FAILED;
    if (packet->options_length && options_behind_carrier(skb, packet->options_length, size))
        return SFUNNEL_FAILED;
    if (bpf_skb_adjust_room(skb, -(__s32)size, BPF_ADJ_ROOM_NET, 0))
        return SFUNNEL_FAILED;
    if (rewrite_ip(packet, inner, packet->ip_length - size))
        return SFUNNEL_FAILED;
    return SFUNNEL_UNFUNNELED;
}

#endif
