/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * VLAN tags. One that lies beside the frame (hardware-accelerated, as nearly all do) needs nothing
 * from us. But of a packet whose tag lies in the frame (QinQ, a raw socket) the kernel gives no
 * room away: bpf_skb_adjust_room wants a packet whose protocol is IP. So the outermost tag is
 * lifted out for the time we work on the packet; one inside it then lies beside the frame.
 */
#ifndef SFUNNEL_VLAN_H
#define SFUNNEL_VLAN_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "parse.h"
#include "segment.h"

/* A tag as it lies in the frame, behind the Ethernet type that announces it. */
struct tag_in_frame {
    __u16 tci;
    __u16 protocol; /* of what it is about */
};

/* Both Ethernet addresses, and a tag with its Ethernet type. */
struct tagged_start {
    __u8 addresses[2 * ETH_ALEN];
    __u16 protocol;
    __u16 tci;
};

static __always_inline bool is_vlan(__u16 protocol) {
    return protocol == bpf_htons(ETH_P_8021Q) || protocol == bpf_htons(ETH_P_8021AD);
}

static __always_inline bool is_ip_protocol(__u16 protocol) {
    return protocol == bpf_htons(ETH_P_IP) || protocol == bpf_htons(ETH_P_IPV6);
}

/* More than two tags are beyond us. */
static __noinline int lift_outermost(struct __sk_buff *skb, struct lifted_tag *lifted) {
    struct tag_in_frame tag;

    if (read_header(skb, ETH_HLEN, &tag, sizeof(tag)))
        return SFUNNEL_MALFORMED;
    if (skb->vlan_present) {
        lifted->protocol = skb->vlan_proto;
        lifted->tci = skb->vlan_tci;
    } else {
        lifted->protocol = skb->protocol;
        lifted->tci = bpf_ntohs(tag.tci);
        if (is_vlan(tag.protocol) && read_header(skb, ETH_HLEN + sizeof(tag), &tag, sizeof(tag))) {
            lifted->protocol = 0;
            return SFUNNEL_MALFORMED;
        }
    }
    if (!is_ip_protocol(tag.protocol)) {
        lifted->protocol = 0;
        return SFUNNEL_NOT_IP;
    }
    return bpf_skb_vlan_pop(skb) ? SFUNNEL_FAILED : GO_ON;
}

/* GO_ON if no tag lies in the frame any more. */
static __always_inline int lift_tag(struct __sk_buff *skb, struct lifted_tag *lifted) {
    return is_vlan(skb->protocol) ? lift_outermost(skb, lifted) : GO_ON;
}

/* A test run shows the frame alone, so a tag beside it goes back into it. */
static __always_inline int show_tag(struct __sk_buff *skb, const struct lifted_tag *lifted) {
    struct tagged_start start;

    if (bpf_skb_change_head(skb, sizeof(struct tag_in_frame), 0) ||
        read_header(skb, sizeof(struct tag_in_frame), start.addresses, sizeof(start.addresses)))
        return -1;
    start.protocol = lifted->protocol;
    start.tci = bpf_htons(lifted->tci);
    return bpf_skb_store_bytes(skb, 0, &start, sizeof(start), 0);
}

static __noinline int put_tag_back(struct __sk_buff *skb, const struct lifted_tag *lifted) {
    if (bpf_skb_vlan_push(skb, lifted->protocol, lifted->tci))
        return -1;
    return is_test_run(skb) ? show_tag(skb, lifted) : 0;
}

#endif
