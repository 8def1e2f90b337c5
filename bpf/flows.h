/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Replies follow by themselves: what came or went funneled is remembered under the flow that
 * its replies will show, so that they, and nothing else from the same port, are treated alike.
 */
#ifndef SFUNNEL_FLOWS_H
#define SFUNNEL_FLOWS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "cache.h"
#include "count.h"
#include "hash.h"
#include "loop.h"
#include "maps.h"
#include "parse.h"

/*
 * A UDP flow whose last packet is older than this gives its port to another client without
 * further ado: less than the 120 s after which conntrack forgets a carrier, so that a client
 * which comes back through another port of its NAT is not taken for two.
 */
#define IDLE_NANOSECONDS (30 * 1000000000ULL)

/* Ports that are tried for a client whose own is taken. */
#define PORT_CANDIDATES 4
#define LOWEST_CANDIDATE 1024

/*
 * Nanoseconds since boot, to a few milliseconds; the cheap clock came with 5.11, before bpf_loop.
 */
static __always_inline __u64 coarse_clock(void) {
    return HAS_LOOP_HELPER ? bpf_ktime_get_coarse_ns() : bpf_ktime_get_ns();
}

static __always_inline __u8 opposite(__u32 direction) {
    return direction == SFUNNEL_INGRESS ? SFUNNEL_EGRESS : SFUNNEL_INGRESS;
}

/* A key is written in words as a flow is, and for the same reason (parse.h). */
_Static_assert(offsetof(struct sfunnel_reply_key, sport) == FLOW_PORTS * sizeof(flow_word) &&
                   offsetof(struct sfunnel_reply_key, ifindex) == FLOW_WORDS * sizeof(flow_word),
               "words of a key");

static __always_inline void copy_key(struct sfunnel_reply_key *to,
                                     const struct sfunnel_reply_key *from) {
    const flow_word *words = (const flow_word *)from;
    flow_word *copy = (flow_word *)to;

#pragma unroll
    for (int word = 0; word < FLOW_WORDS; word++)
        copy[word] = words[word];
    to->ifindex = from->ifindex;
}

/* Source and destination address of a flow or key, turned round. */
static __always_inline void turn_addresses(void *to, const void *from) {
    const flow_word *words = from;
    flow_word *turned = to;

    turned[FLOW_SOURCE] = words[FLOW_DESTINATION];
    turned[FLOW_SOURCE + 1] = words[FLOW_DESTINATION + 1];
    turned[FLOW_DESTINATION] = words[FLOW_SOURCE];
    turned[FLOW_DESTINATION + 1] = words[FLOW_SOURCE + 1];
}

/* All of a key but the addresses. */
static __always_inline void set_key_rest(struct sfunnel_reply_key *key, const struct packet *packet,
                                         __u16 sport, __u16 dport, const struct sfunnel_flow *flow,
                                         bool to_unfunnel, __u8 direction) {
    flow_word *words = (flow_word *)key;

    words[FLOW_PORTS] = (__u64)flow->family << 56 | (__u64)direction << 48 |
                        (__u64)to_unfunnel << 40 | (__u64)flow->transport << 32 |
                        (__u32)dport << 16 | sport;
    key->ifindex = packet->ifindex;
}

/* The key under which replies to `flow` are found. */
static __always_inline struct sfunnel_reply_key *
key_of_replies(struct packet *packet, const struct sfunnel_flow *flow, bool to_unfunnel) {
    struct sfunnel_reply_key *key = &packet->reply_key;

    turn_addresses(key, flow);
    set_key_rest(key, packet, flow->dport, flow->sport, flow, to_unfunnel,
                 opposite(packet->direction));
    return key;
}

/* The key under which a reply finds itself. */
static __always_inline struct sfunnel_reply_key *
key_of_reply(struct packet *packet, const struct sfunnel_flow *flow, bool to_unfunnel) {
    struct sfunnel_reply_key *key = &packet->reply_key;
    const flow_word *from = (const flow_word *)flow;
    flow_word *to = (flow_word *)key;

#pragma unroll
    for (int word = 0; word < FLOW_PORTS; word++)
        to[word] = from[word];
    set_key_rest(key, packet, flow->sport, flow->dport, flow, to_unfunnel, packet->direction);
    return key;
}

/* Replies show the carrier turned round. */
static __always_inline bool same_carrier(const struct sfunnel_reply *reply,
                                         const struct carrier *carrier) {
    return reply->carrier_sport == carrier->dport && reply->carrier_dport == carrier->sport &&
           reply->carrier_transport == carrier->transport;
}

/* Under this carrier or another one of the same flow. */
static __always_inline bool is_same_flow(const struct sfunnel_reply *reply,
                                         const struct carrier *carrier) {
    return same_carrier(reply, carrier) ||
           (carrier->flow_id && reply->flow_id == carrier->flow_id &&
            reply->carrier_sport == carrier->dport &&
            reply->carrier_transport == carrier->transport);
}

static __always_inline void set_carrier(struct sfunnel_reply *reply,
                                        const struct carrier *carrier) {
    reply->flow_id = carrier->flow_id;
    reply->carrier_sport = carrier->dport;
    reply->carrier_dport = carrier->sport;
    reply->carrier_transport = carrier->transport;
}

static __always_inline void add_reply(struct packet *packet, __u16 port,
                                      const struct carrier *carrier) {
    const struct sfunnel_reply_key *key = &packet->reply_key;
    struct sfunnel_reply *reply = &packet->reply;

    __builtin_memset(reply, 0, sizeof(*reply));
    reply->last_seen = coarse_clock();
    reply->port = port;
    set_carrier(reply, carrier);
    if (bpf_map_update_elem(&replies, key, reply, BPF_ANY)) {
        count_event(SFUNNEL_FLOW_NOT_ADDED);
        return;
    }
    count_event(SFUNNEL_FLOW_ADDED);
    /* What was never looked up is evicted first, and the reply to this is still to come. */
    bpf_map_lookup_elem(&replies, key);
}

/* Replies go under the carrier that the flow has now. */
static __always_inline void move(struct sfunnel_reply *known, const struct carrier *carrier) {
    if (same_carrier(known, carrier))
        return;
    set_carrier(known, carrier);
    count_event(SFUNNEL_FLOW_MOVED);
}

/* Client side: a flow leaves under this carrier. */
static __noinline void remember_funneled(struct packet *packet) {
    const struct sfunnel_reply_key *key = key_of_replies(packet, &packet->flow, true);
    struct sfunnel_reply *known = bpf_map_lookup_elem(&replies, key);
    const struct carrier *carrier = &packet->carrier;

    if (known)
        move(known, carrier);
    else
        add_reply(packet, packet->flow.sport, carrier);
}

/*
 * Looks for a port that tells this client from others with its address and port. The candidates
 * follow from flow and carrier, so a later packet finds the same one without another table.
 */
static __always_inline __u16 remap(struct packet *packet, bool may_take) {
    const struct sfunnel_flow *inner = &packet->inner.flow;
    const struct carrier *carrier = &packet->carrier;
    struct sfunnel_reply_key *key = &packet->reply_key;
    __u32 hash = flow_hash(inner), client = carrier->flow_id ? carrier->flow_id : carrier->sport;
    __u16 free = 0;

    /* Without CAP_PERFMON the verifier follows a loop beyond its end, as a CPU may speculate. */
#pragma unroll
    for (__u32 attempt = 0; attempt < PORT_CANDIDATES; attempt++) {
        __u64 spread = flow_hash_word(hash, client << 16 | attempt);
        __u16 candidate = LOWEST_CANDIDATE + (spread * (65536 - LOWEST_CANDIDATE) >> 32);
        struct sfunnel_reply *known;

        key->dport = candidate;
        known = bpf_map_lookup_elem(&replies, key);
        if (known && is_same_flow(known, carrier) && known->port == inner->sport) {
            move(known, carrier);
            known->last_seen = coarse_clock();
            return candidate;
        }
        if (!known && !free)
            free = candidate;
    }
    if (!free || !may_take)
        return 0;
    key->dport = free;
    add_reply(packet, inner->sport, carrier);
    count_event(SFUNNEL_FLOW_REMAPPED);
    return free;
}

/*
 * Service side: a flow came under this carrier. Gives the port under which the pod shall see the
 * client: its own, or another if a client of the same address (both behind one SNAT) has it;
 * -1 if none is free. A client may well use port 0 (RFC 768).
 *
 * A flow whose carrier changes is the same flow if the carrier says so, or if it is TCP and goes on
 * (no SYN), and another client's otherwise, unless the old one has long been silent.
 */
__noinline int remember_unfunneled(bool begins) {
    struct packet *packet = packet_under_way();
    __u64 now = coarse_clock();
    const struct sfunnel_flow *inner;
    const struct carrier *carrier;
    struct sfunnel_reply *known;
    bool goes_on;
    __u16 port;

    if (!packet)
        return -1;
    inner = &packet->inner.flow;
    carrier = &packet->carrier;
    known = bpf_map_lookup_elem(&replies, key_of_replies(packet, inner, false));
    if (!known) {
        add_reply(packet, inner->sport, carrier);
        return inner->sport;
    }
    if (is_same_flow(known, carrier) && known->port == inner->sport) {
        move(known, carrier);
        known->last_seen = now;
        return inner->sport;
    }

    goes_on = inner->transport == IPPROTO_TCP && !begins;
    port = remap(packet, !goes_on && now - known->last_seen < IDLE_NANOSECONDS);
    if (port)
        return port;
    if (!goes_on && now - known->last_seen < IDLE_NANOSECONDS)
        return -1;
    set_carrier(known, carrier);
    known->port = inner->sport;
    known->last_seen = now;
    count_event(SFUNNEL_FLOW_MOVED);
    return inner->sport;
}

/*
 * Service side: a packet came as it is. If its flow came funneled before, it was another one with
 * the same ports (a probe from the node that masquerades clients, a client whose sfunnel has
 * gone): replies take the way that the flow took last.
 */
static __noinline void forget_unfunneled(struct packet *packet) {
    const struct sfunnel_reply_key *key = key_of_replies(packet, &packet->flow, false);

    /* Looked up first: a delete takes a lock, and this is every packet that is not ours. */
    if (bpf_map_lookup_elem(&replies, key) && bpf_map_delete_elem(&replies, key) == 0) {
        __sync_fetch_and_add(&entries_forgotten, 1);
        count_event(SFUNNEL_FLOW_DIRECT);
    }
}

/* Service side: the carrier under which this reply has to go, if it is one. */
static __always_inline struct sfunnel_reply *find_reply_to_funnel(struct packet *packet) {
    return bpf_map_lookup_elem(&replies, key_of_reply(packet, &packet->flow, false));
}

/* Client side: does this carrier bring a reply to a flow that we have funneled? */
static __noinline bool is_reply_to_unfunnel(struct packet *packet) {
    struct sfunnel_reply *known =
        bpf_map_lookup_elem(&replies, key_of_reply(packet, &packet->inner.flow, true));

    /* The other carrier port may have moved on since the request (sport a-b every t). */
    return known && known->carrier_transport == packet->flow.transport &&
           known->carrier_sport == packet->flow.sport;
}

#endif
