/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What is known of the packet under way. */
#ifndef SFUNNEL_PACKET_H
#define SFUNNEL_PACKET_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "loop.h"
#include "maps.h"

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

/* The fixed part of an IPv6 header up to the addresses. */
struct ip6_start {
    __u8 version_and_class;
    __u8 class_and_label[3];
    struct ip6_middle middle;
};

/* An IP header as it was read; of IPv6 with or without the addresses. */
union ip_start {
    struct iphdr ip;
    struct ip6_start ip6;
    struct ipv6hdr whole_ip6;
};

/* A carrier as the packets of one direction show it. */
struct carrier {
    __u16 sport; /* host order */
    __u16 dport;
    /*
     * Whose flow this is, in the urgent pointer of a TCP carrier that moves from port to port,
     * which its SYN alone does not use; 0: not told. The service side would take each move for
     * another client.
     */
    __u16 flow_id;
    __u8 transport;
};

/* A carrier as it will lie in the packet; of `udp`, the first 8 bytes. */
union carrier_header {
    struct tcphdr tcp;
    struct udphdr udp;
};

/* What is copied in words of 64 bits, though none of its fields has so many. */
#define IN_WORDS __attribute__((aligned(8)))

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

/* What the options of a TCP header say, as far as it matters here. */
struct tcp_options {
    __u32 mss;      /* where the size lies, from the start of the frame; 0: there is none */
    bool is_signed; /* TCP-MD5 (RFC 2385) or TCP-AO (RFC 5925): over the ports too */
    bool has_fast_open;
    bool removes_fast_open; /* each that is met */
    bool is_broken;         /* that failed */
};

/* What lies under a carrier. */
struct inner {
    struct sfunnel_flow flow;
    struct l4_start start;
    bool is_plain;
};

/*
 * A packet, and all that is found out about it. What has an address lies here, not on the stack:
 * that has 512 bytes for all functions which are under way together, and without CAP_PERFMON
 * verifiers before 6.12 take no store into a part of a stack slot that holds a value.
 */
struct packet {
    union {
        struct sfunnel_hook hook;
        struct {
            __u32 ifindex;
            __u32 direction;
        };
    };
    __u32 traits;       /* of the hook: bits of enum sfunnel_hook_trait */
    __u32 gso_size;     /* 0 but for super-packets */
    __u32 frame_length; /* as it came */
    __u32 network_offset;
    __u32 ip_length;      /* of the IP header and all behind it */
    __u32 room_offset;    /* behind the fixed part of the IP header, where room is made */
    __u32 options_length; /* between that and the L4 header */
    __u32 l4_offset;      /* from the start of the frame, as all offsets */
    __u32 l4_length;      /* header and payload, without padding behind the IP length */
    __u32 cached_slot;    /* of what this CPU remembers of the flow */
    __u32 rule_index;     /* index + 1 of the rule that matched; 0: none */
    struct ip_middle ip;
    struct lifted_tag tag;
    __u16 l4_checksum;      /* as it lies in the header */
    __u16 settled_checksum; /* what it will be under a carrier, or without it */
    __u8 checksum_place;    /* in the L4 header that it is in */
    __u8 tcp_flags;
    bool is_plain;         /* see PLAIN_L4_OFFSET */
    bool has_seed;         /* its checksum was left for a device to complete */
    bool is_in_buffer;     /* all of L4, when its checksum was completed */
    bool is_returned;      /* a segment that has come back from the segmenter */
    bool is_adoptable;     /* of a real connection that the table of connections should know */
    bool is_found_by_twin; /* see `found`: the entry is that of the other direction */
    bool is_known_by_twin; /* see `known`: likewise */
    bool is_answered;      /* it has become the answer to itself, which is sent in its place */
    struct sfunnel_flow flow;

    /* Room to work in; nothing is in it before somebody puts it there. */
    union ip_start ip_start;
    struct l4_start start;
    struct inner inner;
    struct carrier carrier;
    union carrier_header header;
    struct ip_middle changed_ip;
    struct ip6_middle changed_ip6;
    struct sfunnel_reply_key reply_key IN_WORDS;
    struct sfunnel_reply reply;
    struct sfunnel_route_key route_key;
    struct tcp_options options;
    struct l4_start changed_start;
    struct sfunnel_reply_key twin_key IN_WORDS;
    struct sfunnel_reply_key place IN_WORDS;     /* of whoever is looked for */
    struct sfunnel_reply_key found_key IN_WORDS; /* of his entry: this one, or the other one */
    struct sfunnel_connection found; /* as packets of this place have it; kind 0: nobody */
    struct sfunnel_reply_key entry_key
        IN_WORDS;                    /* of the packet's own connection: reply_key or twin_key */
    struct sfunnel_connection known; /* what the table has of it; kind 0: it has none */
    struct sfunnel_reply_key removed_key IN_WORDS;
    struct sfunnel_reply_key removed_twin_key IN_WORDS;
    struct sfunnel_connection connection;
    struct sfunnel_closing closing;
};

/* The one that a CPU works on; hooks run with soft interrupts off, so no other comes in between. */
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct packet);
} packets SEC(".maps");

/*
 * NULL never, but the verifier does not know. Functions that are verified once ask again instead
 * of being given it: up to 6.1 what they are given is no key of a map.
 */
static __always_inline struct packet *packet_under_way(void) {
    return look_up(&packets, 0);
}

/* The packet that begins, with nothing found out yet. */
static __always_inline struct packet *new_packet(void) {
    struct packet *packet = packet_under_way();

    if (packet)
        __builtin_memset(packet, 0, offsetof(struct packet, ip_start));
    return packet;
}

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

static __always_inline bool is_plain(const struct packet *packet) {
    return HAS_LOOP_HELPER && packet->is_plain;
}

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

#endif
