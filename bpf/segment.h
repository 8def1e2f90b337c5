/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * A carrier in front of a super-packet (GSO) would be repeated by nobody. So what would get or
 * lose one is segmented first: it goes through the segmenter, a veth pair of ours whose sending
 * end has all offloads off. There the kernel cuts it up and completes the checksums, and each
 * segment comes back to the hook where the packet was, to be treated like any other.
 *
 * Why a veth pair: it touches no device of the user, works for all of them and both directions,
 * and lets checksums be turned off. A macvlan on the device sends without a backlog, but keeps
 * its checksum offload whatever one asks for, while no packet may leave us as CHECKSUM_PARTIAL
 * (checksum.h); it also takes the device's receive handler, which a bridge may want, and turns
 * many a device promiscuous.
 */
#ifndef SFUNNEL_SEGMENT_H
#define SFUNNEL_SEGMENT_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "cache.h"
#include "count.h"
#include "loop.h"
#include "parse.h"

/* A test run hands skb->cb in and out, and sends nothing anywhere. */
static __always_inline bool is_test_run(const struct __sk_buff *skb) {
    return skb->cb[SFUNNEL_TRACE_MAGIC_SLOT_0] == SFUNNEL_TRACE_MAGIC_0 &&
           skb->cb[SFUNNEL_TRACE_MAGIC_SLOT_1] == SFUNNEL_TRACE_MAGIC_1;
}

/*
 * Takes note of a segment that has come back. A packet loses its priority where it enters the
 * ingress side of a device.
 */
static __always_inline bool take_back(struct __sk_buff *skb) {
    if (skb->cb[SFUNNEL_SEGMENT_STATE_SLOT] != SFUNNEL_SEGMENT_RETURNED)
        return false;
    skb->cb[SFUNNEL_SEGMENT_STATE_SLOT] = 0;
    skb->priority = skb->cb[SFUNNEL_SEGMENT_PRIORITY_SLOT];
    return true;
}

/*
 * A small packet follows the super-packets of its flow, or it would overtake segments that still
 * wait in the backlog.
 */
static __always_inline bool needs_segmenter(const struct packet *packet,
                                            const struct cached_flow *cached) {
    if (packet->gso_size)
        return true;
    return !packet->is_returned && !is_over(cached->segmented_until, jiffies_now());
}

/* A device that is missing would swallow the packet; only bpf_check_mtu (5.12) tells. */
static __always_inline bool has_segmenter(struct __sk_buff *skb) {
    __u32 mtu = 0;

    return !HAS_LOOP_HELPER || bpf_check_mtu(skb, SFUNNEL_SEGMENTER_IFINDEX, &mtu, 0, 0) >= 0;
}

/*
 * A device of layer 3 has no use for an Ethernet header, but the segmenter does; the kernel takes
 * it off again on the way back. Its addresses are zeros: nobody looks at them.
 */
static __always_inline int add_ethernet_header(struct __sk_buff *skb) {
    if (bpf_skb_change_head(skb, ETH_HLEN, 0))
        return -1;
    return write_word(skb, offsetof(struct ethhdr, h_proto), skb->protocol, 0);
}

/* GO_ON for a small packet that has nobody to follow. */
VERIFIED_ONCE int send_to_segmenter(struct __sk_buff *skb, struct packet *packet,
                                    struct cached_flow *cached) {
    if (IS_MISSING(packet) || IS_MISSING(cached))
        return SFUNNEL_FAILED;
    /* One that comes back unsegmented would go round for ever. */
    if (packet->is_returned)
        return SFUNNEL_NO_SEGMENTER;
    if (!has_segmenter(skb)) {
        cached->segmented_until = jiffies_now();
        return packet->gso_size ? SFUNNEL_NO_SEGMENTER : GO_ON;
    }
    if (packet->gso_size)
        cached->segmented_until = jiffies_now() + FOLLOW_JIFFIES;
    if (!is_test_run(skb)) {
        skb->cb[SFUNNEL_SEGMENT_STATE_SLOT] = SFUNNEL_SEGMENT_SENT;
        skb->cb[SFUNNEL_SEGMENT_PRIORITY_SLOT] = skb->priority;
        skb->cb[SFUNNEL_SEGMENT_IFINDEX_SLOT] = skb->ifindex;
        skb->cb[SFUNNEL_SEGMENT_DIRECTION_SLOT] = packet->direction;
    }
    if (packet->traits & SFUNNEL_HOOK_WITHOUT_ETHERNET && add_ethernet_header(skb))
        return SFUNNEL_FAILED;
    bpf_redirect(SFUNNEL_SEGMENTER_IFINDEX, 0);
    return SFUNNEL_SEGMENTED;
}

/*
 * At the receiving end of the segmenter. It uses no map but this small one, so that whoever leaves
 * it behind keeps little else alive. What others send through our devices has no business there.
 */
static __always_inline int send_back(struct __sk_buff *skb) {
    if (skb->cb[SFUNNEL_SEGMENT_STATE_SLOT] != SFUNNEL_SEGMENT_SENT) {
        count_stray(skb->len);
        return TC_ACT_SHOT;
    }
    skb->cb[SFUNNEL_SEGMENT_STATE_SLOT] = SFUNNEL_SEGMENT_RETURNED;
    /* To the receiving end it was for another host; lo, and devices without Ethernet header, do not
       ask its address again. */
    bpf_skb_change_type(skb, PACKET_HOST);
    return bpf_redirect(skb->cb[SFUNNEL_SEGMENT_IFINDEX_SLOT],
                        skb->cb[SFUNNEL_SEGMENT_DIRECTION_SLOT] == SFUNNEL_INGRESS ? BPF_F_INGRESS
                                                                                   : 0);
}

#endif
