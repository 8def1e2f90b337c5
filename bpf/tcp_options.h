/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The options of a TCP header (RFC 9293, 3.1). */
#ifndef SFUNNEL_TCP_OPTIONS_H
#define SFUNNEL_TCP_OPTIONS_H

#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "packet.h"
#include "parse.h"

#define LONGEST_TCP_OPTIONS 40
#define TCP_OPTION_END 0
#define TCP_OPTION_NOP 1
#define TCP_OPTION_MSS 2
#define TCP_OPTION_MSS_LENGTH 4
#define TCP_OPTION_MD5 19
#define TCP_OPTION_AO 29
#define TCP_OPTION_FAST_OPEN 34
/* RFC 6994: options for experiments begin with a number; this was fast open's. */
#define TCP_OPTION_EXPERIMENT 253
#define TCP_OPTION_EXPERIMENT_2 254
#define TCP_EXPERIMENT_FAST_OPEN 0xf989
#define TCP_EXPERIMENT_LENGTH 4

static __always_inline bool is_fast_open(struct __sk_buff *skb, int place, int kind, int length) {
    if (kind == TCP_OPTION_FAST_OPEN)
        return true;
    return (kind == TCP_OPTION_EXPERIMENT || kind == TCP_OPTION_EXPERIMENT_2) &&
           length >= TCP_EXPERIMENT_LENGTH &&
           read_word(skb, place + 2) == bpf_htons(TCP_EXPERIMENT_FAST_OPEN);
}

/* One word of a TCP header; the bytes of it that lie in [from, to) become options without meaning.
 */
__noinline int blank_word(struct __sk_buff *skb, __u32 place, __u32 from, __u32 to) {
    const __u16 blank = TCP_OPTION_NOP << 8 | TCP_OPTION_NOP;
    struct packet *packet = packet_under_way();
    __u16 mask = 0, after;
    int before;

    if (!packet)
        return -1;
    /* As they lie there: the low byte is the first. */
    if (place >= from && place < to)
        mask |= 0x00ff;
    if (place + 1 >= from && place + 1 < to)
        mask |= 0xff00;
    if (!mask)
        return 0;
    before = read_word(skb, place);
    if (before < 0)
        return -1;
    after = (before & ~mask) | (blank & mask);
    if (bpf_l4_csum_replace(skb, packet->l4_offset + offsetof(struct tcphdr, check), before, after,
                            sizeof(after)))
        return -1;
    return write_word(skb, place, after, 0);
}

/* An option of the packet's own header turns into ones without meaning; all others stay. */
__noinline int remove_option(struct __sk_buff *skb, __u32 from, __u32 to) {
    struct packet *packet = packet_under_way();
    __u32 place;

    if (!packet)
        return -1;
    /* The checksum is one of words. */
    place = from - ((from - packet->l4_offset) & 1);
#pragma unroll
    for (__u32 word = 0; word <= LONGEST_TCP_OPTIONS / 2; word++)
        if (blank_word(skb, place + 2 * word, from, to))
            return -1;
    return 0;
}

/*
 * One option: takes note of it, and gives the place of the next one, 0 where there is none.
 * Global, so that the verifier looks at it once and not once a round.
 */
__noinline int step_over_option(struct __sk_buff *skb, int place, int end) {
    struct packet *packet = packet_under_way();
    int option, kind, length;

    if (!packet || place <= 0)
        return 0;
    option = place + 2 > end ? -1 : read_word(skb, place);
    /* A last byte by itself can only be one of those that are nothing more. */
    if (option < 0)
        return 0;
    /* As they lie there: kind, length. */
    kind = option & 0xff;
    length = option >> 8;
    if (kind == TCP_OPTION_END)
        return 0;
    if (kind == TCP_OPTION_NOP)
        return place + 1;
    if (length < 2 || place + length > end)
        return 0;
    if (kind == TCP_OPTION_MSS && length == TCP_OPTION_MSS_LENGTH && !packet->options.mss)
        packet->options.mss = place + 2;
    if (kind == TCP_OPTION_MD5 || kind == TCP_OPTION_AO)
        packet->options.is_signed = true;
    if (is_fast_open(skb, place, kind, length)) {
        packet->options.has_fast_open = true;
        if (packet->options.removes_fast_open && remove_option(skb, place, place + length))
            packet->options.is_broken = true;
    }
    return place + length;
}

__noinline int walk_options(struct __sk_buff *skb, __u32 tcp_offset, __u32 packet_end) {
    int place = tcp_offset + sizeof(struct tcphdr), end;
    int length = read_byte(skb, tcp_offset + TCP_OFFSET_BYTE);

    if (length < 0)
        return 0;
    end = tcp_offset + (length >> 4 << 2);
    /* Options that are not all there may be anything. */
    if ((__u32)end > packet_end)
        return 0;
        /* Without CAP_PERFMON the verifier follows a loop beyond its end. */
#pragma unroll
    for (int step = 0; step < LONGEST_TCP_OPTIONS; step++) {
        place = step_over_option(skb, place, end);
        if (place <= 0)
            break;
    }
    return 0;
}

/* Looks through the options of the TCP header that begins at `tcp_offset`. */
static __always_inline void read_options(struct __sk_buff *skb, struct packet *packet,
                                         __u32 tcp_offset, __u32 packet_end) {
    __builtin_memset(&packet->options, 0, sizeof(packet->options));
    walk_options(skb, tcp_offset, packet_end);
}

/* TCP fast open (RFC 7413) is asked for no more; by a header whose options were read. */
static __always_inline int remove_fast_open(struct __sk_buff *skb, struct packet *packet,
                                            __u32 packet_end) {
    packet->options.removes_fast_open = true;
    walk_options(skb, packet->l4_offset, packet_end);
    return packet->options.is_broken ? -1 : 0;
}

#endif
