/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The life of a packet, from top to bottom: parse it, find its rule, do what the rule says,
 * count what became of it. Compiled at build time; all that differs between users lies in maps.
 */
#include <stdbool.h>
#include <stddef.h>

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "maps.h"
#include "packet.h"
#include "parse.h"
#include "cache.h"
#include "classify.h"
#include "checksum.h"
#include "flows.h"
#include "segment.h"
#include "vlan.h"
#include "mtu.h"
#include "encap.h"
#include "report.h"
#include "reset.h"
#include "connections.h"
#include "translate.h"
#include "icmp.h"
#include "funnel.h"
#include "count.h"
#include "finish.h"

/* No rule has matched: the packet may still belong to a flow that another one has funneled. */
static __always_inline int follow(struct __sk_buff *skb, struct cached_flow *cached,
                                  __u32 replies) {
    int outcome = SFUNNEL_NO_MATCH;

    if (replies & SFUNNEL_REPLY_TO_FUNNEL)
        outcome = funnel_reply(skb, cached);
    if (outcome == SFUNNEL_NO_MATCH && replies & (SFUNNEL_REPLY_IN_TCP | SFUNNEL_REPLY_IN_UDP))
        outcome = unfunnel_reply(skb, cached, replies);
    return outcome;
}

/*
 * Both are read, then one is taken: without CAP_PERFMON the verifier takes no pointer that depends
 * on a variable, which is what the compiler would make of an index.
 */
static __always_inline __u32 replies_at(const struct sfunnel_control *in_force, __u32 direction) {
    __u32 ingress = in_force->replies[SFUNNEL_INGRESS];
    __u32 egress = in_force->replies[SFUNNEL_EGRESS];

    barrier_var(ingress);
    barrier_var(egress);
    return direction == SFUNNEL_INGRESS ? ingress : egress;
}

/* The frames of a test run always have an Ethernet header. */
static __always_inline __u32 traits_of(struct __sk_buff *skb, const struct packet *packet,
                                       const struct sfunnel_control *in_force) {
    __u32 *traits;

    if (!in_force->has_special_hooks)
        return 0;
    traits = bpf_map_lookup_elem(&special_hooks, &packet->hook);
    if (!traits)
        return 0;
    return is_test_run(skb) ? *traits & ~SFUNNEL_HOOK_WITHOUT_ETHERNET : *traits;
}

/* Whether CPUs keep what the rules say of a flow; benchmarks of the search say no. */
const volatile bool keeps_answers = true;

/*
 * Asks the rules, and keeps what they say for the packets to come. It returns where something is
 * missing: without CAP_PERFMON the verifier follows a NULL that it knows of as if it were none.
 */
static __noinline void ask_rules(struct packet *packet, const struct sfunnel_control *in_force,
                                 struct cached_flow *cached) {
    /* Read once: other rules come into force at any moment, and these answers are not theirs. */
    __u32 generation = *(const volatile __u32 *)&in_force->generation;
    __u32 list = list_in_force(packet, generation), index;
    struct sfunnel_rule *rule;
    void *rules;

    cached->generation = generation;
    cached->rule_index = 0;
    cached->carrier_every = 0;
    set_stale(cached);
    set_no_connection_known(cached);
    if (packet->traits & SFUNNEL_HOOK_REPLIES_ONLY)
        return;
    rules = look_up(&rulesets, list);
    if (!rules)
        return;
    index = find_rule(packet, list);
    if (index == SFUNNEL_NO_RULE)
        return;
    rule = look_up(rules, index);
    if (!rule)
        return;
    cached->rule_index = index + 1;
    cached->counter = rule->counter;
    cached->kind = rule->kind;
    cached->other_transport = rule->other_transport;
    cached->carrier_dport = rule->carrier_dport;
    cached->flow_id = 0;
    cached->carrier_turn = 0;
    if (rule->carrier_every) {
        cached->carrier_every = rule->carrier_every;
        cached->carrier_turn = turn_of(rule->carrier_every);
        if (rule->other_transport == IPPROTO_TCP)
            cached->flow_id = flow_id_of(flow_hash(&packet->flow));
    }
    cached->carrier_sport = carrier_source_port(rule, &packet->flow, cached->carrier_turn);
}

/* The same of the ports that real connections share with translated ones, under some rules. */
static __always_inline __u32 shared_ports_at(const struct sfunnel_control *in_force,
                                             __u32 generation, __u32 direction) {
    __u32 even_ingress = in_force->shared_ports[0][SFUNNEL_INGRESS];
    __u32 even_egress = in_force->shared_ports[0][SFUNNEL_EGRESS];
    __u32 odd_ingress = in_force->shared_ports[1][SFUNNEL_INGRESS];
    __u32 odd_egress = in_force->shared_ports[1][SFUNNEL_EGRESS];
    bool is_odd = generation % SFUNNEL_SLOTS;

    barrier_var(even_ingress);
    barrier_var(even_egress);
    barrier_var(odd_ingress);
    barrier_var(odd_egress);
    if (direction == SFUNNEL_INGRESS)
        return is_odd ? odd_ingress : even_ingress;
    return is_odd ? odd_egress : even_egress;
}

static __always_inline int judge(struct __sk_buff *skb, struct packet *packet,
                                 const struct sfunnel_control *in_force) {
    struct cached_flow *cached = cached_flow_of(packet, &packet->flow, CACHED_PACKET);
    __u32 replies;

    if (!cached)
        return SFUNNEL_FAILED;
    if (cached->generation != in_force->generation || has_moved_on(cached) || !keeps_answers)
        ask_rules(packet, in_force, cached);
    replies = replies_at(in_force, packet->direction);
    if (cached->rule_index) {
        packet->rule_index = cached->rule_index;
        count_rule(cached->counter, packet->frame_length);
        if (cached->kind == SFUNNEL_DROP)
            return SFUNNEL_DROPPED;
    }
    if (replies & SFUNNEL_REPLY_TRANSLATED) {
        __u32 shared_ports = shared_ports_at(in_force, cached->generation, packet->direction);
        int outcome = translate(skb, shared_ports);

        if (outcome != GO_ON)
            return outcome;
    }
    if (!cached->rule_index)
        return follow(skb, cached, replies);

    switch (cached->kind) {
    case SFUNNEL_FUNNEL_ENCAP:
        return funnel(skb, cached);
    case SFUNNEL_UNFUNNEL_DECAP:
        return unfunnel(skb, cached);
    case SFUNNEL_FUNNEL_TRANSLATE:
        return SFUNNEL_TRANSLATE_INBOUND;
    case SFUNNEL_UNFUNNEL_TRANSLATE:
        return SFUNNEL_NOT_CARRIER;
    default:
        return SFUNNEL_ACCEPTED;
    }
}

static __always_inline bool is_untouched(int outcome) {
    switch (outcome) {
    case SFUNNEL_NO_MATCH:
    case SFUNNEL_NOT_CARRIER:
    case SFUNNEL_ACCEPTED:
    case SFUNNEL_TRANSLATE_INBOUND:
    case SFUNNEL_TRANSLATE_SIGNED:
        return true;
    default:
        return false;
    }
}

static __always_inline int live(struct __sk_buff *skb, struct packet *packet) {
    struct sfunnel_control *in_force;
    int outcome;

    in_force = look_up(&control, 0);
    if (!in_force)
        return SFUNNEL_FAILED;
    /* A sender's own copy of a multicast: it has no Ethernet header, and he wants it as it is. */
    if (skb->pkt_type == PACKET_LOOPBACK)
        return SFUNNEL_NO_MATCH;
    packet->traits = traits_of(skb, packet, in_force);
    packet->network_offset = packet->traits & SFUNNEL_HOOK_WITHOUT_ETHERNET ? 0 : ETH_HLEN;
    outcome = lift_tag(skb, &packet->tag);
    if (outcome == GO_ON)
        outcome = parse(skb, packet);
    if (outcome != GO_ON)
        return outcome;

    if (is_icmp(packet))
        return translate_error(skb, packet->direction, packet->network_offset);
    outcome = judge(skb, packet, in_force);
    if (!is_untouched(outcome))
        return outcome;
    if (packet->is_adoptable)
        adopt();
    if (replies_at(in_force, opposite(packet->direction)) & SFUNNEL_REPLY_TO_FUNNEL)
        forget_unfunneled(packet);
    return outcome;
}

static __always_inline int handle(struct __sk_buff *skb, enum sfunnel_direction direction) {
    struct packet *packet = new_packet();
    int outcome;

    if (!packet)
        return TC_ACT_UNSPEC;
    packet->ifindex = skb->ifindex;
    packet->direction = direction;
    packet->gso_size = skb->gso_size;
    packet->frame_length = skb->len;
    packet->is_returned = take_back(skb);
    outcome = live(skb, packet);
    if (packet->tag.protocol && put_tag_back(skb, &packet->tag))
        outcome = SFUNNEL_FAILED;
    return finish(skb, packet, outcome);
}

SEC("tc")
int sfunnel_ingress(struct __sk_buff *skb) {
    return handle(skb, SFUNNEL_INGRESS);
}

SEC("tc")
int sfunnel_egress(struct __sk_buff *skb) {
    return handle(skb, SFUNNEL_EGRESS);
}

SEC("tc")
int sfunnel_return(struct __sk_buff *skb) {
    return send_back(skb);
}

/* The kernel lends its GPL-only helpers to "Dual BSD/GPL". */
char LICENSE[] SEC("license") = "Dual BSD/GPL";
