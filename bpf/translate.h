/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * translate mode: TCP over TCP without a carrier. The destination port becomes the service port,
 * the SYN tells the other side which it was, and the SYN-ACK confirms that the other side has heard
 * it.
 */
#ifndef SFUNNEL_TRANSLATE_H
#define SFUNNEL_TRANSLATE_H

#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "cache.h"
#include "checksum.h"
#include "classify.h"
#include "connections.h"
#include "encap.h"
#include "form.h"
#include "maps.h"
#include "packet.h"
#include "parse.h"
#include "reset.h"
#include "tcp_options.h"

/* Where the fields of a TCP header lie that are written apart. */
#define TCP_CHECKSUM 16
#define TCP_URGENT 18

/* The header as it is to be, of which nothing is changed yet. */
static __always_inline struct l4_start *begin_change(struct packet *packet) {
    packet->changed_start = packet->start;
    return &packet->changed_start;
}

static __always_inline void change_ports(struct l4_start *start, __u16 sport, __u16 dport) {
    start->source = bpf_htons(sport);
    start->dest = bpf_htons(dport);
}

/*
 * Writes the changed header. None of it is part of the pseudo header, so under CHECKSUM_PARTIAL the
 * helper leaves the seed alone, and all offloads go on.
 */
__noinline int write_change(struct __sk_buff *skb) {
    struct packet *packet = packet_under_way();
    __s64 difference;
    __u32 place;

    if (!packet)
        return -1;
    place = packet->l4_offset + TCP_CHECKSUM;
    /* In both, so it has no part in the difference. */
    packet->changed_start.tcp.checksum = packet->start.tcp.checksum;
    difference = bpf_csum_diff((__be32 *)&packet->start, sizeof(packet->start),
                               (__be32 *)&packet->changed_start, sizeof(packet->changed_start), 0);
    if (difference < 0 || bpf_l4_csum_replace(skb, place, 0, difference, 0) ||
        bpf_skb_store_bytes(skb, packet->l4_offset, &packet->changed_start, TCP_CHECKSUM, 0))
        return -1;
    return write_word(skb, packet->l4_offset + TCP_URGENT, packet->changed_start.tcp.urgent, 0);
}

/* Through a pointer, into a header that the helper before has made writable. */
static __always_inline bool write_ports_if_plain(struct __sk_buff *skb, const struct packet *packet,
                                                 __u32 ports) {
    void *end = (void *)(long)skb->data_end, *l4 = plain_l4(skb, packet);

    if (!is_plain(packet) || l4 + sizeof(ports) > end)
        return false;
    *(__u32 *)l4 = ports;
    return true;
}

/* The most common change, ports alone. */
static __always_inline int write_ports(struct __sk_buff *skb, const struct packet *packet,
                                       __u16 sport, __u16 dport) {
    __u32 place = packet->l4_offset + TCP_CHECKSUM;
    __u32 from = (__u32)packet->start.dest << 16 | packet->start.source;
    /* A whole slot of the stack (see struct packet), of which the first bytes are stored. */
    __u64 to = (__u32)bpf_htons(dport) << 16 | bpf_htons(sport);

    if (bpf_l4_csum_replace(skb, place, from, (__u32)to, sizeof(from)))
        return -1;
    if (write_ports_if_plain(skb, packet, to))
        return 0;
    return bpf_skb_store_bytes(skb, packet->l4_offset, &to, sizeof(from), 0);
}

/* GO_ON for a real connection that goes on as it is. */
static __always_inline int outcome_of(__u8 kind, bool is_changed) {
    switch (kind) {
    case SFUNNEL_FUNNEL:
        return SFUNNEL_FUNNELED;
    case SFUNNEL_UNFUNNEL:
        return SFUNNEL_UNFUNNELED;
    case SFUNNEL_FUNNELED_REPLY:
        return SFUNNEL_REPLY_UNFUNNELED;
    case SFUNNEL_UNFUNNELED_REPLY:
        return SFUNNEL_REPLY_FUNNELED;
    default:
        return is_changed ? SFUNNEL_DIRECT_REMAPPED : GO_ON;
    }
}

/* Gives the packet its ports. */
static __always_inline int go_on(struct __sk_buff *skb, struct packet *packet, __u8 kind,
                                 __u16 sport, __u16 dport) {
    bool is_changed = sport != packet->flow.sport || dport != packet->flow.dport;

    if (is_changed && write_ports(skb, packet, sport, dport))
        return SFUNNEL_FAILED;
    return outcome_of(kind, is_changed);
}

static __always_inline bool has_payload(const struct packet *packet) {
    return tcp_header_length(packet) < packet->l4_length;
}

/*
 * Cuts the payload off a SYN: no byte may go out before the other side has confirmed, and servers
 * that take data without the option exist. The sender sends it again, as it would if fast open had
 * failed. CHECKSUM_COMPLETE is kept true: the part that is cut is subtracted from it by the kernel,
 * what changes in the headers is told to it.
 */
__noinline int cut_payload(struct __sk_buff *skb) {
    struct packet *packet = packet_under_way();
    __u32 header_length, length, place, lengths;
    __s64 sum;

    if (!packet)
        return -1;
    if (!has_payload(packet))
        return 0;
    header_length = tcp_header_length(packet);
    length = packet->l4_length - header_length;
    place = packet->l4_offset + TCP_CHECKSUM;
    sum = sum_bytes(skb, packet->l4_offset + header_length, length);
    lengths = bpf_htons(header_length) + (__u16)~bpf_htons(packet->l4_length);
    packet->changed_ip = changed_ip(&packet->ip, IPPROTO_TCP, -(__s32)length);
    if (sum < 0 || bpf_l4_csum_replace(skb, place, 0, lengths, BPF_F_PSEUDO_HDR) ||
        bpf_l4_csum_replace(skb, place, 0, ~(__u32)sum, 0) || write_ip_by_helper(skb, packet))
        return -1;
    if (packet->direction == SFUNNEL_INGRESS)
        bpf_csum_update(skb, sum_add(sum, sum_growth(packet)));
    packet->ip = packet->changed_ip;
    packet->l4_length = header_length;
    return bpf_skb_change_tail(skb, packet->l4_offset + header_length, 0);
}

/* The packet goes on with the ports of its connection, as a segment of nothing but these flags. */
static __always_inline int turn_into(struct __sk_buff *skb, struct packet *packet, __u8 flags,
                                     __u32 ack, int outcome) {
    struct l4_start *changed = begin_change(packet);

    change_ports(changed, packet->known.sport, packet->known.dport);
    changed->tcp.flags = flags;
    changed->tcp.ack = ack;
    changed->tcp.urgent = 0;
    return write_change(skb) ? SFUNNEL_FAILED : outcome;
}

/* A SYN on the ports of a connection that lives: whoever owns it says what is right. */
__noinline int challenge(struct __sk_buff *skb) {
    struct packet *packet = packet_under_way();

    if (!packet)
        return SFUNNEL_FAILED;
    return turn_into(skb, packet, TCP_FLAG_ACK, 0, SFUNNEL_TRANSLATE_CHALLENGED);
}

/*
 * The answer to a SYN that has not been understood on the way: nobody may go on after that. If the
 * connection is established, it is not the answer, and whoever gets the reset knows that it is none
 * for him (RFC 5961); the entry stays.
 */
__noinline int refuse(struct __sk_buff *skb) {
    struct packet *packet = packet_under_way();

    if (!packet)
        return SFUNNEL_FAILED;
    if (!packet->known.is_established)
        remove_known(packet);
    return turn_into(skb, packet, TCP_FLAG_RST | TCP_FLAG_ACK, packet->start.tcp.ack,
                     SFUNNEL_TRANSLATE_UNCONFIRMED);
}

static __always_inline int outcome_without_port(int reason) {
    return reason == BEGINNING_NO_PORT ? SFUNNEL_NO_FREE_PORT : SFUNNEL_FAILED;
}

/* Client side: a connection begins that a rule is about. */
__noinline int begin_funneled(struct __sk_buff *skb, __u32 service) {
    struct packet *packet = packet_under_way();
    struct l4_start *changed;
    __u16 original;
    __u32 end;
    int port;

    if (!packet)
        return SFUNNEL_FAILED;
    original = packet->flow.dport;
    end = packet->l4_offset + packet->l4_length;

    read_options(skb, packet, packet->l4_offset, end);
    if (packet->options.is_signed) {
        remove_known(packet);
        return SFUNNEL_TRANSLATE_SIGNED;
    }
    port = begin_known(SFUNNEL_FUNNEL, service);
    if (port < 0)
        port = begin_new(SFUNNEL_FUNNEL, service);
    if (port < 0)
        return outcome_without_port(port);
    if (packet->options.has_fast_open || has_payload(packet))
        count_event(SFUNNEL_CONNECTION_FAST_OPEN_REMOVED);
    if (packet->options.has_fast_open && remove_fast_open(skb, packet, end))
        return SFUNNEL_FAILED;
    if (cut_payload(skb))
        return SFUNNEL_FAILED;
    changed = begin_change(packet);
    change_ports(changed, port, service);
    changed->tcp.ack = bpf_htonl(MARK << 16 | original);
    changed->tcp.urgent = bpf_htons((__u16)~original);
    changed->tcp.flags &= ~TCP_FLAG_URG;
    return write_change(skb) ? SFUNNEL_FAILED : SFUNNEL_FUNNELED;
}

/* Service side: may this port be put back, by the rule that has matched? */
static __noinline bool may_put_back(struct packet *packet, __u32 generation, __u32 port) {
    void *rules = look_up(&rulesets, list_in_force(packet, generation));
    struct sfunnel_rule *rule;

    if (!rules)
        return false;
    rule = look_up(rules, packet->rule_index - 1);
    return rule && rule_allows(rule, port);
}

/* Service side: do these ports belong to a connection that lives, to another port than this one? */
static __always_inline bool is_another_alive(const struct packet *packet, __u32 original) {
    const struct sfunnel_connection *known = &packet->known;

    return known->kind == SFUNNEL_UNFUNNEL && known->dport != original && is_alive(known);
}

/* Service side: a SYN has brought its mark. */
__noinline int begin_unfunneled(struct __sk_buff *skb, __u32 generation) {
    struct packet *packet = packet_under_way();
    struct l4_start *changed;
    __u16 original;
    int port;

    if (!packet)
        return SFUNNEL_FAILED;
    original = marked_port(&packet->start);

    if (!may_put_back(packet, generation, original)) {
        answer_by_reset(skb);
        return SFUNNEL_TRANSLATE_NOT_ALLOWED;
    }
    if (is_another_alive(packet, original))
        return challenge(skb);
    port = begin_known(SFUNNEL_UNFUNNEL, original);
    if (port < 0)
        port = begin_new(SFUNNEL_UNFUNNEL, original);
    if (port < 0)
        return outcome_without_port(port);
    changed = begin_change(packet);
    change_ports(changed, port, original);
    changed->tcp.ack = 0;
    changed->tcp.urgent = 0;
    return write_change(skb) ? SFUNNEL_FAILED : SFUNNEL_UNFUNNELED;
}

/* A SYN of a real connection of which nothing is known. */
static __always_inline int begin_new_direct(struct __sk_buff *skb, struct packet *packet,
                                            __u32 shared_ports) {
    int port;

    if (!shared_ports || !set_holds_port(shared_ports, packet->flow.dport))
        return GO_ON;
    port = begin_new(SFUNNEL_DIRECT, packet->flow.dport);
    if (port == BEGINNING_NO_PORT)
        return SFUNNEL_NO_FREE_PORT;
    return port < 0 ? GO_ON : go_on(skb, packet, SFUNNEL_DIRECT, port, packet->flow.dport);
}

/*
 * A SYN that no rule translates. It is a real connection, whatever its ports have been before:
 * those that are translated begin with a rule's or with a mark.
 */
static __noinline int begin_direct(struct __sk_buff *skb, struct packet *packet,
                                   __u32 shared_ports) {
    const struct sfunnel_connection *known = &packet->known;

    switch (known->kind) {
    case SFUNNEL_UNFUNNEL:
        if (is_alive(known))
            return challenge(skb);
        remove_known(packet);
        break;
    case SFUNNEL_FUNNEL:
        remove_known(packet);
        break;
    case SFUNNEL_FUNNELED_REPLY:
        return refuse(skb);
    case SFUNNEL_UNFUNNELED_REPLY:
        note_state();
        break;
    case SFUNNEL_DIRECT:
    case SFUNNEL_DIRECT_REPLY:
        begin_again(packet);
        break;
    }
    if (!is_known(packet))
        return begin_new_direct(skb, packet, shared_ports);
    return go_on(skb, packet, known->kind, known->sport, known->dport);
}

/* One of a connection that is not known. */
static __noinline int continue_unknown(struct __sk_buff *skb, struct packet *packet,
                                       struct cached_flow *cached, __u32 shared_ports) {
    __u32 kind = cached->rule_index ? cached->kind : SFUNNEL_NO_KIND;
    __u32 end = packet->l4_offset + packet->l4_length;

    if (kind == SFUNNEL_FUNNEL_TRANSLATE) {
        if (accepts_connection(packet->tcp_flags)) {
            adopt();
            return SFUNNEL_TRANSLATE_INBOUND;
        }
        read_options(skb, packet, packet->l4_offset, end);
        if (packet->options.is_signed)
            return SFUNNEL_TRANSLATE_SIGNED;
        answer_by_reset(skb);
        return SFUNNEL_TRANSLATE_LOST;
    }
    if (shared_ports && set_holds_port(shared_ports, packet->flow.dport))
        packet->is_adoptable = !(packet->tcp_flags & TCP_FLAG_RST);
    else
        cache_no_connection(cached);
    return GO_ON;
}

/* Is this the answer of somebody who has put our port back? */
static __always_inline bool is_confirmed(const struct packet *packet) {
    return accepts_connection(packet->tcp_flags) && !(packet->tcp_flags & TCP_FLAG_URG) &&
           packet->known.sport != 0 && packet->start.tcp.urgent == bpf_htons(packet->known.sport);
}

/* Is it an answer that has to confirm, or has confirmed? */
static __always_inline bool is_answer(const struct packet *packet) {
    return accepts_connection(packet->tcp_flags) && !(packet->tcp_flags & TCP_FLAG_URG) &&
           !is_direct(packet->known.kind) && is_reply_kind(packet->known.kind);
}

/* An answer goes on with the confirmation of the service side, and without it at the client. */
static __noinline int answer(struct __sk_buff *skb, struct packet *packet) {
    struct l4_start *changed = begin_change(packet);

    change_ports(changed, packet->known.sport, packet->known.dport);
    changed->tcp.urgent = packet->known.kind == SFUNNEL_UNFUNNELED_REPLY ? packet->start.source : 0;
    return write_change(skb) ? SFUNNEL_FAILED : outcome_of(packet->known.kind, true);
}

/*
 * A packet that is not the SYN of a connection. What is known of the connection is read again
 * behind each call: verifiers before 6.12 let nobody save half a register on the stack twice
 * without CAP_PERFMON.
 */
static __noinline int continue_connection(struct __sk_buff *skb, struct packet *packet,
                                          struct cached_flow *cached, __u32 shared_ports) {
    const struct sfunnel_connection *known = &packet->known;

    if (!is_known(packet))
        return continue_unknown(skb, packet, cached, shared_ports);
    if (known->kind == SFUNNEL_FUNNELED_REPLY && packet->tcp_flags & TCP_FLAG_SYN &&
        !is_confirmed(packet))
        return refuse(skb);
    if (may_change_state(packet))
        note_state();
    if (is_answer(packet))
        return answer(skb, packet);
    /* Until it is established, every packet may be the one that says so. */
    if (!(packet->tcp_flags & (TCP_FLAG_SYN | TCP_FLAG_FIN | TCP_FLAG_RST)) &&
        known->is_established)
        cache_connection(cached, known->kind, known->sport, known->dport);
    return go_on(skb, packet, known->kind, known->sport, known->dport);
}

/*
 * A part of a packet's way that the verifier looks at once: what follows it would be looked at once
 * more for each way through it. Before 5.17, where more of the program is like that, it is the
 * whole of translate(); calls are no deeper than 8.
 */
#if HAS_LOOP_HELPER
#define PASSED_ONCE __noinline
#define PASSED_ONCE_BEFORE static __always_inline
#else
#define PASSED_ONCE static __always_inline
#define PASSED_ONCE_BEFORE __noinline
#endif

/* Looks a TCP packet up in the table of connections. GO_ON: the rules say what becomes of it. */
PASSED_ONCE int ask_connections(struct __sk_buff *skb, __u32 shared_ports) {
    struct packet *packet = packet_under_way();
    struct cached_flow *cached;
    __u32 kind;

    if (!packet)
        return SFUNNEL_FAILED;
    cached = look_up(&cached_flows, packet->cached_slot);
    if (!cached)
        return SFUNNEL_FAILED;
    cached->connections_added = connections_added;
    cached->connections_removed = connections_removed;
    set_no_connection_known(cached);
    find_connection(packet);
    if (!offers_connection(packet->tcp_flags))
        return continue_connection(skb, packet, cached, shared_ports);
    kind = cached->rule_index ? cached->kind : SFUNNEL_NO_KIND;
    if (kind == SFUNNEL_FUNNEL_TRANSLATE)
        return begin_funneled(skb, cached->carrier_dport);
    if (kind == SFUNNEL_UNFUNNEL_TRANSLATE && packet->flow.form == SFUNNEL_MARKED)
        return begin_unfunneled(skb, cached->generation);
    if (kind == SFUNNEL_FUNNEL_ENCAP) {
        remove_known(packet);
        return GO_ON;
    }
    return begin_direct(skb, packet, shared_ports);
}

/*
 * Nothing of translate concerns it: UDP, carriers, which are no connections, and what goes between
 * ports that no rule speaks of.
 */
static __always_inline bool has_no_connection(const struct packet *packet) {
    return packet->flow.transport != IPPROTO_TCP || packet->flow.form == SFUNNEL_CARRIER ||
           (!is_translated_port(packet->flow.dport) && !is_translated_port(packet->flow.sport));
}

/* The same, of most packets without a look at the table. */
PASSED_ONCE_BEFORE int translate(struct __sk_buff *skb, __u32 shared_ports) {
    struct packet *packet = packet_under_way();
    struct cached_flow *cached;

    if (!packet)
        return SFUNNEL_FAILED;
    if (has_no_connection(packet))
        return GO_ON;
    cached = look_up(&cached_flows, packet->cached_slot);
    if (!cached)
        return SFUNNEL_FAILED;
    if (!(packet->tcp_flags & (TCP_FLAG_SYN | TCP_FLAG_FIN | TCP_FLAG_RST)) &&
        has_fresh_connection(cached)) {
        if (!cached->connection)
            return GO_ON;
        return go_on(skb, packet, cached->connection, cached->connection_sport,
                     cached->connection_dport);
    }
    return ask_connections(skb, shared_ports);
}

#endif
