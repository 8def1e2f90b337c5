/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * ICMP errors (RFC 792). One who reports an error quotes the packet as he saw it, and whoever gets
 * the report looks for the flow of the quote. So errors about carriers become errors about what
 * they carried, and the other way round; and we report what has no room for a carrier ourselves.
 */
#ifndef SFUNNEL_ICMP_H
#define SFUNNEL_ICMP_H

#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "checksum.h"
#include "encap.h"
#include "flows.h"
#include "maps.h"
#include "parse.h"

/* Of ICMP (RFC 792); the kernel's header of it draws in the C library's. */
#define ICMP_DEST_UNREACH 3
#define ICMP_FRAG_NEEDED 4
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETERPROB 12

/* RFC 791: every link takes this much. */
#define LEAST_MTU 68

/* Of an L4 header, what every error quotes (RFC 792); it holds the ports. */
#define QUOTED_LEAST 8

/* Behind the quoted IP header, in our own errors. RFC 1812, 4.3.2.3 wants more than 8. */
#define QUOTED_L4 64

struct icmp_header {
    __u8 type;
    __u8 code;
    __u16 checksum;
    __u8 unused;
    __u8 quote_words; /* RFC 4884: length of the quote, if something follows it */
    __u16 mtu;        /* RFC 1191: of the next hop, for "fragmentation needed" */
};

/* What an error begins with; the L4 header of the quoted packet follows. */
struct error_head {
    struct icmp_header icmp;
    struct iphdr ip;
};

struct own_error {
    struct iphdr ip;
    struct icmp_header icmp;
    struct iphdr quoted_ip;
    __u8 quoted_l4[QUOTED_L4];
};

static __always_inline int swap_mac_addresses(struct __sk_buff *skb) {
    __u8 addresses[2 * ETH_ALEN], swapped[2 * ETH_ALEN];

    if (bpf_skb_load_bytes(skb, 0, addresses, sizeof(addresses)))
        return -1;
    __builtin_memcpy(swapped, addresses + ETH_ALEN, ETH_ALEN);
    __builtin_memcpy(swapped + ETH_ALEN, addresses, ETH_ALEN);
    return bpf_skb_store_bytes(skb, 0, swapped, sizeof(swapped), 0);
}

static __always_inline void fill_own_error(struct own_error *error, __u32 mtu) {
    struct iphdr *ip = &error->ip;

    __builtin_memset(ip, 0, sizeof(*ip));
    ip->version = 4;
    ip->ihl = sizeof(*ip) / 4;
    ip->tot_len = bpf_htons(sizeof(*error));
    ip->ttl = 64;
    ip->protocol = IPPROTO_ICMP;
    ip->saddr = error->quoted_ip.daddr;
    ip->daddr = error->quoted_ip.saddr;
    ip->check = checksum_of(bpf_csum_diff(NULL, 0, (__be32 *)ip, sizeof(*ip), 0));
    __builtin_memset(&error->icmp, 0, sizeof(error->icmp));
    error->icmp.type = ICMP_DEST_UNREACH;
    error->icmp.code = ICMP_FRAG_NEEDED;
    error->icmp.mtu = bpf_htons(mtu);
    error->icmp.checksum = checksum_of(bpf_csum_diff(
        NULL, 0, (__be32 *)&error->icmp, sizeof(*error) - offsetof(struct own_error, icmp), 0));
}

/* RFC 1122, 3.2.2: no errors about what went to many; 255.255.255.255 is among them. */
static __always_inline bool is_multicast(__u32 address) {
    return bpf_ntohl(address) >= 0xe0000000U;
}

/* May and can the packet be answered by an error that quotes it? */
static __always_inline bool is_answerable(const struct iphdr *ip) {
    return ip->frag_off & bpf_htons(IP_DONT_FRAGMENT) && ip->ihl * 4 == sizeof(*ip) &&
           !is_multicast(ip->daddr);
}

/*
 * Turns the packet into the error about it, "fragmentation needed", and sends it in where the
 * packet wanted to go out: to the sender on this host, or to one for whom it forwards. The error
 * bears the address that the packet was sent to: it has the best chance to pass a filter on the way
 * back.
 */
__noinline int report_too_big(struct __sk_buff *skb, __u32 mtu) {
    struct own_error *error;
    struct iphdr ip;
    __u32 zero = 0;

    if (read_header(skb, ETH_HLEN, &ip, sizeof(ip)) || !is_answerable(&ip) ||
        ip_length_of(skb, &ip) < sizeof(ip) + QUOTED_L4)
        return SFUNNEL_TOO_BIG;
    if ((__s32)mtu < LEAST_MTU)
        mtu = LEAST_MTU;
    /* It becomes a short packet first, which also makes one of a super-packet. */
    _Static_assert(sizeof(*error) <= sizeof(struct sum_buffer), "an error fits into the buffer");
    if (bpf_skb_change_tail(skb, ETH_HLEN + sizeof(*error), 0) ||
        make_room_without_partial(skb, PLAIN_L4_OFFSET, 0))
        return SFUNNEL_FAILED;
    error = bpf_map_lookup_elem(&sum_buffers, &zero);
    if (!error || bpf_skb_load_bytes(skb, ETH_HLEN, &error->quoted_ip,
                                     sizeof(error->quoted_ip) + sizeof(error->quoted_l4)))
        return SFUNNEL_FAILED;
    fill_own_error(error, mtu);
    if (bpf_skb_store_bytes(skb, ETH_HLEN, error, sizeof(*error), 0) || swap_mac_addresses(skb))
        return SFUNNEL_FAILED;
    /* A mark would take it to where marked packets go. */
    skb->mark = 0;
    bpf_redirect(skb->ifindex, BPF_F_INGRESS);
    return SFUNNEL_TOO_BIG_REPORTED;
}

/* A packet as an error quotes it, and the carrier that it shows or came in. */
struct quote {
    struct sfunnel_flow flow; /* without carrier */
    struct carrier carrier;   /* as the quoted packet showed it */
    __u32 length;             /* of what is quoted behind the IP header */
    __u32 l4_length;          /* of the quoted packet behind its IP header, quoted or not */
    __u16 port;               /* source port under which the sender of the packet knows itself */
};

#define HEAD_OFFSET PLAIN_L4_OFFSET
#define QUOTE_OFFSET (HEAD_OFFSET + sizeof(struct error_head))

static __always_inline bool is_error(const struct icmp_header *icmp) {
    return icmp->type == ICMP_DEST_UNREACH || icmp->type == ICMP_TIME_EXCEEDED ||
           icmp->type == ICMP_PARAMETERPROB;
}

/* A whole IPv4 header without options or fragments, of a TCP or UDP packet. */
static __always_inline bool is_usable_quote(const struct iphdr *ip) {
    return ip->version == 4 && ip->ihl * 4 == sizeof(*ip) &&
           !(ip->frag_off & bpf_htons(IP_FRAGMENT_MASK)) &&
           (ip->protocol == IPPROTO_TCP || ip->protocol == IPPROTO_UDP) &&
           bpf_ntohs(ip->tot_len) >= sizeof(*ip) + QUOTED_LEAST;
}

/* An error with a wrong checksum must not get a right one. */
static __noinline bool is_intact(struct __sk_buff *skb, const struct packet *packet) {
    __s64 sum = sum_bytes(skb, packet->l4_offset, packet->l4_length);

    return sum >= 0 && sum_fold(sum) == 0xffff;
}

static __always_inline bool has_quoted_carrier_fields(const struct l4_start *start) {
    return start->tcp.seq == bpf_htonl(CARRIER_SEQ) && start->tcp.ack == bpf_htonl(CARRIER_ACK) &&
           start->tcp.offset == CARRIER_OFFSET && start->tcp.flags == TCP_FLAG_SYN &&
           start->tcp.window == bpf_htons(CARRIER_WINDOW);
}

/*
 * Did we send the quoted packet under this carrier, at the opposite hook: for a rule, or as a
 * reply? For a client whose port is remapped this does not tell.
 */
VERIFIED_ONCE bool left_in_carrier(const struct packet *packet, const struct quote *quote) {
    struct sfunnel_reply_key key;
    struct sfunnel_reply *known;

    if (!packet || !quote)
        return false;
    key_of_replies(&key, packet, &quote->flow, true);
    key.direction = packet->direction;
    known = bpf_map_lookup_elem(&replies, &key);
    if (known && same_carrier(known, &quote->carrier))
        return true;
    key_of_reply(&key, packet, &quote->flow, false);
    key.direction = opposite(packet->direction);
    known = bpf_map_lookup_elem(&replies, &key);
    return known && known->port == quote->flow.dport &&
           known->carrier_sport == quote->carrier.sport &&
           known->carrier_dport == quote->carrier.dport &&
           known->carrier_transport == quote->carrier.transport;
}

/* Did the quoted packet come in a carrier at the opposite hook, and in which? */
VERIFIED_ONCE bool came_in_carrier(const struct packet *packet, struct quote *quote) {
    struct sfunnel_reply_key key;
    struct sfunnel_reply *known;

    if (!packet || !quote)
        return false;
    quote->port = quote->flow.sport;
    key_of_replies(&key, packet, &quote->flow, false);
    key.direction = packet->direction;
    known = bpf_map_lookup_elem(&replies, &key);
    if (known) {
        quote->carrier.sport = known->carrier_dport;
        quote->carrier.dport = known->carrier_sport;
        quote->carrier.transport = known->carrier_transport;
        quote->port = known->port;
        return true;
    }
    key_of_reply(&key, packet, &quote->flow, true);
    key.direction = opposite(packet->direction);
    known = bpf_map_lookup_elem(&replies, &key);
    if (!known)
        return false;
    quote->carrier.sport = known->carrier_sport;
    quote->carrier.dport = known->carrier_dport;
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
    __u32 offset = QUOTE_OFFSET + size + place;
    __u16 checksum;

    if (quote->length < size + place + sizeof(checksum))
        return 0;
    if (read_header(skb, offset, &checksum, sizeof(checksum)))
        return -1;
    if (quote->flow.transport == IPPROTO_UDP && checksum == 0)
        return 0;
    checksum = moved_checksum(checksum, quote->flow.transport, difference);
    return bpf_skb_store_bytes(skb, offset, &checksum, sizeof(checksum), 0);
}

/* A length that cannot be stays as it is. */
static __always_inline void change_quote_words(struct icmp_header *icmp, __s32 growth) {
    __s32 words = icmp->quote_words + (growth >> 2);

    if (icmp->quote_words && words > 0 && words <= 0xff)
        icmp->quote_words = words;
}

/* Head and IP header of an error that has grown or shrunk by `growth` bytes, all sums anew. */
static __noinline int finish_error(struct __sk_buff *skb, struct packet *packet,
                                   struct error_head *head, __s32 growth) {
    struct ip_middle ip = changed_ip(&packet->ip, IPPROTO_ICMP, packet->ip_length + growth);
    __s64 sum;

    change_quote_words(&head->icmp, growth);
    head->icmp.checksum = 0;
    if (bpf_skb_store_bytes(skb, HEAD_OFFSET, head, sizeof(*head), 0) ||
        bpf_skb_store_bytes(skb, ETH_HLEN + IP_MIDDLE, &ip, sizeof(ip), 0))
        return -1;
    sum = sum_bytes(skb, HEAD_OFFSET, packet->l4_length + growth);
    if (sum < 0)
        return -1;
    head->icmp.checksum = checksum_of(sum);
    return bpf_skb_store_bytes(skb, HEAD_OFFSET + offsetof(struct icmp_header, checksum),
                               &head->icmp.checksum, sizeof(head->icmp.checksum), 0);
}

static __always_inline void change_quoted_ip(struct iphdr *ip, __u8 protocol, __u32 l4_length) {
    __u16 length = bpf_htons(sizeof(*ip) + l4_length);
    __u16 checksum = checksum_replace(ip->check, ip->tot_len, length);

    ip->check = checksum_replace(checksum, bpf_htons(ip->protocol), bpf_htons(protocol));
    ip->tot_len = length;
    ip->protocol = protocol;
}

/* "Fragmentation needed" tells what fits; a carrier more or less fits beside it. */
static __always_inline void change_reported_mtu(struct icmp_header *icmp, __s32 growth) {
    __u32 mtu = bpf_ntohs(icmp->mtu);

    if (icmp->type != ICMP_DEST_UNREACH || icmp->code != ICMP_FRAG_NEEDED || mtu == 0)
        return;
    mtu += growth;
    if ((growth > 0 || (__s32)mtu >= LEAST_MTU) && mtu <= IP_MAX_LENGTH)
        icmp->mtu = bpf_htons(mtu);
}

/* The quoted packet loses its carrier. */
static __noinline int unfunnel_error(struct __sk_buff *skb, struct packet *packet,
                                     struct error_head *head, const struct quote *quote) {
    __u32 size = carrier_size(quote->carrier.transport);
    /* What is cut out lies before the quote's carrier, and is then written over the carrier. */
    __u32 cut = size == sizeof(struct tcphdr)
                    ? bpf_csum_diff(NULL, 0, (__be32 *)head, sizeof(struct tcphdr), 0)
                    : bpf_csum_diff(NULL, 0, (__be32 *)head, sizeof(struct udphdr), 0);

    if (move_quoted_checksum(skb, quote, size, sum_addresses(&quote->flow)) ||
        bpf_skb_adjust_room(skb, -(__s32)size, BPF_ADJ_ROOM_NET, 0))
        return SFUNNEL_FAILED;
    change_quoted_ip(&head->ip, quote->flow.transport, quote->l4_length - size);
    change_reported_mtu(&head->icmp, -(__s32)size);
    if (finish_error(skb, packet, head, -(__s32)size))
        return SFUNNEL_FAILED;
    /* A right ICMP message sums to nothing before and after; only the cut was subtracted. */
    if (packet->direction == SFUNNEL_INGRESS)
        bpf_csum_update(skb, cut);
    return SFUNNEL_ERROR_UNFUNNELED;
}

/* The quoted packet gets the carrier that it came in, as it was. */
static __noinline int write_quoted_carrier(struct __sk_buff *skb, const struct quote *quote,
                                           __u32 size) {
    __u32 sum = ~sum_pseudo(quote->flow.transport, quote->l4_length);
    union carrier_header header;

    sum = sum_add(sum, sum_addresses(&quote->flow));
    sum = sum_add(sum, sum_pseudo(quote->carrier.transport, quote->l4_length + size));
    if (size == sizeof(header.tcp)) {
        fill_tcp_carrier(&header.tcp, quote->carrier.sport, quote->carrier.dport, sum);
        return bpf_skb_store_bytes(skb, QUOTE_OFFSET, &header.tcp, sizeof(header.tcp), 0);
    }
    fill_udp_carrier(&header.udp, quote->carrier.sport, quote->carrier.dport,
                     quote->l4_length + size, sum);
    return bpf_skb_store_bytes(skb, QUOTE_OFFSET, &header.udp, sizeof(header.udp), 0);
}

/* The quoted packet shows the client's own port again; the checksum covers it, if it is quoted. */
static __noinline int show_quoted_port(struct __sk_buff *skb, const struct quote *quote) {
    __u16 port = bpf_htons(quote->port), shown = bpf_htons(quote->flow.sport);

    if (move_quoted_checksum(skb, quote, 0, sum_add(port, (__u16)~shown)))
        return -1;
    return bpf_skb_store_bytes(skb, QUOTE_OFFSET, &port, sizeof(port), 0);
}

static __noinline int funnel_error(struct __sk_buff *skb, struct packet *packet,
                                   struct error_head *head, const struct quote *quote) {
    __u32 size = carrier_size(quote->carrier.transport);

    if (packet->ip_length + size > IP_MAX_LENGTH ||
        sizeof(struct iphdr) + quote->l4_length + size > IP_MAX_LENGTH)
        return SFUNNEL_NOT_TCP_UDP;
    if (move_quoted_checksum(skb, quote, 0, ~sum_addresses(&quote->flow)))
        return SFUNNEL_FAILED;
    if (quote->port != quote->flow.sport && show_quoted_port(skb, quote))
        return SFUNNEL_FAILED;
    if (bpf_skb_adjust_room(skb, size, BPF_ADJ_ROOM_NET, 0) ||
        write_quoted_carrier(skb, quote, size))
        return SFUNNEL_FAILED;
    change_quoted_ip(&head->ip, quote->carrier.transport, quote->l4_length + size);
    change_reported_mtu(&head->icmp, size);
    return finish_error(skb, packet, head, size) ? SFUNNEL_FAILED : SFUNNEL_ERROR_FUNNELED;
}

/* Is this the inner packet of the quoted carrier? */
static __always_inline bool is_quoted_inner(const struct packet *packet, struct quote *quote,
                                            const struct l4_start *inner, __u8 transport,
                                            __u32 size) {
    set_ports(&quote->flow, bpf_ntohs(inner->source), bpf_ntohs(inner->dest), transport,
              SFUNNEL_IPV4);
    if (transport == IPPROTO_UDP && bpf_ntohs(inner->udp.length) != quote->l4_length - size)
        return false;
    return left_in_carrier(packet, quote);
}

/* GO_ON if the quote shows no carrier of ours. */
static __noinline int try_quoted_carrier(struct __sk_buff *skb, struct packet *packet,
                                         struct error_head *head, struct quote *quote) {
    __u32 size = carrier_size(head->ip.protocol);
    struct l4_start start;

    if (head->ip.protocol == IPPROTO_TCP) {
        /* RFC 792 promises no more than 8 bytes, among them the sequence number. */
        if (quote->length < sizeof(start))
            return read_header(skb, QUOTE_OFFSET, &start, QUOTED_LEAST) ||
                           start.tcp.seq != bpf_htonl(CARRIER_SEQ)
                       ? GO_ON
                       : SFUNNEL_QUOTE_TOO_SHORT;
        if (read_header(skb, QUOTE_OFFSET, &start, sizeof(start)) ||
            !has_quoted_carrier_fields(&start))
            return GO_ON;
        if (quote->length < size + QUOTED_LEAST)
            return SFUNNEL_QUOTE_TOO_SHORT;
    } else if (quote->length < size + QUOTED_LEAST ||
               read_header(skb, QUOTE_OFFSET, &start, UDP_START)) {
        return GO_ON;
    }
    quote->carrier.sport = bpf_ntohs(start.source);
    quote->carrier.dport = bpf_ntohs(start.dest);
    quote->carrier.transport = head->ip.protocol;
    if (quote->l4_length < size + QUOTED_LEAST ||
        read_header(skb, QUOTE_OFFSET + size, &start, QUOTED_LEAST))
        return GO_ON;
    if (!is_quoted_inner(packet, quote, &start, IPPROTO_UDP, size) &&
        !is_quoted_inner(packet, quote, &start, IPPROTO_TCP, size))
        return GO_ON;
    return unfunnel_error(skb, packet, head, quote);
}

/* What is worked on, in a map because it is too much for the stack. */
struct error_report {
    struct packet packet; /* as far as it matters here */
    struct error_head head;
    struct quote quote;
};

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct error_report);
} error_reports SEC(".maps");

/* An ICMP packet without options; fragments do not come here. */
static __always_inline bool read_icmp_packet(struct __sk_buff *skb, __u32 direction,
                                             struct packet *packet) {
    struct iphdr ip;

    if (read_header(skb, ETH_HLEN, &ip, sizeof(ip)) || ip.ihl * 4 != sizeof(ip))
        return false;
    packet->ifindex = skb->ifindex;
    packet->direction = direction;
    packet->ip_length = bpf_ntohs(ip.tot_len);
    packet->l4_offset = HEAD_OFFSET;
    packet->l4_length = packet->ip_length - sizeof(ip);
    set_ip_middle(packet, &ip);
    return true;
}

static __always_inline bool read_error(struct __sk_buff *skb, __u32 direction,
                                       struct error_report *report) {
    const struct packet *packet = &report->packet;
    struct error_head *head = &report->head;
    struct quote *quote = &report->quote;

    if (!read_icmp_packet(skb, direction, &report->packet) ||
        packet->l4_length < sizeof(*head) + QUOTED_LEAST ||
        read_header(skb, HEAD_OFFSET, head, sizeof(*head)) || !is_error(&head->icmp) ||
        !is_usable_quote(&head->ip) || !is_intact(skb, packet))
        return false;
    quote->length = packet->l4_length - sizeof(*head);
    quote->l4_length = bpf_ntohs(head->ip.tot_len) - sizeof(head->ip);
    set_ipv4_addresses(&quote->flow, head->ip.saddr, head->ip.daddr);
    return true;
}

/* An error, perhaps about a packet of a flow that is funneled. */
__noinline int translate_error(struct __sk_buff *skb, __u32 direction) {
    __u32 zero = 0;
    struct error_report *report = bpf_map_lookup_elem(&error_reports, &zero);
    struct l4_start start;
    int outcome;

    if (!report || !read_error(skb, direction, report))
        return SFUNNEL_NOT_TCP_UDP;
    outcome = try_quoted_carrier(skb, &report->packet, &report->head, &report->quote);
    if (outcome != GO_ON)
        return outcome;

    if (read_header(skb, QUOTE_OFFSET, &start, QUOTED_LEAST))
        return SFUNNEL_NOT_TCP_UDP;
    set_ports(&report->quote.flow, bpf_ntohs(start.source), bpf_ntohs(start.dest),
              report->head.ip.protocol, SFUNNEL_IPV4);
    if (!came_in_carrier(&report->packet, &report->quote))
        return SFUNNEL_NOT_TCP_UDP;
    return funnel_error(skb, &report->packet, &report->head, &report->quote);
}

#endif
