/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Room for the carrier: what would not fit is not to be sent in the first place (MSS), or its
 * sender is told (path MTU discovery), or it is at least counted.
 */
#ifndef SFUNNEL_MTU_H
#define SFUNNEL_MTU_H

#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "cache.h"
#include "checksum.h"
#include "count.h"
#include "flows.h"
#include "loop.h"
#include "maps.h"
#include "parse.h"
#include "tcp_options.h"

/* The MTU of a route over this device to the peer of the packet, where the user has set one. */
static __noinline __u32 route_mtu(struct packet *packet) {
    struct sfunnel_route_key *key = &packet->route_key;
    __u32 *mtu;

    key->prefix_length = 32 + 128;
    key->ifindex = packet->ifindex;

    /* Both are read, or the verifier would meet a pointer whose offset depends on a variable. */
#pragma unroll
    for (int word = 0; word < 4; word++) {
        __u32 source = packet->flow.saddr[word], destination = packet->flow.daddr[word];

        barrier_var(source);
        barrier_var(destination);
        key->destination[word] = packet->direction == SFUNNEL_EGRESS ? destination : source;
    }
    mtu = bpf_map_lookup_elem(&route_mtus, key);
    return mtu && *mtu ? *mtu : SFUNNEL_LARGEST_PACKET;
}

static __always_inline __u32 smaller(__u32 one, __u32 other) {
    return one < other ? one : other;
}

/*
 * In bytes of an IP packet; 0 where it is not known. bpf_check_mtu came with 5.12, so the program
 * for kernels before 5.17 does without, and is told what the MTU was when it was attached.
 */
static __always_inline __u32 device_mtu(struct __sk_buff *skb, const struct packet *packet) {
    __u64 mtu = 0;

    if (!HAS_LOOP_HELPER)
        return packet->traits >> SFUNNEL_HOOK_MTU_SHIFT;
    bpf_check_mtu(skb, 0, (__u32 *)&mtu, 0, 0);
    return mtu;
}

/* What fits on the way over this device, in bytes of an IP packet. */
static __noinline __u32 way_mtu(struct __sk_buff *skb, struct packet *packet) {
    __u32 device = device_mtu(skb, packet);

    if (device == 0)
        device = SFUNNEL_LARGEST_PACKET;
    return smaller(smaller(device, SFUNNEL_LARGEST_PACKET), route_mtu(packet));
}

/* Of IPv6 only the mark of BIG TCP lies there, which segments have none of. */
static __always_inline __u32 ip_options_length(const struct packet *packet) {
    return is_ip6(packet) ? 0 : packet->options_length;
}

/* The length of the packet, or of its segments. */
static __always_inline __u32 segment_length(struct __sk_buff *skb, const struct packet *packet) {
    __u32 header_length = sizeof(struct udphdr);
    int tcp_offset;

    if (!packet->gso_size)
        return packet->ip_length;
    if (packet->flow.transport == IPPROTO_TCP) {
        tcp_offset = read_byte(skb, packet->l4_offset + TCP_OFFSET_BYTE);
        if (tcp_offset < 0)
            return packet->ip_length;
        header_length = tcp_offset >> 4 << 2;
    }
    return packet->room_offset - packet->network_offset + ip_options_length(packet) +
           header_length + packet->gso_size;
}

/* With a carrier of this size, does it exceed what the way takes? */
static __always_inline bool exceeds_mtu(struct __sk_buff *skb, const struct packet *packet,
                                        __u32 mtu, __u32 size) {
    return packet->direction == SFUNNEL_EGRESS && segment_length(skb, packet) + size > mtu;
}

/*
 * Lowers the MSS that a SYN (or SYN-ACK) advertises, so that what its receiver sends has room for
 * a carrier. The checksum helper leaves a seed alone, which is right: the option is payload to it.
 */
__noinline int clamp_mss(struct __sk_buff *skb, __u32 tcp_offset, __u32 packet_end, __u32 limit) {
    struct packet *packet = packet_under_way();
    __u16 lowered = bpf_htons(limit), from, to;
    int advertised;
    __u32 place;

    if (!packet)
        return -1;
    read_options(skb, packet, tcp_offset, packet_end);
    place = packet->options.mss;
    advertised = place ? read_word(skb, place) : -1;
    if (advertised < 0 || bpf_ntohs(advertised) <= limit)
        return 0;
    from = advertised;
    to = lowered;
    /* In a sum, a value at an odd offset counts with its bytes swapped. */
    if ((place - tcp_offset) & 1) {
        from = __builtin_bswap16(from);
        to = __builtin_bswap16(to);
    }
    if (bpf_l4_csum_replace(skb, tcp_offset + offsetof(struct tcphdr, check), from, to,
                            sizeof(to)) ||
        write_word(skb, place, lowered, 0))
        return -1;
    count_event(SFUNNEL_FLOW_MSS_CLAMPED);
    return 0;
}

/* Where the packet ends, from the start of the frame. */
static __always_inline __u32 end_of(const struct packet *packet) {
    return packet->l4_offset + packet->l4_length;
}

/* What is left of an MTU for the payload of TCP under a carrier of this size. */
static __always_inline __u32 mss_limit(const struct packet *packet, __u32 mtu, __u32 carrier_size) {
    __u32 ip_header = is_ip6(packet) ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
    __u32 headers = ip_header + sizeof(struct tcphdr) + carrier_size;

    return mtu > headers ? mtu - headers : 1;
}

#endif
