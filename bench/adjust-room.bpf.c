/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What pushing and popping cannot be cheaper than: a program that makes room in a frame and takes
 * it away again, in turn, and does nothing else; and one that does nothing. The names are those
 * that the addon loads.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

/* A TCP carrier. */
#define ROOM 20

/* Length of the frame without the room. */
const volatile __u32 frame_length = 0;

/* Makes room, or takes it away where it is. */
SEC("tc")
int sfunnel_ingress(struct __sk_buff *skb) {
    __s32 difference = skb->len > frame_length ? -ROOM : ROOM;

    if (bpf_skb_adjust_room(skb, difference, BPF_ADJ_ROOM_NET, 0))
        return TC_ACT_SHOT;
    return TC_ACT_UNSPEC;
}

/* Nothing. */
SEC("tc")
int sfunnel_egress(struct __sk_buff *skb __attribute__((unused))) {
    return TC_ACT_UNSPEC;
}

char _license[] SEC("license") = "Dual BSD/GPL";
