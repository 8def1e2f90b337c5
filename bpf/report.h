/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What has no room for a carrier is answered: ICMP "fragmentation needed" (RFC 1191), ICMPv6
 * "packet too big" (RFC 4443). The packet itself becomes the error about it.
 */
#ifndef SFUNNEL_REPORT_H
#define SFUNNEL_REPORT_H

#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "checksum.h"
#include "maps.h"
#include "parse.h"

/* Of ICMP (RFC 792) and ICMPv6 (RFC 4443); the kernel's headers draw in the C library's. */
#define ICMP_DEST_UNREACH 3
#define ICMP_FRAG_NEEDED 4
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETERPROB 12
#define ICMPV6_DEST_UNREACH 1
#define ICMPV6_PKT_TOOBIG 2
#define ICMPV6_TIME_EXCEED 3
#define ICMPV6_PARAMPROB 4

/* RFC 791: every link takes this much. */
#define LEAST_MTU 68
/* RFC 8200, 5; and RFC 8201, 4: nobody heeds a report of less. */
#define LEAST_MTU_IPV6 1280

/* Behind the quoted IP header, in our own errors. RFC 1812, 4.3.2.3 wants more than 8. */
#define QUOTED_L4 64

#define OUR_TTL 64

/* Of either family. */
struct icmp_header {
    __u8 type;
    __u8 code;
    __u16 checksum;
    union {
        struct {
            __u8 unused;
            __u8 quote_words; /* RFC 4884: length of the quote, if something follows it */
            __u16 mtu;        /* RFC 1191: of the next hop, for "fragmentation needed" */
        };
        __u8 quote_double_words; /* ICMPv6: the same, in units of 8 bytes */
        __u32 mtu_ipv6;
    };
};

struct own_error {
    struct iphdr ip;
    struct icmp_header icmp;
    struct iphdr quoted_ip;
    __u8 quoted_l4[QUOTED_L4];
};

struct own_error_ipv6 {
    struct ipv6hdr ip;
    struct icmp_header icmp;
    struct ipv6hdr quoted_ip;
    __u8 quoted_l4[QUOTED_L4];
};

_Static_assert(sizeof(struct own_error) <= sizeof(struct sum_buffer) &&
                   sizeof(struct own_error_ipv6) <= sizeof(struct sum_buffer),
               "an error fits into the buffer");

/* Without an Ethernet header there is nothing to swap. */
static __always_inline int swap_mac_addresses(struct __sk_buff *skb, __u32 network_offset) {
    __u8 destination[ETH_ALEN], source[ETH_ALEN];

    if (network_offset == 0)
        return 0;
    if (bpf_skb_load_bytes(skb, 0, destination, ETH_ALEN) ||
        bpf_skb_load_bytes(skb, ETH_ALEN, source, ETH_ALEN) ||
        bpf_skb_store_bytes(skb, 0, source, ETH_ALEN, 0))
        return -1;
    return bpf_skb_store_bytes(skb, ETH_ALEN, destination, ETH_ALEN, 0);
}

/*
 * Makes a packet as short as the error about it, also a super-packet, and one without
 * CHECKSUM_PARTIAL. Gives room for the error, in which the quote is already; NULL if that failed.
 */
static __always_inline void *quote_packet(struct __sk_buff *skb, __u32 network_offset,
                                          const __u32 ip_size) {
    const __u32 before = ip_size + sizeof(struct icmp_header), quoted = ip_size + QUOTED_L4;
    __u32 behind_ip = network_offset + ip_size;
    struct sum_buffer *buffer = look_up(&sum_buffers, 0);

    if (!buffer || bpf_skb_change_tail(skb, network_offset + before + quoted, 0) ||
        make_room_without_partial(skb, behind_ip, behind_ip, 0) ||
        bpf_skb_load_bytes(skb, network_offset, &buffer->bytes[before], quoted))
        return NULL;
    return buffer->bytes;
}

/* Sends the error in where the packet wanted to go out. */
static __always_inline int send_error(struct __sk_buff *skb, __u32 network_offset,
                                      const void *error, const __u32 size) {
    if (bpf_skb_store_bytes(skb, network_offset, error, size, 0) ||
        swap_mac_addresses(skb, network_offset))
        return SFUNNEL_FAILED;
    /* A mark would take it to where marked packets go. */
    skb->mark = 0;
    bpf_redirect(skb->ifindex, BPF_F_INGRESS);
    return SFUNNEL_TOO_BIG_REPORTED;
}

static __always_inline void fill_own_error(struct own_error *error, __u32 mtu) {
    struct iphdr *ip = &error->ip;

    __builtin_memset(ip, 0, sizeof(*ip));
    ip->version = 4;
    ip->ihl = sizeof(*ip) / 4;
    ip->tot_len = bpf_htons(sizeof(*error));
    ip->ttl = OUR_TTL;
    ip->protocol = IPPROTO_ICMP;
    ip->saddr = error->quoted_ip.daddr;
    ip->daddr = error->quoted_ip.saddr;
    ip->check = checksum_of(bpf_csum_diff(NULL, 0, (__be32 *)ip, sizeof(*ip), 0));
    __builtin_memset(&error->icmp, 0, sizeof(error->icmp));
    error->icmp.type = ICMP_DEST_UNREACH;
    error->icmp.code = ICMP_FRAG_NEEDED;
    error->icmp.mtu = bpf_htons(mtu);
    error->icmp.checksum = checksum_of(bpf_csum_diff(
        NULL, 0, (__be32 *)&error->icmp, sizeof(*error) - offsetof(struct own_error, icmp), 0));
}

/* RFC 1122, 3.2.2: no errors about what went to many; 255.255.255.255 is among them. */
static __always_inline bool is_multicast(__u32 address) {
    return bpf_ntohl(address) >= 0xe0000000U;
}

/* May and can the packet be answered by an error that quotes it? */
static __always_inline bool is_answerable(const struct iphdr *ip) {
    return ip->frag_off & bpf_htons(IP_DONT_FRAGMENT) && ip->ihl * 4 == sizeof(*ip) &&
           !is_multicast(ip->daddr);
}

/*
 * To the sender on this host, or to one for whom it forwards. The error bears the address that the
 * packet was sent to: it has the best chance to pass a filter on the way back.
 */
__noinline int report_fragmentation_needed(struct __sk_buff *skb, __u32 mtu) {
    struct packet *packet = packet_under_way();
    __u32 network_offset;
    struct own_error *error;
    struct iphdr *ip;

    if (!packet)
        return SFUNNEL_TOO_BIG;
    network_offset = packet->network_offset;
    ip = &packet->ip_start.ip;
    if (read_header(skb, network_offset, ip, sizeof(*ip)) || !is_answerable(ip) ||
        packet->ip_length < sizeof(*ip) + QUOTED_L4)
        return SFUNNEL_TOO_BIG;
    if ((__s32)mtu < LEAST_MTU)
        mtu = LEAST_MTU;
    error = quote_packet(skb, network_offset, sizeof(*ip));
    if (!error)
        return SFUNNEL_FAILED;
    fill_own_error(error, mtu);
    return send_error(skb, network_offset, error, sizeof(*error));
}

static __always_inline void fill_own_error_ipv6(struct own_error_ipv6 *error, __u32 mtu) {
    const __u32 length = sizeof(*error) - sizeof(error->ip);
    struct ipv6hdr *ip = &error->ip;
    __u32 sum = sum_pseudo(IPPROTO_ICMPV6, length);

    __builtin_memset(ip, 0, sizeof(*ip));
    ip->version = 6;
    ip->payload_len = bpf_htons(length);
    ip->nexthdr = IPPROTO_ICMPV6;
    ip->hop_limit = OUR_TTL;
    ip->saddr = error->quoted_ip.daddr;
    ip->daddr = error->quoted_ip.saddr;
    __builtin_memset(&error->icmp, 0, sizeof(error->icmp));
    error->icmp.type = ICMPV6_PKT_TOOBIG;
    error->icmp.mtu_ipv6 = bpf_htonl(mtu);
    sum = bpf_csum_diff(NULL, 0, (__be32 *)&ip->saddr, IP6_ADDRESSES_SIZE, sum);
    sum = bpf_csum_diff(NULL, 0, (__be32 *)&error->icmp, length, sum);
    error->icmp.checksum = checksum_of(sum);
}

/* RFC 4443, 2.4 (e): it would have to bear the address of a group. */
static __always_inline bool is_multicast_ipv6(const struct in6_addr *address) {
    return address->in6_u.u6_addr8[0] == 0xff;
}

__noinline int report_packet_too_big(struct __sk_buff *skb, __u32 mtu) {
    struct packet *packet = packet_under_way();
    __u32 network_offset;
    struct own_error_ipv6 *error;
    struct ipv6hdr *ip;

    if (!packet || (__s32)mtu < LEAST_MTU_IPV6)
        return SFUNNEL_TOO_BIG;
    network_offset = packet->network_offset;
    ip = &packet->ip_start.whole_ip6;
    if (read_header(skb, network_offset, ip, sizeof(*ip)) || is_multicast_ipv6(&ip->daddr) ||
        packet->ip_length < sizeof(*ip) + QUOTED_L4)
        return SFUNNEL_TOO_BIG;
    error = quote_packet(skb, network_offset, sizeof(*ip));
    if (!error)
        return SFUNNEL_FAILED;
    fill_own_error_ipv6(error, mtu);
    return send_error(skb, network_offset, error, sizeof(*error));
}

/* `mtu` bytes, an IP header included, are what the sender may send. */
static __always_inline int report_too_big(struct __sk_buff *skb, __u32 mtu) {
    return skb->protocol == bpf_htons(ETH_P_IPV6) ? report_packet_too_big(skb, mtu)
                                                  : report_fragmentation_needed(skb, mtu);
}

#endif
