/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* From bytes to the five fields that rules look at. */
#ifndef SFUNNEL_PARSE_H
#define SFUNNEL_PARSE_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "loop.h"

#define IP_DONT_FRAGMENT 0x4000
#define IP_FRAGMENT_MASK 0x3fff /* MF and the offset */
#define IP_MAX_LENGTH 65535

/* What a step returns when the packet's life goes on; no packet ends with it. */
#define GO_ON SFUNNEL_OUTCOMES

/* The part of an IPv4 header that changes: from the length to the checksum. */
struct ip_middle {
    __u16 total_length;
    __u16 id;
    __u16 fragment;
    __u8 ttl;
    __u8 protocol;
    __u16 checksum;
};

#define IP_MIDDLE offsetof(struct iphdr, tot_len)

struct packet {
    __u32 ifindex;
    __u32 direction;
    __u32 gso_size;     /* 0 but for super-packets */
    __u32 frame_length; /* as it came */
    __u32 ip_length;    /* of the IP header and all behind it */
    __u32 options_length;
    __u32 l4_offset;  /* from the start of the frame */
    __u32 l4_length;  /* header and payload, without padding behind the IP length */
    __u32 rule_index; /* index + 1 of the rule that matched; 0: none */
    struct ip_middle ip;
    __u16 l4_checksum;      /* as it lies in the header */
    __u16 settled_checksum; /* what it will be under a carrier, or without it */
    __u8 checksum_place;    /* in the L4 header that it is in */
    __u8 tcp_flags;
    bool is_plain;     /* no IP options, and the headers lie in the linear part */
    bool has_seed;     /* its checksum was left for a device to complete */
    bool is_in_buffer; /* all of L4, when its checksum was completed */
    bool is_returned;  /* a segment that has come back from the segmenter */
    struct sfunnel_flow flow;
};

/*
 * Without CAP_PERFMON the verifier takes no packet pointer with a variable offset. So the headers
 * of nearly all packets, which lie at the same place, are read and written through pointers, and
 * those that lie elsewhere (behind IP options, outside the linear part) by helpers, which take
 * several times as long. The program for kernels before 5.17 does with helpers alone: their
 * verifiers would take too long over both.
 */
#define PLAIN_L4_OFFSET (ETH_HLEN + sizeof(struct iphdr))

/* Copies a header from wherever its bytes lie; 0 if they are all there. */
static __always_inline int read_header(struct __sk_buff *skb, __u32 offset, void *to, __u32 size) {
    return bpf_skb_load_bytes(skb, offset, to, size);
}

/* The first bytes of an L4 header, as far as they matter here. */
struct l4_start {
    __u16 source;
    __u16 dest;
    union {
        struct {
            __u16 length;
            __u16 checksum;
        } udp;
        struct {
            __u32 seq;
            __u32 ack;
            __u8 offset; /* in words, in the upper half */
            __u8 flags;
            __u16 window;
            __u16 checksum;
            __u16 urgent;
        } tcp;
    };
};

/* Where a TCP header says how long it is. */
#define TCP_OFFSET_BYTE 12

#define UDP_START sizeof(struct udphdr)
#define TCP_FLAG_FIN 0x01
#define TCP_FLAG_SYN 0x02
#define TCP_FLAG_ACK 0x10

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

static __always_inline void set_ports(struct sfunnel_flow *flow, __u16 sport, __u16 dport,
                                      __u8 transport, __u8 family) {
    flow_word *words = (flow_word *)flow;

    words[FLOW_PORTS] = (__u64)family << 40 | (__u64)transport << 32 | (__u32)dport << 16 | sport;
}

/* Reads what the packet's L4 header begins with. */
static __always_inline bool read_l4_start(struct __sk_buff *skb, struct packet *packet,
                                          struct l4_start *start) {
    bool is_tcp = packet->ip.protocol == IPPROTO_TCP;
    void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;

    if (packet->l4_length < (is_tcp ? sizeof(struct tcphdr) : sizeof(struct udphdr)))
        return false;
    packet->is_plain = HAS_LOOP_HELPER && packet->options_length == 0 &&
                       data + PLAIN_L4_OFFSET + sizeof(*start) <= end;
    if (packet->is_plain) {
        *start = *(struct l4_start *)(data + PLAIN_L4_OFFSET);
        return true;
    }
    __builtin_memset(start, 0, sizeof(*start));
    if (is_tcp)
        return !read_header(skb, packet->l4_offset, start, sizeof(*start));
    return !read_header(skb, packet->l4_offset, start, UDP_START);
}

static __always_inline int parse_l4(struct __sk_buff *skb, struct packet *packet) {
    struct l4_start start;

    if (!read_l4_start(skb, packet, &start))
        return SFUNNEL_MALFORMED;
    set_ports(&packet->flow, bpf_ntohs(start.source), bpf_ntohs(start.dest), packet->ip.protocol,
              SFUNNEL_IPV4);
    if (packet->ip.protocol == IPPROTO_TCP) {
        packet->l4_checksum = start.tcp.checksum;
        packet->tcp_flags = start.tcp.flags;
        return GO_ON;
    }
    packet->l4_checksum = start.udp.checksum;
    /*
     * Bytes behind the UDP length are in no checksum; nobody sends them on purpose. In a
     * super-packet the length may be that of one segment.
     */
    if (bpf_ntohs(start.udp.length) != packet->l4_length && !packet->gso_size)
        return SFUNNEL_MALFORMED;
    return GO_ON;
}

static __always_inline bool read_ip(struct __sk_buff *skb, struct iphdr *ip) {
    void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;

    if (data + ETH_HLEN + sizeof(*ip) <= end) {
        *ip = *(struct iphdr *)(data + ETH_HLEN);
        return true;
    }
    return !read_header(skb, ETH_HLEN, ip, sizeof(*ip));
}

/* BIG TCP: a super-packet of more than 64 KiB has 0 for its length. */
static __always_inline __u32 ip_length_of(const struct __sk_buff *skb, const struct iphdr *ip) {
    if (ip->tot_len == 0 && skb->gso_size)
        return skb->len - ETH_HLEN;
    return bpf_ntohs(ip->tot_len);
}

static __always_inline void set_ip_middle(struct packet *packet, const struct iphdr *ip) {
    packet->ip.total_length = ip->tot_len;
    packet->ip.id = ip->id;
    packet->ip.fragment = ip->frag_off;
    packet->ip.ttl = ip->ttl;
    packet->ip.protocol = ip->protocol;
    packet->ip.checksum = ip->check;
}

/* GO_ON: a packet of TCP, UDP, or ICMP, whose header is not looked at here. */
static __always_inline int parse(struct __sk_buff *skb, struct packet *packet) {
    __u32 header_length;
    struct iphdr ip;

    if (skb->protocol != bpf_htons(ETH_P_IP))
        return SFUNNEL_NOT_IP;

    if (!read_ip(skb, &ip))
        return SFUNNEL_MALFORMED;
    header_length = ip.ihl * 4;
    packet->ip_length = ip_length_of(skb, &ip);
    if (ip.version != 4 || header_length < sizeof(ip) || packet->ip_length < header_length ||
        ETH_HLEN + packet->ip_length > skb->len)
        return SFUNNEL_MALFORMED;

    if (ip.protocol != IPPROTO_TCP && ip.protocol != IPPROTO_UDP && ip.protocol != IPPROTO_ICMP)
        return SFUNNEL_NOT_TCP_UDP;
    if (ip.frag_off & bpf_htons(IP_FRAGMENT_MASK))
        return ip.protocol == IPPROTO_ICMP ? SFUNNEL_NOT_TCP_UDP : SFUNNEL_FRAGMENT;

    set_ipv4_addresses(&packet->flow, ip.saddr, ip.daddr);
    set_ip_middle(packet, &ip);
    packet->options_length = header_length - sizeof(ip);
    packet->l4_offset = ETH_HLEN + header_length;
    packet->l4_length = packet->ip_length - header_length;
    if (ip.protocol == IPPROTO_ICMP)
        return GO_ON;
    return parse_l4(skb, packet);
}

#endif
