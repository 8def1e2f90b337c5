/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * DEBUG: a line for each packet in the kernel's trace buffer (trace_pipe of tracefs).
 *
 * Compiled into objects of its own: bpf_trace_printk takes CAP_PERFMON, and without that
 * capability the verifier looks at dead code as well.
 */
#ifndef SFUNNEL_TRACE_H
#define SFUNNEL_TRACE_H

#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "loop.h"
#include "parse.h"

#ifdef SFUNNEL_TRACE

#define LONGEST_OUTCOME 24

/* One row an outcome, so that its name is found without a pointer. */
static const char outcome_names[SFUNNEL_OUTCOMES][LONGEST_OUTCOME] = {
    [SFUNNEL_NO_MATCH] = "no_match",
    [SFUNNEL_FUNNELED] = "funneled",
    [SFUNNEL_UNFUNNELED] = "unfunneled",
    [SFUNNEL_ACCEPTED] = "accepted",
    [SFUNNEL_DROPPED] = "dropped",
    [SFUNNEL_REPLY_FUNNELED] = "reply_funneled",
    [SFUNNEL_REPLY_UNFUNNELED] = "reply_unfunneled",
    [SFUNNEL_NOT_IP] = "not_ip",
    [SFUNNEL_NOT_TCP_UDP] = "not_tcp_udp",
    [SFUNNEL_EXTENSION_HEADER] = "extension_header",
    [SFUNNEL_FRAGMENT] = "fragment",
    [SFUNNEL_MALFORMED] = "malformed",
    [SFUNNEL_NOT_CARRIER] = "not_carrier",
    [SFUNNEL_NOT_ALLOWED] = "not_allowed",
    [SFUNNEL_NO_FREE_PORT] = "no_free_port",
    [SFUNNEL_SEGMENTED] = "segmented",
    [SFUNNEL_NO_SEGMENTER] = "no_segmenter",
    [SFUNNEL_TOO_BIG] = "too_big",
    [SFUNNEL_TOO_BIG_REPORTED] = "too_big_reported",
    [SFUNNEL_ERROR_UNFUNNELED] = "error_unfunneled",
    [SFUNNEL_ERROR_FUNNELED] = "error_funneled",
    [SFUNNEL_QUOTE_TOO_SHORT] = "quote_too_short",
    [SFUNNEL_DIRECT_REMAPPED] = "direct_remapped",
    [SFUNNEL_TRANSLATE_INBOUND] = "translate_inbound",
    [SFUNNEL_TRANSLATE_SIGNED] = "translate_signed",
    [SFUNNEL_TRANSLATE_UNCONFIRMED] = "translate_unconfirmed",
    [SFUNNEL_TRANSLATE_CHALLENGED] = "translate_challenged",
    [SFUNNEL_TRANSLATE_NOT_ALLOWED] = "translate_not_allowed",
    [SFUNNEL_TRANSLATE_LOST] = "translate_lost",
    [SFUNNEL_FAILED] = "failed",
};

/* In two halves: a line takes three numbers. */
#define trace_address(word, address)                                                               \
    bpf_printk("sfunnel:   " word " %llx %llx",                                                    \
               (__u64)bpf_ntohl((address)[0]) << 32 | bpf_ntohl((address)[1]),                     \
               (__u64)bpf_ntohl((address)[2]) << 32 | bpf_ntohl((address)[3]))

/* The flow is that of the packet as it came; rules are numbered from 1, 0 is none. */
static __noinline void trace(const struct packet *packet, __u32 outcome) {
    const struct sfunnel_flow *flow = &packet->flow;
    const char *name = outcome_names[outcome < SFUNNEL_OUTCOMES ? outcome : SFUNNEL_FAILED];

    /* Kernels before 5.13 take one %s in a line, and no width. */
    if (packet->direction == SFUNNEL_INGRESS)
        bpf_printk("sfunnel: ingress %s rule %u", name, packet->rule_index);
    else
        bpf_printk("sfunnel: egress %s rule %u", name, packet->rule_index);
    if (!flow->transport)
        return;
    if (flow->family == SFUNNEL_IPV6) {
        trace_address("from", flow->saddr);
        trace_address("to", flow->daddr);
        bpf_printk("sfunnel:   ports %x", (__u32)flow->sport << 16 | flow->dport);
        return;
    }
    bpf_printk("sfunnel:   from %x to %x ports %x", bpf_ntohl(flow->saddr[3]),
               bpf_ntohl(flow->daddr[3]), (__u32)flow->sport << 16 | flow->dport);
}

#else

static __always_inline void trace(const struct packet *packet __attribute__((unused)),
                                  __u32 outcome __attribute__((unused))) {}

#endif

#endif
