/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* From bytes to the five fields that rules look at. */
#ifndef SFUNNEL_PARSE_H
#define SFUNNEL_PARSE_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "form.h"
#include "loop.h"
#include "packet.h"

#define IP_DONT_FRAGMENT 0x4000
#define IP_FRAGMENT_MASK 0x3fff /* MF and the offset */
#define IP_MAX_LENGTH 65535

/* What a step returns when the packet's life goes on; no packet ends with it. */
#define GO_ON SFUNNEL_OUTCOMES

/* Copies a header from wherever its bytes lie; 0 if they are all there. */
static __always_inline int read_header(struct __sk_buff *skb, __u32 offset, void *to, __u32 size) {
    return bpf_skb_load_bytes(skb, offset, to, size);
}

/* One byte; negative if it is not there. It gets a whole slot of the stack (see struct packet). */
static __always_inline int read_byte(struct __sk_buff *skb, __u32 offset) {
    __u64 slot = 0;

    return read_header(skb, offset, &slot, 1) ? -1 : (__u8)slot;
}

/* Two bytes, as they lie there. */
static __always_inline int read_word(struct __sk_buff *skb, __u32 offset) {
    __u64 slot = 0;

    return read_header(skb, offset, &slot, 2) ? -1 : (__u16)slot;
}

static __always_inline int write_word(struct __sk_buff *skb, __u32 offset, __u16 word,
                                      __u64 flags) {
    __u64 slot = word;

    return bpf_skb_store_bytes(skb, offset, &slot, 2, flags);
}

/* Where a TCP header says how long it is. */
#define TCP_OFFSET_BYTE 12

#define UDP_START sizeof(struct udphdr)

/*
 * A flow is written and compared in words of 64 bits: a CPU that reads one back which it has just
 * written in pieces has to wait for the pieces to reach its cache, some 5 ns each time.
 */
#define FLOW_WORDS 5

typedef __u64 __attribute__((may_alias)) flow_word;

_Static_assert(sizeof(struct sfunnel_flow) == FLOW_WORDS * sizeof(flow_word), "words of a flow");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words of a flow are put together");

enum flow_place {
    FLOW_SOURCE = 0, /* 2 words */
    FLOW_DESTINATION = 2,
    FLOW_PORTS = 4, /* and transport and family */
};

static __always_inline void set_ipv4_addresses(struct sfunnel_flow *flow, __u32 source,
                                               __u32 destination) {
    flow_word *words = (flow_word *)flow;

    words[FLOW_SOURCE] = 0;
    words[FLOW_SOURCE + 1] = (__u64)source << 32 | bpf_htonl(0xffff);
    words[FLOW_DESTINATION] = 0;
    words[FLOW_DESTINATION + 1] = (__u64)destination << 32 | bpf_htonl(0xffff);
}

static __always_inline void set_ports_and_form(struct sfunnel_flow *flow, __u16 sport, __u16 dport,
                                               __u8 transport, __u8 family, __u8 form) {
    flow_word *words = (flow_word *)flow;

    words[FLOW_PORTS] = (__u64)form << 48 | (__u64)family << 40 | (__u64)transport << 32 |
                        (__u32)dport << 16 | sport;
}

static __always_inline void set_ports(struct sfunnel_flow *flow, __u16 sport, __u16 dport,
                                      __u8 transport, __u8 family) {
    set_ports_and_form(flow, sport, dport, transport, family, SFUNNEL_PLAIN);
}

/* Reads what the packet's L4 header begins with. */
static __always_inline bool read_l4_start(struct __sk_buff *skb, struct packet *packet) {
    struct l4_start *start = &packet->start;
    bool is_tcp = packet->ip.protocol == IPPROTO_TCP;
    void *end = (void *)(long)skb->data_end, *plain = plain_l4(skb, packet);

    if (packet->l4_length < (is_tcp ? sizeof(struct tcphdr) : sizeof(struct udphdr)))
        return false;
    if (HAS_LOOP_HELPER && packet->options_length == 0 && packet->network_offset == ETH_HLEN &&
        plain + sizeof(*start) <= end) {
        *start = *(struct l4_start *)plain;
        packet->is_plain = true;
        return true;
    }
    __builtin_memset(start, 0, sizeof(*start));
    if (is_tcp)
        return !read_header(skb, packet->l4_offset, start, sizeof(*start));
    return !read_header(skb, packet->l4_offset, start, UDP_START);
}

static __always_inline int parse_l4(struct __sk_buff *skb, struct packet *packet) {
    const struct l4_start *start = &packet->start;

    if (!read_l4_start(skb, packet))
        return SFUNNEL_MALFORMED;
    if (packet->ip.protocol == IPPROTO_TCP) {
        set_ports_and_form(&packet->flow, bpf_ntohs(start->source), bpf_ntohs(start->dest),
                           IPPROTO_TCP, packet->flow.family, form_of(start));
        packet->l4_checksum = start->tcp.checksum;
        packet->tcp_flags = start->tcp.flags;
        return GO_ON;
    }
    set_ports(&packet->flow, bpf_ntohs(start->source), bpf_ntohs(start->dest), IPPROTO_UDP,
              packet->flow.family);
    packet->l4_checksum = start->udp.checksum;
    /*
     * Bytes behind the UDP length are in no checksum; nobody sends them on purpose. In a
     * super-packet the length may be that of one segment.
     */
    if (bpf_ntohs(start->udp.length) != packet->l4_length && !packet->gso_size)
        return SFUNNEL_MALFORMED;
    return GO_ON;
}

/* BIG TCP: a super-packet of more than 64 KiB has 0 for its length. */
static __always_inline __u32 big_length(struct __sk_buff *skb, __u32 network_offset) {
    return skb->gso_size ? skb->len - network_offset : 0;
}

static __always_inline __u32 ip_length_of(struct __sk_buff *skb, __u32 network_offset,
                                          const struct iphdr *ip) {
    return ip->tot_len ? bpf_ntohs(ip->tot_len) : big_length(skb, network_offset);
}

static __always_inline __u32 ip6_length_of(struct __sk_buff *skb, __u32 network_offset,
                                           __u16 payload_length) {
    __u32 big = payload_length ? 0 : big_length(skb, network_offset);

    return big ? big : sizeof(struct ipv6hdr) + bpf_ntohs(payload_length);
}

static __always_inline bool read_ip(struct __sk_buff *skb, struct packet *packet) {
    struct iphdr *ip = &packet->ip_start.ip;
    void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;

    if (HAS_LOOP_HELPER && packet->network_offset == ETH_HLEN &&
        data + ETH_HLEN + sizeof(*ip) <= end) {
        *ip = *(struct iphdr *)(data + ETH_HLEN);
        return true;
    }
    return !read_header(skb, packet->network_offset, ip, sizeof(*ip));
}

static __always_inline void set_ip_middle(struct packet *packet, const struct iphdr *ip) {
    packet->ip.total_length = ip->tot_len;
    packet->ip.id = ip->id;
    packet->ip.fragment = ip->frag_off;
    packet->ip.ttl = ip->ttl;
    packet->ip.protocol = ip->protocol;
    packet->ip.checksum = ip->check;
}

static __always_inline void set_l4_place(struct packet *packet, __u32 fixed_length,
                                         __u32 options_length) {
    packet->room_offset = packet->network_offset + fixed_length;
    packet->options_length = options_length;
    packet->l4_offset = packet->room_offset + options_length;
    packet->l4_length = packet->ip_length - fixed_length - options_length;
}

static __always_inline int parse_ip(struct __sk_buff *skb, struct packet *packet) {
    const struct iphdr *ip = &packet->ip_start.ip;
    __u32 header_length;

    if (!read_ip(skb, packet))
        return SFUNNEL_MALFORMED;
    header_length = ip->ihl * 4;
    packet->ip_length = ip_length_of(skb, packet->network_offset, ip);
    if (ip->version != 4 || header_length < sizeof(*ip) || packet->ip_length < header_length ||
        packet->network_offset + packet->ip_length > skb->len)
        return SFUNNEL_MALFORMED;

    if (ip->protocol != IPPROTO_TCP && ip->protocol != IPPROTO_UDP && ip->protocol != IPPROTO_ICMP)
        return SFUNNEL_NOT_TCP_UDP;
    if (ip->frag_off & bpf_htons(IP_FRAGMENT_MASK))
        return ip->protocol == IPPROTO_ICMP ? SFUNNEL_NOT_TCP_UDP : SFUNNEL_FRAGMENT;

    set_ipv4_addresses(&packet->flow, ip->saddr, ip->daddr);
    packet->flow.family = SFUNNEL_IPV4;
    set_ip_middle(packet, ip);
    set_l4_place(packet, sizeof(*ip), header_length - sizeof(*ip));
    return GO_ON;
}

#define IP6_ADDRESSES offsetof(struct ipv6hdr, saddr)
#define IP6_ADDRESSES_SIZE 32

/* Reads an IPv6 header, the addresses into the flow, where both lie one behind the other too. */
static __always_inline bool read_ip6(struct __sk_buff *skb, struct packet *packet) {
    struct ip6_start *start = &packet->ip_start.ip6;
    void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;

    if (HAS_LOOP_HELPER && packet->network_offset == ETH_HLEN &&
        data + PLAIN_L4_OFFSET_IPV6 <= end) {
        const flow_word *from = data + ETH_HLEN + IP6_ADDRESSES;
        flow_word *to = (flow_word *)&packet->flow;

        *start = *(struct ip6_start *)(data + ETH_HLEN);
#pragma unroll
        for (int word = 0; word < FLOW_PORTS; word++)
            to[word] = from[word];
        return true;
    }
    return !read_header(skb, packet->network_offset, start, sizeof(*start)) &&
           !read_header(skb, packet->network_offset + IP6_ADDRESSES, packet->flow.saddr,
                        IP6_ADDRESSES_SIZE);
}

#define IPPROTO_MOBILITY 135
#define IPPROTO_HIP 139
#define IPPROTO_SHIM6 140
#define IPPROTO_EXPERIMENT 253
#define IPPROTO_EXPERIMENT_2 254

/* RFC 7045: headers that may stand before that of TCP or UDP. */
static __always_inline bool is_extension_header(__u8 header) {
    switch (header) {
    case IPPROTO_HOPOPTS:
    case IPPROTO_ROUTING:
    case IPPROTO_ESP:
    case IPPROTO_AH:
    case IPPROTO_DSTOPTS:
    case IPPROTO_MOBILITY:
    case IPPROTO_HIP:
    case IPPROTO_SHIM6:
    case IPPROTO_EXPERIMENT:
    case IPPROTO_EXPERIMENT_2:
        return true;
    default:
        return false;
    }
}

/* RFC 2675; the only options that the kernel itself puts into a packet. */
struct jumbo_header {
    __u8 next_header;
    __u8 length; /* in units of 8 bytes, the first left out */
    __u8 option;
    __u8 option_length;
    __u32 payload_length;
};

#define JUMBO_OPTION 0xc2

/* BIG TCP: the kernel's mark on a super-packet of more than 64 KiB. */
static __always_inline bool read_jumbo_header(struct __sk_buff *skb, __u32 offset,
                                              struct jumbo_header *jumbo) {
    return skb->gso_size && !read_header(skb, offset, jumbo, sizeof(*jumbo)) &&
           jumbo->next_header == IPPROTO_TCP && jumbo->length == 0 && jumbo->option == JUMBO_OPTION;
}

static __always_inline int parse_ip6(struct __sk_buff *skb, struct packet *packet) {
    const struct ip6_start *ip = &packet->ip_start.ip6;
    __u8 next_header;
    __u32 jumbo_length = 0;

    if (!read_ip6(skb, packet))
        return SFUNNEL_MALFORMED;
    packet->ip_length = ip6_length_of(skb, packet->network_offset, ip->middle.payload_length);
    if (ip->version_and_class >> 4 != 6 || packet->network_offset + packet->ip_length > skb->len)
        return SFUNNEL_MALFORMED;

    next_header = ip->middle.next_header;
    if (next_header == IPPROTO_HOPOPTS) {
        struct jumbo_header jumbo;

        if (read_jumbo_header(skb, packet->network_offset + sizeof(struct ipv6hdr), &jumbo)) {
            next_header = jumbo.next_header;
            jumbo_length = sizeof(jumbo);
        }
    }
    if (next_header == IPPROTO_FRAGMENT)
        return SFUNNEL_FRAGMENT;
    if (is_extension_header(next_header))
        return SFUNNEL_EXTENSION_HEADER;
    if (next_header != IPPROTO_TCP && next_header != IPPROTO_UDP && next_header != IPPROTO_ICMPV6)
        return SFUNNEL_NOT_TCP_UDP;

    packet->flow.family = SFUNNEL_IPV6;
    packet->ip.total_length = ip->middle.payload_length;
    packet->ip.ttl = ip->middle.hop_limit;
    packet->ip.protocol = next_header;
    set_l4_place(packet, sizeof(struct ipv6hdr), jumbo_length);
    return GO_ON;
}

static __always_inline bool is_icmp(const struct packet *packet) {
    return packet->ip.protocol == IPPROTO_ICMP || packet->ip.protocol == IPPROTO_ICMPV6;
}

/* GO_ON: a packet of TCP, UDP, or ICMP, whose header is not looked at here. */
static __always_inline int parse(struct __sk_buff *skb, struct packet *packet) {
    int outcome;

    if (skb->protocol == bpf_htons(ETH_P_IP))
        outcome = parse_ip(skb, packet);
    else if (skb->protocol == bpf_htons(ETH_P_IPV6))
        outcome = parse_ip6(skb, packet);
    else
        return SFUNNEL_NOT_IP;
    if (outcome != GO_ON || is_icmp(packet))
        return outcome;
    return parse_l4(skb, packet);
}

#endif
