/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * ICMP errors (RFC 792, RFC 4443). One who reports an error quotes the packet as he saw it, and
 * whoever gets the report looks for the flow of the quote. So errors about carriers become errors
 * about what they carried, and the other way round.
 */
#ifndef SFUNNEL_ICMP_H
#define SFUNNEL_ICMP_H

#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "checksum.h"
#include "connections.h"
#include "encap.h"
#include "flows.h"
#include "maps.h"
#include "parse.h"
#include "report.h"

/* Of an L4 header, what every error quotes (RFC 792); it holds the ports. */
#define QUOTED_LEAST 8

/* What an error begins with; the L4 header of the quoted packet follows. */
struct error_head {
    struct icmp_header icmp;
    union {
        struct iphdr ip;
        struct ipv6hdr ip6;
    };
};

#define HEAD_SIZE (sizeof(struct icmp_header) + sizeof(struct iphdr))
#define HEAD_SIZE_IPV6 (sizeof(struct icmp_header) + sizeof(struct ipv6hdr))

/* A packet as an error quotes it, and the carrier that it shows or came in. */
struct quote {
    struct sfunnel_flow flow; /* without carrier */
    struct carrier carrier;   /* as the quoted packet showed it */
    __u32 offset;    /* of what follows the quoted IP header, from the start of the frame */
    __u32 length;    /* of that, as far as it is quoted */
    __u32 l4_length; /* of the quoted packet behind its IP header, quoted or not */
    __u16 port;      /* source port under which the sender of the packet knows itself */
    __u8 protocol;   /* as the quoted IP header has it */
};

/* What is worked on, in a map because it is too much for the stack. */
struct error_report {
    struct packet packet; /* the error itself, as far as it matters here; its flow has no ports */
    struct error_head head;
    struct quote quote;
};

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct error_report);
} error_reports SEC(".maps");

static __always_inline bool is_error(const struct icmp_header *icmp, bool is_ip6) {
    if (is_ip6)
        return icmp->type >= ICMPV6_DEST_UNREACH && icmp->type <= ICMPV6_PARAMPROB;
    return icmp->type == ICMP_DEST_UNREACH || icmp->type == ICMP_TIME_EXCEEDED ||
           icmp->type == ICMP_PARAMETERPROB;
}

/* The sum of a pseudo header, which ICMP has none of. */
static __always_inline __u32 sum_icmp_pseudo(const struct packet *packet, __u32 length) {
    if (!is_ip6(packet))
        return 0;
    return sum_add(sum_addresses(&packet->flow), sum_pseudo(IPPROTO_ICMPV6, length));
}

/* An error with a wrong checksum must not get a right one. */
static __noinline bool is_intact(struct __sk_buff *skb, const struct packet *packet) {
    __s64 sum = sum_bytes(skb, packet->l4_offset, packet->l4_length);

    return sum >= 0 && sum_fold(sum_add(sum, sum_icmp_pseudo(packet, packet->l4_length))) == 0xffff;
}

/*
 * Did we send the quoted packet under this carrier, at the opposite hook: for a rule, or as a
 * reply? For a client whose port is remapped this does not tell.
 */
static __noinline bool left_in_carrier(struct packet *packet, const struct quote *quote) {
    struct sfunnel_reply_key *key;
    struct sfunnel_reply *known;

    key = key_of_replies(packet, &quote->flow, true);
    key->direction = packet->direction;
    known = bpf_map_lookup_elem(&replies, key);
    if (known && same_carrier(known, &quote->carrier))
        return true;
    key = key_of_reply(packet, &quote->flow, false);
    key->direction = opposite(packet->direction);
    known = bpf_map_lookup_elem(&replies, key);
    return known && known->port == quote->flow.dport &&
           known->carrier_sport == quote->carrier.sport &&
           known->carrier_dport == quote->carrier.dport &&
           known->carrier_transport == quote->carrier.transport;
}

/* Did the quoted packet come in a carrier at the opposite hook, and in which? */
static __noinline bool came_in_carrier(struct packet *packet, struct quote *quote) {
    struct sfunnel_reply_key *key;
    struct sfunnel_reply *known;

    quote->port = quote->flow.sport;
    key = key_of_replies(packet, &quote->flow, false);
    key->direction = packet->direction;
    known = bpf_map_lookup_elem(&replies, key);
    if (known) {
        quote->carrier.sport = known->carrier_dport;
        quote->carrier.dport = known->carrier_sport;
        quote->carrier.flow_id = 0;
        quote->carrier.transport = known->carrier_transport;
        quote->port = known->port;
        return true;
    }
    key = key_of_reply(packet, &quote->flow, true);
    key->direction = opposite(packet->direction);
    known = bpf_map_lookup_elem(&replies, key);
    if (!known)
        return false;
    quote->carrier.sport = known->carrier_sport;
    quote->carrier.dport = known->carrier_dport;
    quote->carrier.flow_id = 0;
    quote->carrier.transport = known->carrier_transport;
    return true;
}

/*
 * The quoted packet's own checksum, if so much is quoted, with or without the addresses. Its
 * place is that of a checksum under a carrier of `size` bytes, 0 for none.
 */
static __noinline int move_quoted_checksum(struct __sk_buff *skb, const struct quote *quote,
                                           __u32 size, __u32 difference) {
    __u32 place = checksum_place(quote->flow.transport);
    __u32 offset = quote->offset + size + place;
    int checksum;

    if (quote->length < size + place + sizeof(__u16))
        return 0;
    checksum = read_word(skb, offset);
    if (checksum < 0)
        return -1;
    if (quote->flow.transport == IPPROTO_UDP && checksum == 0)
        return 0;
    return write_word(skb, offset, moved_checksum(checksum, quote->flow.transport, difference), 0);
}

/* RFC 4884: where what follows the quote is to be found. A length that cannot be stays as it is. */
static __always_inline __u8 changed_quote_length(__u8 length, __s32 growth) {
    __s32 changed = length + growth;

    return length && changed > 0 && changed <= 0xff ? changed : length;
}

/* What an error says about a packet that is now `growth` bytes longer, and of this protocol. */
static __always_inline void change_head(struct error_head *head, __u8 protocol, __s32 growth) {
    __u16 length = bpf_htons(bpf_ntohs(head->ip.tot_len) + growth);
    __u16 checksum = checksum_replace(head->ip.check, head->ip.tot_len, length);
    __u32 mtu = bpf_ntohs(head->icmp.mtu);

    head->ip.check = checksum_replace(checksum, bpf_htons(head->ip.protocol), bpf_htons(protocol));
    head->ip.tot_len = length;
    head->ip.protocol = protocol;
    head->icmp.quote_words = changed_quote_length(head->icmp.quote_words, growth >> 2);
    /* "Fragmentation needed" tells what fits; a carrier more or less fits beside it. */
    if (head->icmp.type != ICMP_DEST_UNREACH || head->icmp.code != ICMP_FRAG_NEEDED || mtu == 0)
        return;
    mtu += growth;
    if ((growth > 0 || (__s32)mtu >= LEAST_MTU) && mtu <= IP_MAX_LENGTH)
        head->icmp.mtu = bpf_htons(mtu);
}

/* So does "packet too big", of which nobody heeds less than the least MTU. */
static __always_inline __u32 changed_mtu_ipv6(__u32 mtu, __s32 growth) {
    if (growth > 0)
        return mtu == 0 || mtu > (__u32)(IP_MAX_LENGTH - growth) ? mtu : mtu + growth;
    if (mtu < LEAST_MTU_IPV6)
        return mtu;
    return mtu + growth < LEAST_MTU_IPV6 ? LEAST_MTU_IPV6 : mtu + growth;
}

static __always_inline void change_head_ipv6(struct error_head *head, __u8 protocol, __s32 growth) {
    struct icmp_header *icmp = &head->icmp;

    head->ip6.payload_len = bpf_htons(bpf_ntohs(head->ip6.payload_len) + growth);
    head->ip6.nexthdr = protocol;
    if (icmp->type == ICMPV6_PKT_TOOBIG)
        icmp->mtu_ipv6 = bpf_htonl(changed_mtu_ipv6(bpf_ntohl(icmp->mtu_ipv6), growth));
    if (icmp->type != ICMPV6_DEST_UNREACH && icmp->type != ICMPV6_TIME_EXCEED)
        return;
    /* A TCP carrier is no multiple of the 8 bytes that lengths are counted in: then the rest is no
       longer to be found, and becomes part of the quote. */
    if (growth & 7)
        icmp->quote_double_words = 0;
    else
        icmp->quote_double_words = changed_quote_length(icmp->quote_double_words, growth >> 3);
}

static __always_inline int write_head(struct __sk_buff *skb, const struct packet *packet,
                                      const struct error_head *head) {
    if (is_ip6(packet))
        return bpf_skb_store_bytes(skb, packet->l4_offset, head, HEAD_SIZE_IPV6, 0);
    return bpf_skb_store_bytes(skb, packet->l4_offset, head, HEAD_SIZE, 0);
}

/* Of a message of this length, whose checksum field is 0. */
static __noinline int write_icmp_checksum(struct __sk_buff *skb, const struct packet *packet,
                                          __u32 length) {
    __s64 sum = sum_bytes(skb, packet->l4_offset, length);

    if (sum < 0)
        return -1;
    return write_word(skb, packet->l4_offset + offsetof(struct icmp_header, checksum),
                      checksum_of(sum_add(sum, sum_icmp_pseudo(packet, length))), 0);
}

/*
 * Head and IP header of an error that has grown or shrunk by `growth` bytes, and now quotes a
 * packet of this protocol; all sums anew.
 */
static __noinline int finish_error(struct __sk_buff *skb, struct error_report *report,
                                   __u32 protocol, __s32 growth) {
    struct packet *packet = &report->packet;
    struct error_head *head = &report->head;
    __u32 length = packet->l4_length + growth;

    if (is_ip6(packet))
        change_head_ipv6(head, protocol, growth);
    else
        change_head(head, protocol, growth);
    head->icmp.checksum = 0;
    packet->changed_ip = changed_ip(&packet->ip, packet->ip.protocol, growth);
    if (write_head(skb, packet, head) || write_ip_by_helper(skb, packet))
        return -1;
    return write_icmp_checksum(skb, packet, length);
}

/* The quoted packet loses its carrier. */
static __noinline int unfunnel_error(struct __sk_buff *skb, struct error_report *report) {
    const struct quote *quote = &report->quote;
    __u32 size = carrier_size(quote->carrier.transport);
    __be32 *head = (__be32 *)&report->head;
    /* What is cut out lies before the quote's carrier, and is then written over the carrier. */
    __u32 cut = size == sizeof(struct tcphdr)
                    ? bpf_csum_diff(NULL, 0, head, sizeof(struct tcphdr), 0)
                    : bpf_csum_diff(NULL, 0, head, sizeof(struct udphdr), 0);

    if (move_quoted_checksum(skb, quote, size, sum_addresses(&quote->flow)) ||
        bpf_skb_adjust_room(skb, -(__s32)size, BPF_ADJ_ROOM_NET, 0) ||
        finish_error(skb, report, quote->flow.transport, -(__s32)size))
        return SFUNNEL_FAILED;
    /* A right ICMP message sums to nothing before and after; only the cut was subtracted. */
    if (report->packet.direction == SFUNNEL_INGRESS)
        bpf_csum_update(skb, cut);
    return SFUNNEL_ERROR_UNFUNNELED;
}

/* The quoted packet gets the carrier that it came in, as it was. */
static __noinline int write_quoted_carrier(struct __sk_buff *skb, struct error_report *report,
                                           __u32 size) {
    union carrier_header *header = &report->packet.header;
    const struct quote *quote = &report->quote;
    __u32 sum = ~sum_pseudo(quote->flow.transport, quote->l4_length);

    sum = sum_add(sum, sum_addresses(&quote->flow));
    sum = sum_add(sum, sum_pseudo(quote->carrier.transport, quote->l4_length + size));
    if (size == sizeof(header->tcp)) {
        fill_tcp_carrier(&header->tcp, &quote->carrier, sum);
        return bpf_skb_store_bytes(skb, quote->offset, &header->tcp, sizeof(header->tcp), 0);
    }
    fill_udp_carrier(&header->udp, &quote->carrier, quote->l4_length + size, sum);
    return bpf_skb_store_bytes(skb, quote->offset, &header->udp, sizeof(header->udp), 0);
}

/* The quoted packet shows the client's own port again; the checksum covers it, if it is quoted. */
static __noinline int show_quoted_port(struct __sk_buff *skb, const struct quote *quote) {
    __u16 port = bpf_htons(quote->port), shown = bpf_htons(quote->flow.sport);

    if (move_quoted_checksum(skb, quote, 0, sum_add(port, (__u16)~shown)))
        return -1;
    return write_word(skb, quote->offset, port, 0);
}

static __noinline int funnel_error(struct __sk_buff *skb, struct error_report *report) {
    const struct quote *quote = &report->quote;
    __u32 size = carrier_size(quote->carrier.transport);
    /* What a length field covers: of IPv4 its header too. */
    __u32 header = is_ip6(&report->packet) ? 0 : sizeof(struct iphdr);

    if (header + report->packet.l4_length + size > IP_MAX_LENGTH ||
        header + quote->l4_length + size > IP_MAX_LENGTH)
        return SFUNNEL_NOT_TCP_UDP;
    if (move_quoted_checksum(skb, quote, 0, ~sum_addresses(&quote->flow)))
        return SFUNNEL_FAILED;
    if (quote->port != quote->flow.sport && show_quoted_port(skb, quote))
        return SFUNNEL_FAILED;
    if (bpf_skb_pull_data(skb, report->packet.l4_offset) ||
        bpf_skb_adjust_room(skb, size, BPF_ADJ_ROOM_NET, 0) ||
        write_quoted_carrier(skb, report, size) ||
        finish_error(skb, report, quote->carrier.transport, size))
        return SFUNNEL_FAILED;
    return SFUNNEL_ERROR_FUNNELED;
}

/* Is this the inner packet of the quoted carrier? */
static __always_inline bool is_quoted_inner(struct error_report *report,
                                            const struct l4_start *inner, __u8 transport,
                                            __u32 size) {
    struct quote *quote = &report->quote;

    set_ports(&quote->flow, bpf_ntohs(inner->source), bpf_ntohs(inner->dest), transport,
              quote->flow.family);
    if (transport == IPPROTO_UDP && bpf_ntohs(inner->udp.length) != quote->l4_length - size)
        return false;
    return left_in_carrier(&report->packet, quote);
}

/* GO_ON if the quote shows no carrier of ours. */
static __noinline int try_quoted_carrier(struct __sk_buff *skb, struct error_report *report) {
    struct quote *quote = &report->quote;
    __u32 size = carrier_size(quote->protocol);
    struct l4_start *start = &report->packet.start;

    if (quote->protocol == IPPROTO_TCP) {
        /* RFC 792 promises no more than 8 bytes, among them the sequence number. */
        if (quote->length < sizeof(*start))
            return read_header(skb, quote->offset, start, QUOTED_LEAST) ||
                           start->tcp.seq != bpf_htonl(CARRIER_SEQ)
                       ? GO_ON
                       : SFUNNEL_QUOTE_TOO_SHORT;
        if (read_header(skb, quote->offset, start, sizeof(*start)) || !has_carrier_fields(start))
            return GO_ON;
        if (quote->length < size + QUOTED_LEAST)
            return SFUNNEL_QUOTE_TOO_SHORT;
    } else if (quote->length < size + QUOTED_LEAST ||
               read_header(skb, quote->offset, start, UDP_START)) {
        return GO_ON;
    }
    quote->carrier.sport = bpf_ntohs(start->source);
    quote->carrier.dport = bpf_ntohs(start->dest);
    quote->carrier.transport = quote->protocol;
    if (quote->l4_length < size + QUOTED_LEAST ||
        read_header(skb, quote->offset + size, start, QUOTED_LEAST))
        return GO_ON;
    if (!is_quoted_inner(report, start, IPPROTO_UDP, size) &&
        !is_quoted_inner(report, start, IPPROTO_TCP, size))
        return GO_ON;
    return unfunnel_error(skb, report);
}

/*
 * The quoted packet belongs to a connection whose ports are translated at the opposite hook. Its
 * entry here says how what answers the packet goes on, so the packet itself has these ports, turned
 * round, where the error is going.
 */
static __noinline int translate_quote(struct __sk_buff *skb, struct error_report *report) {
    struct packet *packet = &report->packet;
    struct quote *quote = &report->quote;
    struct sfunnel_reply_key *key = key_of_replies(packet, &quote->flow, false);
    struct packet *own = packet_under_way();
    const struct sfunnel_connection *known;
    __u16 sport, dport;
    __u32 ports;
    int outcome;

    if (!own || quote->flow.transport != IPPROTO_TCP)
        return GO_ON;
    copy_key(&own->place, key);
    own->place.direction = packet->direction;
    if (!find())
        return GO_ON;
    known = &own->found;
    sport = known->dport;
    dport = known->sport;
    outcome = is_to_service_port(known->kind) ? SFUNNEL_ERROR_FUNNELED : SFUNNEL_ERROR_UNFUNNELED;
    if (is_direct(known->kind))
        outcome = SFUNNEL_DIRECT_REMAPPED;
    if (sport == quote->flow.sport && dport == quote->flow.dport)
        return GO_ON;
    ports = sum_add(bpf_htons(sport) + bpf_htons(dport),
                    (__u16)~bpf_htons(quote->flow.sport) + (__u16)~bpf_htons(quote->flow.dport));
    if (move_quoted_checksum(skb, quote, 0, ports) ||
        write_word(skb, quote->offset, bpf_htons(sport), 0) ||
        write_word(skb, quote->offset + 2, bpf_htons(dport), 0) ||
        write_word(skb, packet->l4_offset + offsetof(struct icmp_header, checksum), 0, 0) ||
        write_icmp_checksum(skb, packet, packet->l4_length))
        return SFUNNEL_FAILED;
    return outcome;
}

/* An ICMP packet without options; fragments do not come here. */
static __always_inline bool read_icmp_packet(struct __sk_buff *skb, struct packet *packet) {
    struct iphdr *ip = &packet->ip_start.ip;

    if (read_header(skb, packet->network_offset, ip, sizeof(*ip)) || ip->ihl * 4 != sizeof(*ip))
        return false;
    packet->flow.family = SFUNNEL_IPV4;
    packet->ip_length = bpf_ntohs(ip->tot_len);
    set_ip_middle(packet, ip);
    set_l4_place(packet, sizeof(*ip), 0);
    return true;
}

/* The same of ICMPv6, whose checksum covers the addresses. */
static __always_inline bool read_icmp6_packet(struct __sk_buff *skb, struct packet *packet) {
    struct ip6_start *ip = &packet->ip_start.ip6;

    if (read_header(skb, packet->network_offset, ip, sizeof(*ip)) ||
        read_header(skb, packet->network_offset + IP6_ADDRESSES, packet->flow.saddr,
                    IP6_ADDRESSES_SIZE))
        return false;
    packet->flow.family = SFUNNEL_IPV6;
    packet->ip_length = sizeof(struct ipv6hdr) + bpf_ntohs(ip->middle.payload_length);
    packet->ip.total_length = ip->middle.payload_length;
    packet->ip.ttl = ip->middle.hop_limit;
    packet->ip.protocol = ip->middle.next_header;
    set_l4_place(packet, sizeof(struct ipv6hdr), 0);
    return true;
}

static __always_inline bool is_tcp_or_udp(__u8 protocol) {
    return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP;
}

/* Takes apart a quote with a whole IPv4 header, without options or fragments, of TCP or UDP. */
static __always_inline bool read_quote(const struct iphdr *ip, struct quote *quote) {
    if (ip->version != 4 || ip->ihl * 4 != sizeof(*ip) ||
        ip->frag_off & bpf_htons(IP_FRAGMENT_MASK) || !is_tcp_or_udp(ip->protocol) ||
        bpf_ntohs(ip->tot_len) < sizeof(*ip) + QUOTED_LEAST)
        return false;
    quote->protocol = ip->protocol;
    quote->l4_length = bpf_ntohs(ip->tot_len) - sizeof(*ip);
    set_ipv4_addresses(&quote->flow, ip->saddr, ip->daddr);
    quote->flow.family = SFUNNEL_IPV4;
    return true;
}

static __always_inline bool read_quote6(const struct ipv6hdr *ip, struct quote *quote) {
    if (ip->version != 6 || !is_tcp_or_udp(ip->nexthdr) ||
        bpf_ntohs(ip->payload_len) < QUOTED_LEAST)
        return false;
    quote->protocol = ip->nexthdr;
    quote->l4_length = bpf_ntohs(ip->payload_len);
    __builtin_memcpy(quote->flow.saddr, &ip->saddr, sizeof(quote->flow.saddr));
    __builtin_memcpy(quote->flow.daddr, &ip->daddr, sizeof(quote->flow.daddr));
    quote->flow.family = SFUNNEL_IPV6;
    return true;
}

static __always_inline bool read_error(struct __sk_buff *skb, struct error_report *report) {
    struct packet *packet = &report->packet;
    struct quote *quote = &report->quote;

    if (!read_icmp_packet(skb, packet) || packet->l4_length < HEAD_SIZE + QUOTED_LEAST ||
        read_header(skb, packet->l4_offset, &report->head, HEAD_SIZE) ||
        !is_error(&report->head.icmp, false) || !read_quote(&report->head.ip, quote))
        return false;
    quote->offset = packet->l4_offset + HEAD_SIZE;
    quote->length = packet->l4_length - HEAD_SIZE;
    return true;
}

static __always_inline bool read_error6(struct __sk_buff *skb, struct error_report *report) {
    struct packet *packet = &report->packet;
    struct quote *quote = &report->quote;

    if (!read_icmp6_packet(skb, packet) || packet->l4_length < HEAD_SIZE_IPV6 + QUOTED_LEAST ||
        read_header(skb, packet->l4_offset, &report->head, HEAD_SIZE_IPV6) ||
        !is_error(&report->head.icmp, true) || !read_quote6(&report->head.ip6, quote))
        return false;
    quote->offset = packet->l4_offset + HEAD_SIZE_IPV6;
    quote->length = packet->l4_length - HEAD_SIZE_IPV6;
    return true;
}

/* An error, perhaps about a packet of a flow that is funneled. */
__noinline int translate_error(struct __sk_buff *skb, __u32 direction, __u32 network_offset) {
    bool is_ip6 = skb->protocol == bpf_htons(ETH_P_IPV6);
    struct error_report *report = look_up(&error_reports, 0);
    struct l4_start *start;
    int outcome;

    if (!report)
        return SFUNNEL_NOT_TCP_UDP;
    report->packet.ifindex = skb->ifindex;
    report->packet.direction = direction;
    report->packet.network_offset = network_offset;
    if (!(is_ip6 ? read_error6(skb, report) : read_error(skb, report)) ||
        !is_intact(skb, &report->packet))
        return SFUNNEL_NOT_TCP_UDP;
    outcome = try_quoted_carrier(skb, report);
    if (outcome != GO_ON)
        return outcome;

    start = &report->packet.start;
    if (read_header(skb, report->quote.offset, start, QUOTED_LEAST))
        return SFUNNEL_NOT_TCP_UDP;
    set_ports(&report->quote.flow, bpf_ntohs(start->source), bpf_ntohs(start->dest),
              report->quote.protocol, report->quote.flow.family);
    outcome = translate_quote(skb, report);
    if (outcome != GO_ON)
        return outcome;
    if (!came_in_carrier(&report->packet, &report->quote))
        return SFUNNEL_NOT_TCP_UDP;
    return funnel_error(skb, report);
}

#endif
