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

#define CACHED_FLOW_BITS 9
#define CACHED_FLOWS (1 << CACHED_FLOW_BITS) /* of one CPU */

/* 1 to 10 ms, as the kernel was built. Longer, and a table that is full would evict live flows. */
#define REFRESH_JIFFIES 1

/* As long, a small packet follows the super-packets of its flow; 64 to 640 ms. */
#define FOLLOW_JIFFIES 64

/* Of an answer that nobody has given yet. */
#define NO_GENERATION 0

/* In what a flow was seen. */
enum cached_role {
    CACHED_PACKET = 1, /* as the headers of the packet show it */
    CACHED_INNER = 2,  /* under a carrier */
};

struct cached_key {
    flow_word flow[FLOW_WORDS];
    __u64 place; /* interface, direction and role */
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
    __u16 port;          /* inner flow: the port under which the pod knows the client */
    __u16 flow_id;       /* funnel: what the carrier says of the flow */
    __u32 carrier_every; /* funnel: seconds on one port; 0: for good */
    __u32 carrier_turn;  /* how often so many seconds had gone by when it was asked */
    /* What follows is valid until then, and as long as no entry was taken out of the table. */
    __u32 fresh_until; /* jiffies */
    __u32 forgotten;
    __u32 mtu;             /* of the way out, in bytes of an IP packet */
    __u32 segmented_until; /* jiffies: its packets follow super-packets through the segmenter */
    /* What the table of connections says, likewise; `connection` 0: it has none, as long as none
       was added. */
    __u32 connection_until; /* jiffies */
    __u32 connections_added;
    __u32 connections_removed;
    __u16 connection_sport;
    __u16 connection_dport;
    __u8 connection; /* enum sfunnel_connection_kind */
};

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, CACHED_FLOWS);
    __type(key, __u32);
    __type(value, struct cached_flow);
} cached_flows SEC(".maps");

/* What all CPUs read for each packet, and one now and then writes: apart from what others write. */
#define SHARED __attribute__((aligned(64)))

/* How often an entry was taken out of the table of replies. */
__u32 entries_forgotten SHARED;

/*
 * How often a connection came into the table of connections, and went out of it while a CPU might
 * still have what the table said.
 */
__u32 connections_added SHARED;
__u32 connections_removed SHARED;

static __always_inline __u32 jiffies_now(void) {
    return bpf_jiffies64();
}

static __always_inline bool is_over(__u32 until, __u32 now) {
    return (__s32)(until - now) <= 0;
}

static __always_inline __u32 cache_slot(const flow_word *flow, __u64 place) {
    __u64 hash = (flow[0] + 5 * flow[2]) ^ (flow[1] + 3 * flow[3]) ^ 7 * flow[4] ^ place;

    /* The upper bits of a product depend on all bits of the number. */
    return hash * 0x9e3779b97f4a7c15ULL >> (64 - CACHED_FLOW_BITS);
}

static __always_inline bool is_same_key(const struct cached_key *key, const flow_word *flow,
                                        __u64 place) {
    return key->flow[0] == flow[0] && key->flow[1] == flow[1] && key->flow[2] == flow[2] &&
           key->flow[3] == flow[3] && key->flow[4] == flow[4] && key->place == place;
}

/*
 * The place for this flow, emptied if it held another one or an answer of older rules: then its
 * generation differs from the one asked for.
 */
static __always_inline struct cached_flow *
cached_flow_of(struct packet *packet, const struct sfunnel_flow *of, enum cached_role role) {
    const flow_word *flow = (const flow_word *)of;
    __u64 place = (__u64)role << 48 | (__u64)packet->direction << 32 | packet->ifindex;
    __u32 slot = cache_slot(flow, place);
    struct cached_flow *cached = look_up(&cached_flows, slot);

    if (role == CACHED_PACKET)
        packet->cached_slot = slot;
    if (cached && !is_same_key(&cached->key, flow, place)) {
#pragma unroll
        for (int word = 0; word < FLOW_WORDS; word++)
            cached->key.flow[word] = flow[word];
        cached->key.place = place;
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

static __always_inline bool has_fresh_connection(const struct cached_flow *cached) {
    return !is_over(cached->connection_until, jiffies_now()) &&
           (cached->connection ? cached->connections_removed == connections_removed
                               : cached->connections_added == connections_added);
}

/* From here on the table has to be asked. */
static __always_inline void set_no_connection_known(struct cached_flow *cached) {
    cached->connection_until = jiffies_now();
}

/* What was found is kept with what was counted before it was looked for, so nothing is missed. */
static __always_inline void cache_connection(struct cached_flow *cached, __u8 kind, __u16 sport,
                                             __u16 dport) {
    cached->connection = kind;
    cached->connection_sport = sport;
    cached->connection_dport = dport;
    cached->connection_until = jiffies_now() + REFRESH_JIFFIES;
}

static __always_inline void cache_no_connection(struct cached_flow *cached) {
    cached->connection = 0;
    cached->connection_until = jiffies_now() + REFRESH_JIFFIES;
}

#endif
