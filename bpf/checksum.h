/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Internet checksums (RFC 1071, RFC 1624). Sums are ones' complement, 32 bits wide, of words
 * in network order as they lie in memory, which is what the kernel's helpers take and give.
 */
#ifndef SFUNNEL_CHECKSUM_H
#define SFUNNEL_CHECKSUM_H

#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "loop.h"
#include "maps.h"
#include "parse.h"

static __always_inline __u32 sum_add(__u32 sum, __u32 value) {
    __u64 wide = (__u64)sum + value;

    return (__u32)wide + (__u32)(wide >> 32);
}

static __always_inline __u16 sum_fold(__u32 sum) {
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

static __always_inline __u16 checksum_of(__u32 sum) {
    return ~sum_fold(sum);
}

/* RFC 768: a sum of 0 is sent as all ones, because 0 means "no checksum". */
static __always_inline __u16 udp_checksum_of(__u32 sum) {
    __u16 checksum = checksum_of(sum);

    return checksum ? checksum : 0xffff;
}

/* RFC 1624, equation 3, for one 16-bit word. */
static __always_inline __u16 checksum_replace(__u16 checksum, __u16 from, __u16 to) {
    __u32 sum = (__u16)~checksum;

    return checksum_of(sum + (__u16)~from + to);
}

/* Sum of the addresses of a flow: the part of a pseudo header that NAT changes. */
static __always_inline __u32 sum_addresses(const struct sfunnel_flow *flow) {
    __u32 sum = 0;

#pragma unroll
    for (int word = 0; word < 4; word++) {
        sum = sum_add(sum, flow->saddr[word]);
        sum = sum_add(sum, flow->daddr[word]);
    }
    /* The ::ffff: of a mapped address is ours, not the packet's. */
    if (flow->family == SFUNNEL_IPV4)
        sum = sum_add(sum, ~sum_add(bpf_htonl(0xffff), bpf_htonl(0xffff)));
    return sum;
}

/* Pseudo header without addresses: protocol and length. */
static __always_inline __u32 sum_pseudo(__u8 protocol, __u32 length) {
    return bpf_htons(protocol) + bpf_htons(length);
}

/* Of a checksum in its header. */
static __always_inline __u32 checksum_place(__u8 transport) {
    return transport == IPPROTO_TCP ? offsetof(struct tcphdr, check)
                                    : offsetof(struct udphdr, check);
}

/*
 * Adds `difference` to what the checksum of a TCP or UDP header covers. The helper is the only
 * thing that knows whether the field holds a checksum or, under CHECKSUM_PARTIAL, the seed that
 * the device or the kernel completes later; with BPF_F_PSEUDO_HDR it treats either right, and
 * keeps CHECKSUM_COMPLETE true. A UDP checksum of 0 ("none") stays 0.
 */
static __always_inline int adjust_l4_checksum(struct __sk_buff *skb, __u32 l4_offset,
                                              __u8 transport, __u32 difference) {
    __u64 flags = BPF_F_PSEUDO_HDR | (transport == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0);

    return bpf_l4_csum_replace(skb, l4_offset + checksum_place(transport), 0, difference, flags);
}

enum port_field {
    PORT_SOURCE = 0, /* offset in bytes, in TCP and UDP alike */
    PORT_DESTINATION = 2,
};

/*
 * Puts another port into a TCP or UDP header. A port is no part of the pseudo header, so under
 * CHECKSUM_PARTIAL the helper rightly leaves the seed alone. The old port is the upper half of
 * `from_and_to`: a BPF function takes five arguments.
 */
__noinline int rewrite_port(struct __sk_buff *skb, __u32 l4_offset, __u32 transport,
                            enum port_field field, __u32 from_and_to) {
    __u16 from = bpf_htons(from_and_to >> 16), to = bpf_htons(from_and_to & 0xffff);
    __u32 place = l4_offset + checksum_place(transport);
    int checksum = read_word(skb, place);

    if (checksum < 0)
        return -1;
    /* No checksum makes up for the change, so CHECKSUM_COMPLETE has to follow it. */
    if (transport == IPPROTO_UDP && checksum == 0)
        return write_word(skb, l4_offset + field, to, BPF_F_RECOMPUTE_CSUM);
    if (bpf_l4_csum_replace(skb, place, from, to,
                            sizeof(to) | (transport == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0)))
        return -1;
    return write_word(skb, l4_offset + field, to, 0);
}

/*
 * A length that is known to be 1 to `most`, a power of two, told to the verifier. Old ones (5.10)
 * learn nothing from a comparison with 0, so the bound is made by arithmetic.
 */
static __always_inline __u32 bounded(__u32 length, __u32 most) {
    length--;
    barrier_var(length);
    length &= most - 1;
    return length + 1;
}

/* A part of the packet that is being summed, a chunk at a time. */
struct summing {
    struct __sk_buff *skb;
    struct sum_buffer *buffer;
};

/* One whole chunk; 1 ends the loop. */
static long sum_chunk(__u32 index __attribute__((unused)), struct summing *part) {
    struct sum_buffer *buffer = part->buffer;

    if (buffer->length < SUM_CHUNK ||
        bpf_skb_load_bytes(part->skb, buffer->offset, buffer->bytes, SUM_CHUNK))
        return 1;
    buffer->sum = bpf_csum_diff(NULL, 0, (__be32 *)buffer->bytes, SUM_CHUNK, buffer->sum);
    buffer->offset += SUM_CHUNK;
    buffer->length -= SUM_CHUNK;
    return 0;
}

/* All that is left of a part, which must be little. */
static __always_inline int sum_rest(struct summing *part, __u32 most) {
    struct sum_buffer *buffer = part->buffer;
    __u32 length = bounded(buffer->length, most);
    __s64 sum;

    /* A last odd word is filled up with zeros (RFC 1071). */
    __builtin_memset(&buffer->bytes[length], 0, 4);
    if (bpf_skb_load_bytes(part->skb, buffer->offset, buffer->bytes, length))
        return -1;
    sum = bpf_csum_diff(NULL, 0, (__be32 *)buffer->bytes, (length + 3) & ~3U, buffer->sum);
    if (sum < 0)
        return -1;
    buffer->sum = sum;
    return 0;
}

/* Beside a sum: what was summed lies in the buffer, all of it. */
#define SUM_IN_ONE_PIECE (1LL << 32)

/* Sums a part of the packet, wherever its bytes lie; negative if they are not all there. */
__noinline __s64 sum_bytes(struct __sk_buff *skb, __u32 offset, __u32 length) {
    struct summing part = {.skb = skb};
    struct sum_buffer *buffer;

    buffer = look_up(&sum_buffers, 0);
    if (!buffer)
        return -1;
    part.buffer = buffer;
    buffer->offset = offset;
    buffer->length = length;
    buffer->sum = 0;
    /* Most packets in one piece, where the kernel takes that. */
    if (length > 0 && length <= SUM_SPACE && !sum_rest(&part, SUM_SPACE))
        return SUM_IN_ONE_PIECE | buffer->sum;
    if (HAS_LOOP_HELPER) {
        bpf_loop(IP_MAX_LENGTH / SUM_CHUNK, sum_chunk, &part, 0);
    } else {
        /* Without CAP_PERFMON the verifier follows a loop beyond its end, as a CPU may speculate.
         */
#pragma unroll
        for (__u32 index = 0; index < SFUNNEL_LARGEST_PACKET / SUM_CHUNK; index++)
            if (sum_chunk(index, &part))
                break;
    }
    /* A chunk that could not be read. */
    if (buffer->length >= SUM_CHUNK || (buffer->length > 0 && sum_rest(&part, SUM_CHUNK)))
        return -1;
    return buffer->sum;
}

/*
 * Can this be a seed (CHECKSUM_PARTIAL) for a flow whose pseudo header sums to this? A seed is
 * that very sum. One checksum in 65536 looks the same.
 */
static __always_inline bool may_be_seed(__u16 checksum, __u32 pseudo_sum) {
    __u16 seed = sum_fold(pseudo_sum);

    return checksum == seed || (seed == 0xffff && checksum == 0) ||
           (seed == 0 && checksum == 0xffff);
}

/*
 * A checksum after something that it covers has grown by `difference`. Of the two zeros of ones'
 * complement, 0xffff is added, so that the result is the one that RFC 1624, equation 3, gives.
 */
static __always_inline __u16 moved_checksum(__u16 checksum, __u8 transport, __u32 difference) {
    __u32 sum = sum_add((__u16)~checksum + 0xffff, difference);

    return transport == IPPROTO_UDP ? udp_checksum_of(sum) : checksum_of(sum);
}

#define LIFTED_SPACE 128

/*
 * Makes room of this size where bpf_skb_adjust_room does, behind the fixed part of the IP header,
 * and turns CHECKSUM_PARTIAL into CHECKSUM_NONE; anything else stays as it is.
 *
 * A packet must not leave us as CHECKSUM_PARTIAL: NAT behind us (in the namespace at the other
 * end of a veth) would take the carrier's checksum for the seed and spoil it, and a device that
 * finds the checksum by parsing headers would fill in the carrier's instead of ours.
 *
 * There is no helper for that. But skb_postpull_rcsum, since 4.5, gives up CHECKSUM_PARTIAL when
 * what is pulled from the front reaches past the place where summing was to start; so that many
 * bytes are lifted out, and put back behind the room.
 */
__noinline int make_room_without_partial(struct __sk_buff *skb, __u32 room_offset, __u32 l4_offset,
                                         __u32 room) {
    __u32 lifted = bounded(l4_offset + 2, LIFTED_SPACE);
    __u32 length = skb->len, least = room_offset + lifted;
    struct sum_buffer *buffer = look_up(&sum_buffers, 0);
    long error;

    /* A short packet is lengthened for the time, so that there is enough to lift. */
    if (!buffer || (length < least && bpf_skb_change_tail(skb, least, 0)) ||
        bpf_skb_load_bytes(skb, room_offset, buffer->bytes, lifted) ||
        bpf_skb_adjust_room(skb, -(__s32)lifted, BPF_ADJ_ROOM_NET, 0))
        return -1;
    error = bpf_skb_adjust_room(skb, lifted + room, BPF_ADJ_ROOM_NET, 0);
    if (error)
        return error;
    if (bpf_skb_store_bytes(skb, room_offset + room, buffer->bytes, lifted, 0))
        return -1;
    return length < least ? bpf_skb_change_tail(skb, length + room, 0) : 0;
}

/*
 * The same for a packet that sum_bytes has just read in one piece: all of it is written anew behind
 * the room, which is made at its end. A local sender of UDP leaves no headroom, and to make some
 * costs more than to copy the packet. The checksum field is still the seed.
 */
__noinline int make_room_at_tail(struct __sk_buff *skb, __u32 l4_offset, __u32 l4_length,
                                 __u32 room) {
    __u32 length = bounded(l4_length, SUM_SPACE), frame_length = skb->len;
    struct sum_buffer *buffer = look_up(&sum_buffers, 0);

    if (!buffer || bpf_skb_adjust_room(skb, -(__s32)(l4_offset + 2), BPF_ADJ_ROOM_NET, 0) ||
        bpf_skb_change_tail(skb, frame_length + room, 0))
        return -1;
    return bpf_skb_store_bytes(skb, l4_offset + room, buffer->bytes, length, 0);
}

/*
 * Is the packet such a one? Before 6.12 none above 512 bytes is. It must be long enough for what is
 * lifted out of it.
 */
static __always_inline bool takes_room_at_tail(const struct packet *packet) {
    return is_plain(packet) && packet->is_in_buffer &&
           packet->l4_length >= 2 * PLAIN_L4_OFFSET_IPV6 && packet->l4_length <= SUM_SPACE &&
           packet->frame_length == packet->l4_offset + packet->l4_length;
}

static __always_inline int make_room(struct __sk_buff *skb, const struct packet *packet,
                                     __u32 room) {
    if (!packet->has_seed)
        return bpf_skb_adjust_room(skb, room, BPF_ADJ_ROOM_NET, 0);
    if (takes_room_at_tail(packet))
        return make_room_at_tail(skb, packet->l4_offset, packet->l4_length, room);
    return make_room_without_partial(skb, packet->room_offset, packet->l4_offset, room);
}

/*
 * Finds the checksum of the flow with both addresses zero, to be written when the carrier is, and
 * the sum of all that will lie under the carrier. A checksum that is right makes header and
 * payload sum to the complement of its pseudo header, so the payload need not be looked at (local
 * checksum offload); one that was wrong stays wrong, the carrier's with it. Without a checksum
 * (UDP, 0) the payload must be summed.
 *
 * What looks like a seed is completed. No helper tells CHECKSUM_PARTIAL, and the one checksum in
 * 65536 that looks like a seed is found again in this way, if it was right.
 */
static __always_inline int settle_inner_checksum(struct __sk_buff *skb, struct packet *packet,
                                                 __u32 *sum) {
    __u8 transport = packet->flow.transport;
    __u32 addresses = sum_addresses(&packet->flow);
    __u32 pseudo = sum_pseudo(transport, packet->l4_length);
    __s64 bytes;

    packet->has_seed = false;
    packet->settled_checksum = packet->l4_checksum;
    if (transport == IPPROTO_UDP && packet->l4_checksum == 0) {
        bytes = sum_bytes(skb, packet->l4_offset, packet->l4_length);
        *sum = bytes;
        return bytes < 0 ? -1 : 0;
    }
    *sum = ~pseudo;
    if (!may_be_seed(packet->l4_checksum, sum_add(addresses, pseudo))) {
        packet->settled_checksum = moved_checksum(packet->l4_checksum, transport, ~addresses);
        return 0;
    }
    packet->has_seed = true;
    bytes = sum_bytes(skb, packet->l4_offset, packet->l4_length);
    if (bytes < 0)
        return -1;
    packet->is_in_buffer = !!(bytes & SUM_IN_ONE_PIECE);
    /* The field itself has no part in the sum; the seed without addresses takes its place. */
    packet->settled_checksum =
        moved_checksum(checksum_of(sum_add(bytes, (__u16)~packet->l4_checksum)), transport, pseudo);
    return 0;
}

#endif
