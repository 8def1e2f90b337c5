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
#include "parse.h"

/* The kernel's own errno, which user space never sees as such. */
#define ENOTSUPP 524

/* The 13th and 14th byte of a TCP header as one word: data offset, reserved, flags. */
static __always_inline __u16 *offset_and_flags(struct tcphdr *tcp) {
    return (__u16 *)((void *)tcp + 12);
}

static __always_inline __u32 carrier_size(__u8 transport) {
    return transport == IPPROTO_TCP ? sizeof(struct tcphdr) : sizeof(struct udphdr);
}

/*
 * Protocol and length change, by `growth` bytes, all else stays; the header checksum, which IPv6
 * has none of, follows (RFC 1624).
 */
static __always_inline struct ip_middle changed_ip(const struct ip_middle *before, __u8 protocol,
                                                   __s32 growth) {
    struct ip_middle after = *before;
    __u16 length = bpf_htons(bpf_ntohs(before->total_length) + growth);
    __u16 checksum = checksum_replace(before->checksum, before->total_length, length);

    /* The protocol is the low byte of its word. */
    after.checksum = checksum_replace(checksum, bpf_htons(before->protocol), bpf_htons(protocol));
    after.total_length = length;
    after.protocol = protocol;
    return after;
}

static __always_inline struct ip6_middle ip6_middle_of(const struct ip_middle *ip) {
    return (struct ip6_middle){
        .payload_length = ip->total_length,
        .next_header = ip->protocol,
        .hop_limit = ip->ttl,
    };
}

/*
 * What the sum of an IP header's bytes grows by. That of IPv4 stays as it is, its checksum sees to
 * that. The next header of IPv6 is the high byte of its word.
 */
static __always_inline __u32 sum_growth(const struct packet *packet) {
    const struct ip_middle *before = &packet->ip, *after = &packet->changed_ip;
    __u32 sum = (__u16)~before->total_length + after->total_length;

    if (!is_ip6(packet))
        return 0;
    return sum + (__u16)~bpf_htons(before->protocol << 8) + bpf_htons(after->protocol << 8);
}

/* Fills in the carrier and gives the sum of its bytes, checksum included. */
static __always_inline __u32 fill_tcp_carrier(struct tcphdr *tcp, const struct carrier *carrier,
                                              __u32 sum) {
    __u32 header;

    tcp->source = bpf_htons(carrier->sport);
    tcp->dest = bpf_htons(carrier->dport);
    tcp->seq = bpf_htonl(CARRIER_SEQ);
    tcp->ack_seq = bpf_htonl(CARRIER_ACK);
    *offset_and_flags(tcp) = bpf_htons(CARRIER_OFFSET_AND_FLAGS);
    tcp->window = bpf_htons(CARRIER_WINDOW);
    tcp->urg_ptr = bpf_htons(carrier->flow_id);
    header = bpf_htons(carrier->sport) + bpf_htons(carrier->dport) +
             bpf_htons(CARRIER_OFFSET_AND_FLAGS) + bpf_htons(CARRIER_WINDOW) +
             bpf_htons(carrier->flow_id);
    header = sum_add(header, bpf_htonl(CARRIER_SEQ));
    header = sum_add(header, bpf_htonl(CARRIER_ACK));
    tcp->check = checksum_of(sum_add(sum, header));
    return sum_add(header, tcp->check);
}

static __always_inline __u32 fill_udp_carrier(struct udphdr *udp, const struct carrier *carrier,
                                              __u16 length, __u32 sum) {
    __u32 header = bpf_htons(carrier->sport) + bpf_htons(carrier->dport) + bpf_htons(length);

    udp->source = bpf_htons(carrier->sport);
    udp->dest = bpf_htons(carrier->dport);
    udp->len = bpf_htons(length);
    udp->check = udp_checksum_of(sum_add(sum, header));
    return sum_add(header, udp->check);
}

/*
 * The room lies behind the fixed part of the IP header, also where options follow. These two carry
 * the options, of which there are some, over the room that was made, and over the carrier that is
 * removed. All lengths are multiples of 4, so no sum changes.
 */
#define OPTIONS_SPACE 64
#define CARRIER_SPACE 32

__noinline int options_before_room(struct __sk_buff *skb, __u32 room_offset, __u32 length,
                                   __u32 room) {
    __u8 options[OPTIONS_SPACE] = {};

    length = bounded(length, OPTIONS_SPACE);
    if (bpf_skb_load_bytes(skb, room_offset + room, options, length))
        return -1;
    return bpf_skb_store_bytes(skb, room_offset, options, length, 0);
}

__noinline int options_behind_carrier(struct __sk_buff *skb, __u32 room_offset, __u32 length,
                                      __u32 size) {
    __u8 options[OPTIONS_SPACE] = {};
    __u8 carrier[CARRIER_SPACE] = {};

    length = bounded(length, OPTIONS_SPACE);
    size = bounded(size, CARRIER_SPACE);
    if (bpf_skb_load_bytes(skb, room_offset, options, length) ||
        bpf_skb_load_bytes(skb, room_offset + length, carrier, size) ||
        bpf_skb_store_bytes(skb, room_offset, carrier, size, 0))
        return -1;
    return bpf_skb_store_bytes(skb, room_offset + size, options, length, 0);
}

static __always_inline int write_ip_by_helper(struct __sk_buff *skb, struct packet *packet) {
    if (!is_ip6(packet))
        return bpf_skb_store_bytes(skb, packet->network_offset + IP_MIDDLE, &packet->changed_ip,
                                   sizeof(packet->changed_ip), 0);
    packet->changed_ip6 = ip6_middle_of(&packet->changed_ip);
    return bpf_skb_store_bytes(skb, packet->network_offset + IP6_MIDDLE, &packet->changed_ip6,
                               sizeof(packet->changed_ip6), 0);
}

/* Everything that changes in a packet, by helpers. */
VERIFIED_ONCE int write_by_helpers(struct __sk_buff *skb, struct packet *packet, __u32 size) {
    long error = 0;

    if (IS_MISSING(packet))
        return -1;
    /* In one call: clang makes one of two, and the verifier knows nothing of its size then. */
    if (size)
        error = bpf_skb_store_bytes(skb, packet->l4_offset, &packet->header,
                                    bounded(size, CARRIER_SPACE), 0);
    if (error || write_ip_by_helper(skb, packet))
        return -1;
    return bpf_skb_store_bytes(skb, packet->l4_offset + size + packet->checksum_place,
                               &packet->settled_checksum, sizeof(packet->settled_checksum), 0);
}

/* The same through a pointer; false if the bytes are not where they should be. */
static __always_inline bool write_plain(struct __sk_buff *skb, struct packet *packet, __u32 size,
                                        __u32 checksum_place) {
    void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
    void *l4 = plain_l4(skb, packet);

    if (l4 + size + checksum_place + sizeof(__u16) > end)
        return false;
    if (is_ip6(packet))
        *(struct ip6_middle *)(data + ETH_HLEN + IP6_MIDDLE) = ip6_middle_of(&packet->changed_ip);
    else
        *(struct ip_middle *)(data + ETH_HLEN + IP_MIDDLE) = packet->changed_ip;
    if (size == sizeof(packet->header.tcp))
        *(struct tcphdr *)l4 = packet->header.tcp;
    else if (size == sizeof(packet->header.udp))
        *(struct udphdr *)l4 = packet->header.udp;
    *(__u16 *)(l4 + size + checksum_place) = packet->settled_checksum;
    /* Keeps the compiler from making one write with a variable offset out of several of these. */
    barrier();
    return true;
}

/* Each case by itself, for constant offsets; size 0: no carrier. */
static __always_inline bool write_if_plain(struct __sk_buff *skb, struct packet *packet, __u32 size,
                                           __u8 inner) {
    if (!is_plain(packet))
        return false;
    if (inner == IPPROTO_TCP)
        return write_plain(skb, packet, size, offsetof(struct tcphdr, check));
    return write_plain(skb, packet, size, offsetof(struct udphdr, check));
}

/*
 * Behind bpf_skb_adjust_room. CHECKSUM_COMPLETE, which only ingress knows, covers the new bytes
 * and the moved checksum as well; on anything else the update has no effect.
 */
static __always_inline int write_headers(struct __sk_buff *skb, struct packet *packet, __u32 size,
                                         __u8 inner, __u32 sum) {
    packet->checksum_place = checksum_place(inner);
    if (!write_if_plain(skb, packet, size, inner) && write_by_helpers(skb, packet, size))
        return SFUNNEL_FAILED;
    if (packet->direction == SFUNNEL_INGRESS) {
        sum = sum_add(sum, packet->settled_checksum);
        sum = sum_add(sum, sum_growth(packet));
        bpf_csum_update(skb, sum_add(sum, (__u16)~packet->l4_checksum));
    }
    return GO_ON;
}

/* Puts a carrier in front of the L4 header, for which there is room. GO_ON where all went well. */
static __always_inline int push(struct __sk_buff *skb, struct packet *packet, const __u32 size) {
    const struct carrier *carrier = &packet->carrier;
    __u32 sum;
    long error;

    /* What lies before the room is moved within the linear part, without a look whether it is
     * there. */
    if (!is_plain(packet) && bpf_skb_pull_data(skb, packet->l4_offset))
        return SFUNNEL_FAILED;
    if (settle_inner_checksum(skb, packet, &sum))
        return SFUNNEL_FAILED;
    error = make_room(skb, packet, size);
    if (error)
        return error == -ENOTSUPP ? SFUNNEL_TOO_BIG : SFUNNEL_FAILED;
    if (packet->options_length &&
        options_before_room(skb, packet->room_offset, packet->options_length, size))
        return SFUNNEL_FAILED;

    sum = sum_add(sum, sum_addresses(&packet->flow));
    sum = sum_add(sum, sum_pseudo(carrier->transport, size + packet->l4_length));
    if (size == sizeof(struct tcphdr))
        sum = fill_tcp_carrier(&packet->header.tcp, carrier, sum);
    else
        sum = fill_udp_carrier(&packet->header.udp, carrier, size + packet->l4_length, sum);
    packet->changed_ip = changed_ip(&packet->ip, carrier->transport, size);
    return write_headers(skb, packet, size, packet->flow.transport, sum);
}

/* Each carrier by itself, for constant sizes. */
static __always_inline int push_carrier(struct __sk_buff *skb, struct packet *packet) {
    return packet->carrier.transport == IPPROTO_TCP ? push(skb, packet, sizeof(struct tcphdr))
                                                    : push(skb, packet, sizeof(struct udphdr));
}

/* Is a TCP packet a carrier? */
static __always_inline bool is_tcp_carrier(struct __sk_buff *skb, struct packet *packet) {
    if (is_plain(packet)) {
        void *end = (void *)(long)skb->data_end, *l4 = plain_l4(skb, packet);

        if (l4 + sizeof(packet->start) > end)
            return false;
        packet->start = *(struct l4_start *)l4;
    } else if (read_header(skb, packet->l4_offset, &packet->start, sizeof(packet->start))) {
        return false;
    }
    return has_carrier_fields(&packet->start);
}

/* Case by case, for constant offsets; false if the bytes lie elsewhere. */
static __always_inline bool read_plain_inner(struct __sk_buff *skb, struct packet *packet) {
    void *end = (void *)(long)skb->data_end, *l4 = plain_l4(skb, packet);

    if (!is_plain(packet))
        return false;
    if (packet->flow.transport == IPPROTO_TCP) {
        l4 += sizeof(struct tcphdr);
        barrier_var(l4);
    } else {
        l4 += sizeof(struct udphdr);
        barrier_var(l4);
    }
    if (l4 + sizeof(struct l4_start) > end)
        return false;
    packet->inner.start = *(struct l4_start *)l4;
    return true;
}

/* An inner TCP header is longer than what is read of it; its length must fit. */
static __always_inline bool fits_tcp(const struct inner *inner, __u32 length) {
    __u32 header_length = inner->start.tcp.offset >> 4 << 2;

    return header_length >= sizeof(struct tcphdr) && header_length <= length;
}

/*
 * Reads the header under the carrier as one of `transport`. Not a carrier if it cannot be one:
 * under a UDP carrier, which has no fixed fields, the fitting lengths are all there is to see.
 */
static __always_inline int find_inner(struct __sk_buff *skb, struct packet *packet,
                                      __u32 transport) {
    struct inner *inner = &packet->inner;
    __u32 size = carrier_size(packet->flow.transport);
    __u32 offset = packet->l4_offset + size, length;
    __u32 least = transport == IPPROTO_TCP ? sizeof(struct tcphdr) : sizeof(struct udphdr);

    if (packet->l4_length < size + least)
        return SFUNNEL_NOT_CARRIER;
    length = packet->l4_length - size;
    /* UDP carriers that a hop has merged: a segment is what one of them carried. */
    if (packet->gso_size)
        length = packet->gso_size;

    inner->is_plain = read_plain_inner(skb, packet);
    if (!inner->is_plain) {
        __builtin_memset(&inner->start, 0, sizeof(inner->start));
        if (transport == IPPROTO_TCP) {
            if (read_header(skb, offset, &inner->start, sizeof(inner->start)))
                return SFUNNEL_NOT_CARRIER;
        } else if (read_header(skb, offset, &inner->start, UDP_START)) {
            return SFUNNEL_NOT_CARRIER;
        }
    }
    if (transport == IPPROTO_TCP ? !fits_tcp(inner, length)
                                 : bpf_ntohs(inner->start.udp.length) != length)
        return SFUNNEL_NOT_CARRIER;

    inner->flow = packet->flow;
    set_ports(&inner->flow, bpf_ntohs(inner->start.source), bpf_ntohs(inner->start.dest), transport,
              packet->flow.family);
    return GO_ON;
}

/* Both are read, or the verifier would meet a pointer whose offset depends on a variable. */
static __always_inline __u16 checksum_in(const struct l4_start *start, __u8 transport) {
    __u16 tcp = start->tcp.checksum, udp = start->udp.checksum;

    barrier_var(tcp);
    barrier_var(udp);
    return transport == IPPROTO_TCP ? tcp : udp;
}

/*
 * Finds the inner checksum with the addresses that the packet has now, behind any NAT. A seed, left
 * by a sender that does not complete it, is moved by the helper that knows it.
 */
static __always_inline int restore_inner_checksum(struct __sk_buff *skb, struct packet *packet,
                                                  __u32 size) {
    const struct inner *inner = &packet->inner;
    __u8 transport = inner->flow.transport;
    __u32 addresses = sum_addresses(&packet->flow);
    __u32 pseudo = sum_pseudo(transport, packet->l4_length - size);
    __u32 offset = packet->l4_offset + size;

    packet->l4_checksum = checksum_in(&inner->start, transport);
    packet->settled_checksum = packet->l4_checksum;
    if (transport == IPPROTO_UDP && packet->l4_checksum == 0)
        return 0;
    if (!may_be_seed(packet->l4_checksum, pseudo)) {
        packet->settled_checksum = moved_checksum(packet->l4_checksum, transport, addresses);
        return 0;
    }
    if (adjust_l4_checksum(skb, offset, transport, addresses) ||
        read_header(skb, offset + checksum_place(transport), &packet->l4_checksum,
                    sizeof(packet->l4_checksum)))
        return -1;
    packet->settled_checksum = packet->l4_checksum;
    return 0;
}

/* Takes the carrier off. GO_ON where all went well. */
static __always_inline int pop_carrier(struct __sk_buff *skb, struct packet *packet) {
    __u32 size = carrier_size(packet->flow.transport);
    __u8 transport = packet->inner.flow.transport;

    if (restore_inner_checksum(skb, packet, size))
        return SFUNNEL_FAILED;
    if (packet->options_length &&
        options_behind_carrier(skb, packet->room_offset, packet->options_length, size))
        return SFUNNEL_FAILED;
    if (bpf_skb_adjust_room(skb, -(__s32)size, BPF_ADJ_ROOM_NET, 0))
        return SFUNNEL_FAILED;
    packet->changed_ip = changed_ip(&packet->ip, transport, -(__s32)size);
    packet->is_plain = packet->inner.is_plain;
    return write_headers(skb, packet, 0, transport, 0);
}

#endif
