/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What each CPU remembers of the flows it has just seen, so that the packets of a flow do not ask
 * the rules and the tables again and again. It never changes an answer by more than
 * REFRESH_JIFFIES: the rule is that of the generation in force, and what the table of replies knows
 * is looked at again in that time, or at once when an entry was taken out of it.
 */
#ifndef SFUNNEL_CACHE_H
#define SFUNNEL_CACHE_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "parse.h"

#define CACHED_FLOWS 512 /* of one CPU; a power of two */

/* 64 to 640 ms, as the kernel was built. */
#define REFRESH_JIFFIES 64

/* Of an answer that nobody has given yet. */
#define NO_GENERATION 0

/* In what a flow was seen. */
enum cached_role {
    CACHED_PACKET = 1, /* as the headers of the packet show it */
    CACHED_INNER = 2,  /* under a carrier */
};

/* Which flow this is about: compared as one piece. */
struct cached_key {
    struct sfunnel_flow flow;
    __u32 ifindex;
    __u16 direction;
    __u16 role;
};

struct cached_flow {
    struct cached_key key;
    __u32 generation; /* of the rules that were asked */
    __u32 rule_index; /* index + 1; 0: no rule matched */
    __u32 counter;
    __u8 kind; /* enum sfunnel_rule_kind */
    __u8 other_transport;
    /* funnel: of the carrier that the flow gets; inner flow: of the one that it came in. */
    __u16 carrier_sport;
    __u16 carrier_dport;
    __u16 port; /* inner flow: the port under which the pod knows the client */
    /* What follows is valid until then, and as long as no entry was taken out of the table. */
    __u32 fresh_until; /* jiffies */
    __u32 forgotten;
    __u32 mtu;             /* of the way out, in bytes of an IP packet */
    __u32 segmented_until; /* jiffies: its packets follow super-packets through the segmenter */
};

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, CACHED_FLOWS);
    __type(key, __u32);
    __type(value, struct cached_flow);
} cached_flows SEC(".maps");

/* How often an entry was taken out of the table of replies. */
__u32 entries_forgotten;

static __always_inline __u32 jiffies_now(void) {
    return bpf_jiffies64();
}

static __always_inline bool is_over(__u32 until, __u32 now) {
    return (__s32)(until - now) <= 0;
}

static __always_inline __u32 cache_slot(const struct cached_key *key) {
    const struct sfunnel_flow *flow = &key->flow;
    __u64 hash = (__u64)(flow->saddr[3] ^ flow->daddr[1]) << 32 | (flow->daddr[3] ^ flow->saddr[1]);

    hash ^= (__u64)(flow->saddr[0] ^ flow->daddr[2]) << 32 | (flow->daddr[0] ^ flow->saddr[2]);
    hash ^= ((__u64)flow->sport << 48 | (__u64)flow->dport << 32) + key->ifindex;
    hash ^= (__u64)flow->transport << 8 | key->role << 4 | key->direction;
    hash *= 0x9e3779b97f4a7c15ULL;
    return hash >> 32 & (CACHED_FLOWS - 1);
}

static __always_inline bool is_same_key(const struct cached_key *one,
                                        const struct cached_key *other) {
    const __u64 *a = (const __u64 *)one, *b = (const __u64 *)other;

    _Static_assert(sizeof(*one) == 6 * sizeof(__u64), "a key is compared in words of 64 bits");
    return a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3] && a[4] == b[4] &&
           a[5] == b[5];
}

/*
 * The place for this flow, emptied if it held another one or an answer of older rules: then its
 * generation differs from the one asked for.
 */
static __noinline struct cached_flow *cached_flow_of(const struct packet *packet,
                                                     const struct sfunnel_flow *flow,
                                                     enum cached_role role) {
    struct cached_key key = {
        .flow = *flow,
        .ifindex = packet->skb->ifindex,
        .direction = packet->direction,
        .role = role,
    };
    __u32 slot = cache_slot(&key);
    struct cached_flow *cached = bpf_map_lookup_elem(&cached_flows, &slot);

    if (cached && !is_same_key(&cached->key, &key)) {
        cached->key = key;
        cached->generation = NO_GENERATION;
        cached->segmented_until = jiffies_now();
    }
    return cached;
}

/* What the table knows has not changed, and was looked at a short while ago. */
static __always_inline bool is_fresh(const struct cached_flow *cached) {
    return !is_over(cached->fresh_until, jiffies_now()) && cached->forgotten == entries_forgotten;
}

static __always_inline void set_fresh(struct cached_flow *cached) {
    cached->fresh_until = jiffies_now() + REFRESH_JIFFIES;
    cached->forgotten = entries_forgotten;
}

static __always_inline void set_stale(struct cached_flow *cached) {
    cached->fresh_until = jiffies_now();
}

#endif
