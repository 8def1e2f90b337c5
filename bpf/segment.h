/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * A carrier in front of a super-packet (GSO) would be repeated by nobody. So what would get or
 * lose one is segmented first: the packet goes through the segmenter, a veth pair of ours whose
 * sending end has all offloads off. There the kernel cuts it up and completes the checksums, and
 * each segment comes back to the hook where the packet was, to be treated like any other.
 *
 * Why a veth pair: it touches no device of the user, works for all of them and both directions,
 * and lets checksums be turned off. A macvlan on the device sends without a backlog, but keeps its
 * checksum offload whatever one asks for, and no packet may leave us as CHECKSUM_PARTIAL; it also
 * takes the device's receive handler, which a bridge may want, and turns devices promiscuous.
 */
#ifndef SFUNNEL_SEGMENT_H
#define SFUNNEL_SEGMENT_H

#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"

/*
 * At the receiving end of the segmenter. It uses no map, so that whoever leaves it behind keeps
 * nothing else alive. What is not ours (the stack's own multicast) has no business there.
 */
static __always_inline int send_back(struct __sk_buff *skb) {
    if (skb->cb[SFUNNEL_SEGMENT_STATE_SLOT] != SFUNNEL_SEGMENT_SENT)
        return TC_ACT_SHOT;
    skb->cb[SFUNNEL_SEGMENT_STATE_SLOT] = SFUNNEL_SEGMENT_RETURNED;
    skb->priority = skb->cb[SFUNNEL_SEGMENT_PRIORITY_SLOT];
    return bpf_redirect(skb->cb[SFUNNEL_SEGMENT_IFINDEX_SLOT],
                        skb->cb[SFUNNEL_SEGMENT_DIRECTION_SLOT] == SFUNNEL_INGRESS ? BPF_F_INGRESS
                                                                                   : 0);
}

#endif
