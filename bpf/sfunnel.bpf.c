/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The life of a packet, from top to bottom: parse it, find its rule, do what the rule says,
 * count what became of it. Compiled once; all that differs between users lies in maps.
 */
#include <stdbool.h>
#include <stddef.h>

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "maps.h"
#include "parse.h"
#include "classify.h"
#include "checksum.h"
#include "encap.h"
#include "counters.h"

static __always_inline enum sfunnel_outcome live(struct packet *packet) {
    enum sfunnel_outcome outcome = parse(packet);
    struct sfunnel_rule *rule;
    __u32 index = 0;

    if (outcome != GO_ON)
        return outcome;

    rule = classify(&packet->flow, packet->direction, &index);
    if (!rule)
        return SFUNNEL_NO_MATCH;
    packet->rule_index = index + 1;
    count(&rule_counters, rule->counter, packet->frame_length);

    switch (rule->kind) {
    case SFUNNEL_FUNNEL_ENCAP:
        return push_carrier(packet, rule);
    case SFUNNEL_UNFUNNEL_DECAP:
        return pop_carrier(packet, rule);
    case SFUNNEL_DROP:
        return SFUNNEL_DROPPED;
    default:
        return SFUNNEL_ACCEPTED;
    }
}

static __always_inline int handle(struct __sk_buff *skb, enum sfunnel_direction direction) {
    struct packet packet = {.skb = skb, .direction = direction, .frame_length = skb->len};

    return finish(&packet, live(&packet));
}

SEC("tc")
int sfunnel_ingress(struct __sk_buff *skb) {
    return handle(skb, SFUNNEL_INGRESS);
}

SEC("tc")
int sfunnel_egress(struct __sk_buff *skb) {
    return handle(skb, SFUNNEL_EGRESS);
}

/* The kernel lends its GPL-only helpers to "Dual BSD/GPL". */
char LICENSE[] SEC("license") = "Dual BSD/GPL";
