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
#include "loop.h"

#define IP_DONT_FRAGMENT 0x4000
#define IP_FRAGMENT_MASK 0x3fff /* MF and the offset */
#define IP_MAX_LENGTH 65535

/* What a step returns when the packet's life goes on; no packet ends with it. */
#define GO_ON SFUNNEL_OUTCOMES

/* The part of an IPv4 header that changes: from the length to the checksum. */
struct ip_middle {
    __u16 total_length; /* of IPv6 the payload length, which leaves out the header */
    __u16 id;
    __u16 fragment;
    __u8 ttl;      /* of IPv6 the hop limit */
    __u8 protocol; /* of IPv6 the next header */
    __u16 checksum;
};

#define IP_MIDDLE offsetof(struct iphdr, tot_len)

/* And of an IPv6 header. */
struct ip6_middle {
    __u16 payload_length;
    __u8 next_header;
    __u8 hop_limit;
};

#define IP6_MIDDLE offsetof(struct ipv6hdr, payload_len)

/* A VLAN tag that was lifted out of the frame (vlan.h). */
struct lifted_tag {
    __u16 protocol; /* network order; 0: none was */
    __u16 tci;
};

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

/* What lies under a carrier. */
struct inner {
    struct sfunnel_flow flow;
    struct l4_start start;
    bool is_plain;
};

struct packet {
    __u32 ifindex;
    __u32 direction;
    __u32 traits;       /* of the hook: bits of enum sfunnel_hook_trait */
    __u32 gso_size;     /* 0 but for super-packets */
    __u32 frame_length; /* as it came */
    __u32 network_offset;
    __u32 ip_length;      /* of the IP header and all behind it */
    __u32 room_offset;    /* behind the fixed part of the IP header, where room is made */
    __u32 options_length; /* between that and the L4 header */
    __u32 l4_offset;      /* from the start of the frame, as all offsets */
    __u32 l4_length;      /* header and payload, without padding behind the IP length */
    __u32 rule_index;     /* index + 1 of the rule that matched; 0: none */
    struct ip_middle ip;
    struct lifted_tag tag;
    __u16 l4_checksum;      /* as it lies in the header */
    __u16 settled_checksum; /* what it will be under a carrier, or without it */
    __u8 checksum_place;    /* in the L4 header that it is in */
    __u8 tcp_flags;
    bool is_plain;     /* see PLAIN_L4_OFFSET */
    bool has_seed;     /* its checksum was left for a device to complete */
    bool is_in_buffer; /* all of L4, when its checksum was completed */
    bool is_returned;  /* a segment that has come back from the segmenter */
    struct sfunnel_flow flow;
    struct inner inner; /* nothing before find_inner */
};

/*
 * The packet that a CPU works on. Not on the stack, of which there are 512 bytes for all functions
 * that are under way together. A program is never interrupted by another packet of its CPU: the
 * hooks run with soft interrupts off.
 */
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct packet);
} packets SEC(".maps");

static __always_inline bool is_ip6(const struct packet *packet) {
    return packet->flow.family == SFUNNEL_IPV6;
}

/*
 * Without CAP_PERFMON the verifier takes no packet pointer with a variable offset. So the headers
 * of nearly all packets, which lie at the same place (behind an Ethernet header, in the linear
 * part, without IP options), are read and written through pointers, and those that lie elsewhere by
 * helpers, which take several times as long. The program for kernels before 5.17 does with helpers
 * alone: their verifiers would take too long over both.
 */
#define PLAIN_L4_OFFSET (ETH_HLEN + sizeof(struct iphdr))
#define PLAIN_L4_OFFSET_IPV6 (ETH_HLEN + sizeof(struct ipv6hdr))

/* The L4 header of a plain packet: case by case, for constant offsets. */
static __always_inline void *plain_l4(struct __sk_buff *skb, const struct packet *packet) {
    void *data = (void *)(long)skb->data;

    if (is_ip6(packet)) {
        data += PLAIN_L4_OFFSET_IPV6;
        barrier_var(data);
    } else {
        data += PLAIN_L4_OFFSET;
        barrier_var(data);
    }
    return data;
}

/* Copies a header from wherever its bytes lie; 0 if they are all there. */
static __always_inline int read_header(struct __sk_buff *skb, __u32 offset, void *to, __u32 size) {
    return bpf_skb_load_bytes(skb, offset, to, size);
}

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
    void *end = (void *)(long)skb->data_end, *plain = plain_l4(skb, packet);

    if (packet->l4_length < (is_tcp ? sizeof(struct tcphdr) : sizeof(struct udphdr)))
        return false;
    packet->is_plain = HAS_LOOP_HELPER && packet->options_length == 0 &&
                       packet->network_offset == ETH_HLEN && plain + sizeof(*start) <= end;
    if (packet->is_plain) {
        *start = *(struct l4_start *)plain;
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
              packet->flow.family);
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

static __always_inline bool read_ip(struct __sk_buff *skb, __u32 network_offset, struct iphdr *ip) {
    void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;

    if (network_offset == ETH_HLEN && data + ETH_HLEN + sizeof(*ip) <= end) {
        *ip = *(struct iphdr *)(data + ETH_HLEN);
        return true;
    }
    return !read_header(skb, network_offset, ip, sizeof(*ip));
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
    __u32 header_length;
    struct iphdr ip;

    if (!read_ip(skb, packet->network_offset, &ip))
        return SFUNNEL_MALFORMED;
    header_length = ip.ihl * 4;
    packet->ip_length = ip_length_of(skb, packet->network_offset, &ip);
    if (ip.version != 4 || header_length < sizeof(ip) || packet->ip_length < header_length ||
        packet->network_offset + packet->ip_length > skb->len)
        return SFUNNEL_MALFORMED;

    if (ip.protocol != IPPROTO_TCP && ip.protocol != IPPROTO_UDP && ip.protocol != IPPROTO_ICMP)
        return SFUNNEL_NOT_TCP_UDP;
    if (ip.frag_off & bpf_htons(IP_FRAGMENT_MASK))
        return ip.protocol == IPPROTO_ICMP ? SFUNNEL_NOT_TCP_UDP : SFUNNEL_FRAGMENT;

    set_ipv4_addresses(&packet->flow, ip.saddr, ip.daddr);
    packet->flow.family = SFUNNEL_IPV4;
    set_ip_middle(packet, &ip);
    set_l4_place(packet, sizeof(ip), header_length - sizeof(ip));
    return GO_ON;
}

/* The fixed part of an IPv6 header up to the addresses. */
struct ip6_start {
    __u8 version_and_class;
    __u8 class_and_label[3];
    struct ip6_middle middle;
};

#define IP6_ADDRESSES offsetof(struct ipv6hdr, saddr)
#define IP6_ADDRESSES_SIZE 32

/* Reads an IPv6 header, the addresses into the flow, where both lie one behind the other too. */
static __always_inline bool read_ip6(struct __sk_buff *skb, struct packet *packet,
                                     struct ip6_start *start) {
    void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;

    if (packet->network_offset == ETH_HLEN && data + PLAIN_L4_OFFSET_IPV6 <= end) {
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
    struct ip6_start ip = {};
    __u8 next_header;
    __u32 jumbo_length = 0;

    if (!read_ip6(skb, packet, &ip))
        return SFUNNEL_MALFORMED;
    packet->ip_length = ip6_length_of(skb, packet->network_offset, ip.middle.payload_length);
    if (ip.version_and_class >> 4 != 6 || packet->network_offset + packet->ip_length > skb->len)
        return SFUNNEL_MALFORMED;

    next_header = ip.middle.next_header;
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
    packet->ip.total_length = ip.middle.payload_length;
    packet->ip.ttl = ip.middle.hop_limit;
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
