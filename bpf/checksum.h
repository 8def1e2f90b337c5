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

/*
 * Adds `difference` to what the checksum of a TCP or UDP header covers. The helper is the only
 * thing that knows whether the field holds a checksum or, under CHECKSUM_PARTIAL, the seed that
 * the device or the kernel completes later; with BPF_F_PSEUDO_HDR it treats either right, and
 * keeps CHECKSUM_COMPLETE true. A UDP checksum of 0 ("none") stays 0.
 */
static __always_inline int adjust_l4_checksum(struct __sk_buff *skb, __u32 l4_offset,
                                              __u8 transport, __u32 difference) {
    if (transport == IPPROTO_TCP)
        return bpf_l4_csum_replace(skb, l4_offset + offsetof(struct tcphdr, check), 0, difference,
                                   BPF_F_PSEUDO_HDR);
    return bpf_l4_csum_replace(skb, l4_offset + offsetof(struct udphdr, check), 0, difference,
                               BPF_F_PSEUDO_HDR | BPF_F_MARK_MANGLED_0);
}

/* Sums a part of the packet, wherever its bytes lie. Only flows without a checksum need it. */
static __noinline int sum_bytes(struct __sk_buff *skb, __u32 offset, __u32 length, __u32 *sum) {
    __u32 zero = 0;
    struct sum_buffer *buffer = bpf_map_lookup_elem(&sum_buffers, &zero);

    if (!buffer)
        return -1;
    for (int chunk = 0; chunk < IP_MAX_LENGTH / SUM_CHUNK; chunk++) {
        if (length < SUM_CHUNK)
            break;
        if (bpf_skb_load_bytes(skb, offset, buffer->bytes, SUM_CHUNK))
            return -1;
        *sum = bpf_csum_diff(NULL, 0, (__be32 *)buffer->bytes, SUM_CHUNK, *sum);
        offset += SUM_CHUNK;
        length -= SUM_CHUNK;
    }
    /* The compiler knows that less than a chunk is left, the verifier wants to be shown. */
    barrier_var(length);
    length &= SUM_CHUNK - 1;
    if (length == 0)
        return 0;
    /* A last odd word is filled up with zeros (RFC 1071). */
    __builtin_memset(&buffer->bytes[length], 0, 4);
    if (bpf_skb_load_bytes(skb, offset, buffer->bytes, length))
        return -1;
    *sum = bpf_csum_diff(NULL, 0, (__be32 *)buffer->bytes, (length + 3) & ~3U, *sum);
    return 0;
}

#endif
