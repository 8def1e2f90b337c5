/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Flows for a search, one after the other, and what it said in sum. A frame of a test run becomes a
 * packet of the next flow, so that what a CPU has just done for one is of no use for the next.
 */
#ifndef BENCH_FLOWS_H
#define BENCH_FLOWS_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"

/* In one run of a search alone. */
const volatile __u32 flows_of_run = 1;

/* Several lists, one behind the other; as many as the bench says. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct sfunnel_flow);
} flows SEC(".maps");

/* A walk through one of the lists, from its end to its beginning again. */
struct walk {
    __u64 first; /* of the list */
    __u64 count;
    __u64 next; /* in the list */
    __u64 asked;
    __u64 matched;    /* flows that a rule was found for */
    __u64 rule_total; /* the indexes of these rules, added up */
};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct walk);
} walks SEC(".maps");

static __always_inline struct walk *walk_under_way(void) {
    __u32 index = 0;

    return bpf_map_lookup_elem(&walks, &index);
}

static __always_inline const struct sfunnel_flow *next_flow(struct walk *walk) {
    __u32 index = walk->first + walk->next;

    walk->next = walk->next + 1 < walk->count ? walk->next + 1 : 0;
    walk->asked++;
    return bpf_map_lookup_elem(&flows, &index);
}

/* `rule`: index + 1; 0: none was found. */
static __always_inline void note_answer(struct walk *walk, __u32 rule) {
    if (rule) {
        walk->matched++;
        walk->rule_total += rule - 1;
    }
}

/*
 * Makes the frame a packet of the next flow of the list. They have to be of the frame's family;
 * what lies behind the ports is a header of UDP, and good enough for one of TCP. Returns 0 if it is
 * done.
 */
static __always_inline int write_next_flow(struct __sk_buff *skb, struct walk *walk) {
    void *network = (void *)(long)skb->data + ETH_HLEN, *end = (void *)(long)skb->data_end;
    const struct sfunnel_flow *flow = next_flow(walk);
    struct udphdr *ports;

    if (!flow)
        return -1;
    if (flow->family == SFUNNEL_IPV6) {
        struct ipv6hdr *ip = network;

        ports = (struct udphdr *)(ip + 1);
        if ((void *)(ports + 1) > end)
            return -1;
        ip->nexthdr = flow->transport;
        __builtin_memcpy(&ip->saddr, flow->saddr, sizeof(ip->saddr));
        __builtin_memcpy(&ip->daddr, flow->daddr, sizeof(ip->daddr));
        ports->source = bpf_htons(flow->sport);
        ports->dest = bpf_htons(flow->dport);
    } else {
        struct iphdr *ip = network;

        ports = (struct udphdr *)(ip + 1);
        if ((void *)(ports + 1) > end)
            return -1;
        ip->protocol = flow->transport;
        ip->saddr = flow->saddr[3];
        ip->daddr = flow->daddr[3];
        ports->source = bpf_htons(flow->sport);
        ports->dest = bpf_htons(flow->dport);
    }
    return 0;
}

#endif
