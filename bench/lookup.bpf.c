/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The program as it is, about many flows: as packets, and its search alone. The names are those
 * that the addon loads.
 */
#define sfunnel_ingress ingress_as_it_is
#define sfunnel_egress egress_as_it_is
#include "../bpf/sfunnel.bpf.c"
#undef sfunnel_ingress
#undef sfunnel_egress

#include "flows.h"

/* Whether the rules are asked; if not, it takes what all around that takes. */
const volatile bool asks = true;

/* A packet of the next flow. */
SEC("tc")
int sfunnel_egress(struct __sk_buff *skb) {
    struct walk *walk = walk_under_way();
    struct packet *packet;
    int verdict;

    if (!walk || write_next_flow(skb, walk))
        return TC_ACT_SHOT;
    if (!asks)
        return TC_ACT_UNSPEC;
    verdict = handle(skb, SFUNNEL_EGRESS);
    packet = packet_under_way();
    if (packet)
        note_answer(walk, packet->rule_index);
    return verdict;
}

static long search_next(__u32 number, struct walk **place) {
    struct walk *walk = *place;
    struct packet *packet = packet_under_way();
    struct sfunnel_control *in_force = look_up(&control, 0);
    struct cached_flow *answer = look_up(&cached_flows, 0);
    const struct sfunnel_flow *flow = next_flow(walk);

    (void)number;
    if (!packet || !in_force || !answer || !flow)
        return 1;
    packet->flow = *flow;
    if (asks)
        ask_rules(packet, in_force, answer);
    note_answer(walk, answer->rule_index);
    return 0;
}

/* The rules are asked about the next flows, and nothing else is done. */
SEC("tc")
int sfunnel_ingress(struct __sk_buff *skb __attribute__((unused))) {
    struct packet *packet = packet_under_way();
    struct walk *walk = walk_under_way();

    if (!packet || !walk)
        return TC_ACT_SHOT;
    packet->direction = SFUNNEL_EGRESS;
    packet->traits = 0;
    bpf_loop(flows_of_run, search_next, &walk, 0);
    return TC_ACT_UNSPEC;
}
