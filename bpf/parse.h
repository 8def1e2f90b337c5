/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* From bytes to the five fields that rules look at. */
#ifndef SFUNNEL_PARSE_H
#define SFUNNEL_PARSE_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"

#define IP_FRAGMENT_MASK 0x3fff /* MF and the offset */
#define IP_MAX_LENGTH 65535

/* What a step returns when the packet's life goes on; no packet ends with it. */
#define GO_ON SFUNNEL_OUTCOMES

struct packet {
    struct __sk_buff *skb;
    __u32 direction;
    __u32 frame_length; /* as it came */
    __u32 ip_length;    /* total length of the IP header: header and all behind it */
    __u32 options_length;
    __u32 l4_offset;  /* from the start of the frame */
    __u32 l4_length;  /* header and payload, without padding behind the IP length */
    __u32 rule_index; /* index + 1 of the rule that matched; 0: none */
    struct sfunnel_flow flow;
};

/*
 * Copies a header from wherever its bytes lie; 0 if they are all there. Packets are read and
 * written by helpers alone, not through pointers: without CAP_PERFMON the verifier takes no packet
 * pointer with a variable offset, and a program that writes through one makes the kernel copy the
 * head of every cloned packet that passes, such as all local TCP, also where no rule matches.
 */
static __always_inline int read_header(struct __sk_buff *skb, __u32 offset, void *to, __u32 size) {
    return bpf_skb_load_bytes(skb, offset, to, size);
}

static __always_inline void map_ipv4(__u32 *mapped, __u32 address) {
    mapped[0] = 0;
    mapped[1] = 0;
    mapped[2] = bpf_htonl(0xffff);
    mapped[3] = address;
}

static __always_inline enum sfunnel_outcome parse_ports(struct packet *packet) {
    struct sfunnel_flow *flow = &packet->flow;
    /* The header of TCP begins with the same ports; its length is in another place. */
    struct udphdr udp;

    if (packet->l4_length < sizeof(udp) ||
        (flow->transport == IPPROTO_TCP && packet->l4_length < sizeof(struct tcphdr)))
        return SFUNNEL_MALFORMED;
    if (read_header(packet->skb, packet->l4_offset, &udp, sizeof(udp)))
        return SFUNNEL_MALFORMED;
    /* Bytes behind the UDP length are in no checksum; nobody sends them on purpose. */
    if (flow->transport == IPPROTO_UDP && bpf_ntohs(udp.len) != packet->l4_length)
        return SFUNNEL_MALFORMED;
    flow->sport = bpf_ntohs(udp.source);
    flow->dport = bpf_ntohs(udp.dest);
    return GO_ON;
}

static __noinline int parse(struct packet *packet) {
    struct __sk_buff *skb = packet->skb;
    struct sfunnel_flow *flow = &packet->flow;
    __u32 header_length;
    struct iphdr ip;

    if (skb->protocol != bpf_htons(ETH_P_IP))
        return SFUNNEL_NOT_IPV4;

    if (read_header(skb, ETH_HLEN, &ip, sizeof(ip)))
        return SFUNNEL_MALFORMED;
    header_length = ip.ihl * 4;
    packet->ip_length = bpf_ntohs(ip.tot_len);
    if (ip.version != 4 || header_length < sizeof(ip) || packet->ip_length < header_length ||
        ETH_HLEN + packet->ip_length > skb->len)
        return SFUNNEL_MALFORMED;

    if (ip.protocol != IPPROTO_TCP && ip.protocol != IPPROTO_UDP)
        return SFUNNEL_NOT_TCP_UDP;
    if (ip.frag_off & bpf_htons(IP_FRAGMENT_MASK))
        return SFUNNEL_FRAGMENT;

    map_ipv4(flow->saddr, ip.saddr);
    map_ipv4(flow->daddr, ip.daddr);
    flow->family = SFUNNEL_IPV4;
    flow->transport = ip.protocol;
    packet->options_length = header_length - sizeof(ip);
    packet->l4_offset = ETH_HLEN + header_length;
    packet->l4_length = packet->ip_length - header_length;
    return parse_ports(packet);
}

#endif
