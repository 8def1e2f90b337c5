/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* A packet's end: counted, told to whoever runs a test, and judged. */
#ifndef SFUNNEL_FINISH_H
#define SFUNNEL_FINISH_H

#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "count.h"
#include "maps.h"
#include "parse.h"
#include "segment.h"
#include "trace.h"

/*
 * TC_ACT_UNSPEC (TCX_NEXT) and not TC_ACT_OK: what others have attached behind us runs too.
 */
static __always_inline int verdict_of(const struct packet *packet, enum sfunnel_outcome outcome) {
    if (packet->is_answered)
        return TC_ACT_REDIRECT;
    switch (outcome) {
    case SFUNNEL_DROPPED:
    case SFUNNEL_NOT_ALLOWED:
    case SFUNNEL_NO_FREE_PORT:
    case SFUNNEL_TOO_BIG:
    case SFUNNEL_NO_SEGMENTER:
    case SFUNNEL_TRANSLATE_NOT_ALLOWED:
    case SFUNNEL_TRANSLATE_LOST:
    case SFUNNEL_FAILED:
        return TC_ACT_SHOT;
    case SFUNNEL_SEGMENTED:
    case SFUNNEL_TOO_BIG_REPORTED:
        return TC_ACT_REDIRECT;
    default:
        return TC_ACT_UNSPEC;
    }
}

static __always_inline int finish(struct __sk_buff *skb, struct packet *packet,
                                  enum sfunnel_outcome outcome) {
    count_outcome(packet->direction * SFUNNEL_OUTCOMES + outcome, packet->frame_length);
    if (is_test_run(skb)) {
        skb->cb[SFUNNEL_TRACE_OUTCOME_SLOT] = outcome;
        skb->cb[SFUNNEL_TRACE_RULE_SLOT] = packet->rule_index;
    }
    trace(packet, outcome);
    return verdict_of(packet, outcome);
}

#endif
