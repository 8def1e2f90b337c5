/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What becomes of the packets of a rule, and of the replies to them. */
#ifndef SFUNNEL_FUNNEL_H
#define SFUNNEL_FUNNEL_H

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "cache.h"
#include "classify.h"
#include "encap.h"
#include "flows.h"
#include "hash.h"
#include "mtu.h"
#include "parse.h"
#include "report.h"
#include "segment.h"

#define NANOSECONDS 1000000000ULL

/* How often so many seconds have gone by since boot. */
static __always_inline __u32 turn_of(__u32 every) {
    return coarse_clock() / NANOSECONDS / every;
}

/* Is it time for another carrier? */
static __always_inline bool has_moved_on(const struct cached_flow *cached) {
    return cached->carrier_every && cached->carrier_turn != turn_of(cached->carrier_every);
}

/* Ports that belong together are told apart from others by this: 1 to 65535. */
static __always_inline __u16 flow_id_of(__u32 hash) {
    __u16 id = hash;

    return id ? id : 1;
}

/*
 * Ports that move are the same for all flows: one behind another of its client would meet, turn
 * after turn, what conntrack still knows of the other, a dead backend for instance.
 */
static __always_inline __u16 carrier_source_port(const struct sfunnel_rule *rule,
                                                 const struct sfunnel_flow *flow, __u32 turn) {
    __u64 span;

    switch (rule->carrier_sport_kind) {
    case SFUNNEL_SPORT_KEEP:
        return flow->sport;
    case SFUNNEL_SPORT_HASH:
        span = (__u32)rule->carrier_sport_last - rule->carrier_sport_first + 1;
        return rule->carrier_sport_first +
               (rule->carrier_every ? turn % span : span * flow_hash(flow) >> 32);
    default:
        return rule->carrier_sport_first;
    }
}

/* Reads the checksum again after something else was changed in the packet. */
static __noinline int read_checksum_again(struct __sk_buff *skb, struct packet *packet) {
    return read_header(skb, packet->l4_offset + checksum_place(packet->flow.transport),
                       &packet->l4_checksum, sizeof(packet->l4_checksum));
}

/* A packet is about to get a carrier: GO_ON if nothing is in the way. */
static __always_inline int make_way(struct __sk_buff *skb, struct packet *packet,
                                    struct cached_flow *cached, __u32 size) {
    if (!is_fresh(cached))
        cached->mtu = way_mtu(skb, packet);
    if (exceeds_mtu(skb, packet, cached->mtu, size))
        return report_too_big(skb, cached->mtu - size);
    if (!packet->gso_size && packet->ip_length + size > SFUNNEL_LARGEST_PACKET)
        return SFUNNEL_TOO_BIG;
    if (needs_segmenter(packet, cached)) {
        int outcome = send_to_segmenter(skb, packet, cached);

        if (outcome != GO_ON)
            return outcome;
    }
    if (packet->flow.transport == IPPROTO_TCP && packet->tcp_flags & TCP_FLAG_SYN &&
        (clamp_mss(skb, packet->l4_offset, end_of(packet), mss_limit(packet, cached->mtu, size)) ||
         read_checksum_again(skb, packet)))
        return SFUNNEL_FAILED;
    return GO_ON;
}

/* A funnel rule has matched. */
VERIFIED_ONCE int funnel(struct __sk_buff *skb, struct cached_flow *cached) {
    struct packet *packet = packet_under_way();
    struct carrier *carrier;
    int outcome;

    if (!packet || IS_MISSING(cached))
        return SFUNNEL_FAILED;
    carrier = &packet->carrier;
    carrier->sport = cached->carrier_sport;
    carrier->dport = cached->carrier_dport;
    carrier->flow_id = cached->flow_id;
    carrier->transport = cached->other_transport;
    outcome = make_way(skb, packet, cached, carrier_size(carrier->transport));
    if (outcome == GO_ON)
        outcome = push_carrier(skb, packet);
    if (outcome != GO_ON)
        return outcome;
    if (!is_fresh(cached)) {
        remember_funneled(packet);
        set_fresh(cached);
    }
    return SFUNNEL_FUNNELED;
}

/*
 * The carrier is off as soon as the pod may see the flow: what is allowed, and under which port.
 * The answer is kept beside the carrier that it was given for.
 */
VERIFIED_ONCE int admit(struct cached_flow *cached, __u32 generation) {
    struct packet *packet = packet_under_way();
    const struct inner *inner;
    struct carrier *carrier;
    struct sfunnel_rule *rule;
    void *rules;
    bool begins;
    int port;

    if (!packet || IS_MISSING(cached))
        return SFUNNEL_FAILED;
    inner = &packet->inner;
    carrier = &packet->carrier;
    carrier->sport = packet->flow.sport;
    carrier->dport = packet->flow.dport;
    carrier->flow_id =
        packet->flow.transport == IPPROTO_TCP ? bpf_ntohs(packet->start.tcp.urgent) : 0;
    carrier->transport = packet->flow.transport;
    begins = inner->flow.transport == IPPROTO_TCP &&
             (inner->start.tcp.flags & (TCP_FLAG_SYN | TCP_FLAG_ACK)) == TCP_FLAG_SYN;
    rules = look_up(&rulesets, list_in_force(packet, generation));
    if (!rules)
        return SFUNNEL_FAILED;
    rule = look_up(rules, packet->rule_index - 1);
    if (!rule)
        return SFUNNEL_FAILED;
    if (!rule_allows(rule, inner->flow.dport))
        return SFUNNEL_NOT_ALLOWED;
    port = remember_unfunneled(begins);
    if (port < 0)
        return SFUNNEL_NO_FREE_PORT;
    cached->generation = generation;
    cached->carrier_sport = carrier->sport;
    cached->carrier_dport = carrier->dport;
    cached->other_transport = carrier->transport;
    cached->rule_index = packet->rule_index;
    cached->port = port;
    set_fresh(cached);
    return GO_ON;
}

/* Is this the answer for this carrier, this rule, and a flow that goes on? */
static __always_inline bool is_admitted(const struct packet *packet,
                                        const struct cached_flow *cached, __u32 generation) {
    const struct inner *inner = &packet->inner;

    return cached->generation == generation && cached->rule_index == packet->rule_index &&
           cached->carrier_sport == packet->flow.sport &&
           cached->carrier_dport == packet->flow.dport &&
           cached->other_transport == packet->flow.transport && is_fresh(cached) &&
           !(inner->flow.transport == IPPROTO_TCP && inner->start.tcp.flags & TCP_FLAG_SYN);
}

/* Lowers the MSS in a SYN under a carrier; the inner checksum is then another one. */
static __always_inline int clamp_inner_mss(struct __sk_buff *skb, struct packet *packet) {
    struct inner *inner = &packet->inner;
    __u32 size = carrier_size(packet->flow.transport), offset = packet->l4_offset + size;

    if (inner->flow.transport != IPPROTO_TCP || !(inner->start.tcp.flags & TCP_FLAG_SYN))
        return 0;
    if (clamp_mss(skb, offset, end_of(packet), mss_limit(packet, way_mtu(skb, packet), size)))
        return -1;
    return read_header(skb, offset, &inner->start, sizeof(inner->start));
}

/* Shows the pod another client port than the client has. */
static __always_inline int show_port(struct __sk_buff *skb, struct packet *packet, __u16 port) {
    struct inner *inner = &packet->inner;
    __u32 offset = packet->l4_offset + carrier_size(packet->flow.transport);

    if (port == inner->flow.sport)
        return 0;
    if (rewrite_port(skb, offset, inner->flow.transport, PORT_SOURCE,
                     (__u32)inner->flow.sport << 16 | port))
        return -1;
    if (inner->flow.transport == IPPROTO_TCP)
        return read_header(skb, offset, &inner->start, sizeof(inner->start));
    return read_header(skb, offset, &inner->start, UDP_START);
}

/* An unfunnel rule has matched the carrier, if it is one. */
VERIFIED_ONCE int unfunnel(struct __sk_buff *skb, struct cached_flow *cached) {
    struct packet *packet = packet_under_way();
    struct cached_flow *known;
    __u32 generation;
    int outcome;

    if (!packet || IS_MISSING(cached))
        return SFUNNEL_FAILED;
    generation = cached->generation;
    if (packet->flow.transport == IPPROTO_TCP && !is_tcp_carrier(skb, packet))
        return SFUNNEL_NOT_CARRIER;
    outcome = find_inner(skb, packet, cached->other_transport);
    if (outcome != GO_ON)
        return outcome;
    if (needs_segmenter(packet, cached)) {
        outcome = send_to_segmenter(skb, packet, cached);
        if (outcome != GO_ON)
            return outcome;
    }

    known = cached_flow_of(packet, &packet->inner.flow, CACHED_INNER);
    if (!known)
        return SFUNNEL_FAILED;
    if (!is_admitted(packet, known, generation)) {
        outcome = admit(known, generation);
        if (outcome != GO_ON)
            return outcome;
    }
    if (show_port(skb, packet, known->port) || clamp_inner_mss(skb, packet))
        return SFUNNEL_FAILED;
    outcome = pop_carrier(skb, packet);
    return outcome == GO_ON ? SFUNNEL_UNFUNNELED : outcome;
}

/* No rule has matched, but this may be the answer to a flow that came funneled. */
VERIFIED_ONCE int funnel_reply(struct __sk_buff *skb, struct cached_flow *cached) {
    struct packet *packet = packet_under_way();
    struct carrier *carrier;
    struct sfunnel_reply *reply;
    int outcome;
    __u16 port;

    if (!packet || IS_MISSING(cached))
        return SFUNNEL_FAILED;
    reply = find_reply_to_funnel(packet);
    if (!reply)
        return SFUNNEL_NO_MATCH;
    carrier = &packet->carrier;
    carrier->sport = reply->carrier_sport;
    carrier->dport = reply->carrier_dport;
    carrier->flow_id = 0;
    carrier->transport = reply->carrier_transport;
    port = reply->port;
    outcome = make_way(skb, packet, cached, carrier_size(carrier->transport));
    if (outcome != GO_ON)
        return outcome;
    if (port != packet->flow.dport &&
        (rewrite_port(skb, packet->l4_offset, packet->flow.transport, PORT_DESTINATION,
                      (__u32)packet->flow.dport << 16 | port) ||
         read_checksum_again(skb, packet)))
        return SFUNNEL_FAILED;
    outcome = push_carrier(skb, packet);
    if (outcome != GO_ON)
        return outcome;
    if (!is_fresh(cached))
        set_fresh(cached);
    return SFUNNEL_REPLY_FUNNELED;
}

/* Nor this; but it may bring the answer to a flow that left funneled. */
VERIFIED_ONCE int unfunnel_reply(struct __sk_buff *skb, struct cached_flow *cached, __u32 replies) {
    struct packet *packet = packet_under_way();
    int outcome;

    if (!packet || IS_MISSING(cached))
        return SFUNNEL_FAILED;
    if (packet->flow.transport == IPPROTO_TCP) {
        if (!(replies & SFUNNEL_REPLY_IN_TCP) || !is_tcp_carrier(skb, packet))
            return SFUNNEL_NO_MATCH;
    } else if (!(replies & SFUNNEL_REPLY_IN_UDP)) {
        return SFUNNEL_NO_MATCH;
    }

    /* The carrier does not tell what it carries; the length of UDP seldom fits by chance. */
    if (find_inner(skb, packet, IPPROTO_UDP) != GO_ON || !is_reply_to_unfunnel(packet)) {
        if (find_inner(skb, packet, IPPROTO_TCP) != GO_ON || !is_reply_to_unfunnel(packet))
            return SFUNNEL_NO_MATCH;
    }
    if (needs_segmenter(packet, cached)) {
        outcome = send_to_segmenter(skb, packet, cached);
        if (outcome != GO_ON)
            return outcome;
    }
    if (clamp_inner_mss(skb, packet))
        return SFUNNEL_FAILED;
    outcome = pop_carrier(skb, packet);
    return outcome == GO_ON ? SFUNNEL_REPLY_UNFUNNELED : outcome;
}

#endif
