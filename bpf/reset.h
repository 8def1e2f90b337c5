/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * A segment that cannot go on is answered by a reset (RFC 9293, 3.10.7.1), so that its sender does
 * not wait for what never comes. The packet itself becomes the answer.
 */
#ifndef SFUNNEL_RESET_H
#define SFUNNEL_RESET_H

#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "checksum.h"
#include "packet.h"
#include "parse.h"
#include "report.h"

#define RESET_OFFSET 0x50 /* 5 words, in the upper half of its byte */

struct own_reset {
    struct iphdr ip;
    struct tcphdr tcp;
};

struct own_reset_ipv6 {
    struct ipv6hdr ip;
    struct tcphdr tcp;
};

/* As far as there are such bytes; of less than a header nobody can mean it. */
static __always_inline __u32 tcp_header_length(const struct packet *packet) {
    __u32 length = packet->start.tcp.offset >> 4 << 2;

    if (length < sizeof(struct tcphdr))
        return sizeof(struct tcphdr);
    return length > packet->l4_length ? packet->l4_length : length;
}

/* Of the sequence numbers that the segment takes. */
static __always_inline __u32 sequence_length(const struct packet *packet) {
    const struct l4_start *start = &packet->start;
    __u32 length = packet->l4_length - tcp_header_length(packet);

    return length + !!(start->tcp.flags & TCP_FLAG_SYN) + !!(start->tcp.flags & TCP_FLAG_FIN);
}

/* All but the checksum, and the sum of it. */
static __always_inline __u32 fill_reset(struct tcphdr *tcp, const struct packet *packet) {
    const struct l4_start *start = &packet->start;
    bool has_ack = start->tcp.flags & TCP_FLAG_ACK;
    __u32 seq = has_ack ? start->tcp.ack : 0;
    __u32 ack = has_ack ? 0 : bpf_htonl(bpf_ntohl(start->tcp.seq) + sequence_length(packet));

    /* Both are written, or the verifier would meet a pointer whose offset depends on a variable. */
    barrier_var(seq);
    barrier_var(ack);
    __builtin_memset(tcp, 0, sizeof(*tcp));
    tcp->source = start->dest;
    tcp->dest = start->source;
    tcp->seq = seq;
    tcp->ack_seq = ack;
    *offset_and_flags(tcp) =
        bpf_htons(RESET_OFFSET << 8 | TCP_FLAG_RST | (has_ack ? 0 : TCP_FLAG_ACK));
    return bpf_csum_diff(
        NULL, 0, (__be32 *)tcp, sizeof(*tcp),
        sum_add(sum_addresses(&packet->flow), sum_pseudo(IPPROTO_TCP, sizeof(*tcp))));
}

/*
 * Shortens the packet, also a super-packet, to an IP header of `ip_size` bytes and that of the
 * reset; nothing is left of any state of a checksum: a packet that grows gives up
 * CHECKSUM_COMPLETE.
 */
static __always_inline int empty_packet(struct __sk_buff *skb, const struct packet *packet,
                                        const __u32 ip_size) {
    __u32 behind_ip = packet->network_offset + ip_size;
    __u32 length = behind_ip + sizeof(struct tcphdr);

    if (bpf_skb_change_tail(skb, length, 0) || bpf_skb_change_tail(skb, length + 4, 0) ||
        make_room_without_partial(skb, behind_ip, behind_ip, 0))
        return -1;
    return bpf_skb_change_tail(skb, length, 0);
}

static __always_inline int write_reset(struct __sk_buff *skb, struct packet *packet) {
    struct sum_buffer *buffer = look_up(&sum_buffers, 0);
    struct own_reset *reset;
    struct iphdr *ip;

    if (!buffer || packet->options_length ||
        read_header(skb, packet->network_offset, &packet->ip_start.ip,
                    sizeof(packet->ip_start.ip)) ||
        empty_packet(skb, packet, sizeof(*ip)))
        return -1;
    reset = (struct own_reset *)buffer->bytes;
    ip = &reset->ip;
    *ip = packet->ip_start.ip;
    ip->tot_len = bpf_htons(sizeof(*reset));
    ip->id = 0;
    ip->frag_off = bpf_htons(IP_DONT_FRAGMENT);
    ip->ttl = OUR_TTL;
    ip->check = 0;
    ip->saddr = packet->ip_start.ip.daddr;
    ip->daddr = packet->ip_start.ip.saddr;
    ip->check = checksum_of(bpf_csum_diff(NULL, 0, (__be32 *)ip, sizeof(*ip), 0));
    reset->tcp.check = checksum_of(fill_reset(&reset->tcp, packet));
    return bpf_skb_store_bytes(skb, packet->network_offset, reset, sizeof(*reset), 0);
}

static __always_inline int write_reset_ipv6(struct __sk_buff *skb, struct packet *packet) {
    struct sum_buffer *buffer = look_up(&sum_buffers, 0);
    struct own_reset_ipv6 *reset;
    struct ipv6hdr *ip;

    if (!buffer ||
        read_header(skb, packet->network_offset, &packet->ip_start.whole_ip6,
                    sizeof(packet->ip_start.whole_ip6)) ||
        empty_packet(skb, packet, sizeof(*ip)))
        return -1;
    reset = (struct own_reset_ipv6 *)buffer->bytes;
    ip = &reset->ip;
    *ip = packet->ip_start.whole_ip6;
    ip->payload_len = bpf_htons(sizeof(reset->tcp));
    ip->nexthdr = IPPROTO_TCP;
    ip->hop_limit = OUR_TTL;
    ip->saddr = packet->ip_start.whole_ip6.daddr;
    ip->daddr = packet->ip_start.whole_ip6.saddr;
    reset->tcp.check = checksum_of(fill_reset(&reset->tcp, packet));
    return bpf_skb_store_bytes(skb, packet->network_offset, reset, sizeof(*reset), 0);
}

/*
 * Sends the answer back where the packet came from. IPv4 options are nobody's who answers, so such
 * a packet gets none; nor does a reset.
 */
__noinline int answer_by_reset(struct __sk_buff *skb) {
    struct packet *packet = packet_under_way();

    if (!packet || packet->tcp_flags & TCP_FLAG_RST)
        return -1;
    if (is_ip6(packet) ? write_reset_ipv6(skb, packet) : write_reset(skb, packet))
        return -1;
    if (swap_mac_addresses(skb, packet->network_offset))
        return -1;
    /* A mark would take it to where marked packets go. */
    skb->mark = 0;
    packet->is_answered = true;
    bpf_redirect(skb->ifindex, packet->direction == SFUNNEL_EGRESS ? BPF_F_INGRESS : 0);
    return 0;
}

#endif
