/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The table of connections whose ports are translated, and of real ones that could be taken for
 * them. A connection has two entries, for its packets and for its replies, each under what the
 * packet shows when it comes to its hook, and saying with which ports it goes on. What answers the
 * rewritten packet is rewritten back, so either entry follows from the other: one that made room
 * for others is put back as long as the other is there.
 *
 * A packet finds its connection under packet->reply_key; the key of the other entry, its twin, is
 * made in packet->twin_key. What was found is copied to packet->known: without CAP_PERFMON the
 * verifier follows a NULL that it knows of as if it were none, so pointers to entries are not
 * handed around.
 */
#ifndef SFUNNEL_CONNECTIONS_H
#define SFUNNEL_CONNECTIONS_H

#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "cache.h"
#include "count.h"
#include "flows.h"
#include "hash.h"
#include "maps.h"
#include "packet.h"
#include "parse.h"

#define SECONDS 1000000000ULL

/*
 * Seconds of silence after which a connection is none any more and its ports are free: that is
 * over (TIME_WAIT of Linux: late segments have come by then), that was never established (more than
 * lies between two SYNs of the same connection), and any other (what nf_conntrack gives it).
 */
const volatile __u32 seconds_over = 60;
const volatile __u32 seconds_beginning = 120;
const volatile __u32 seconds_established = 432000;

/* How far behind the SYN-ACK an acknowledgment may be that establishes a connection: 65,535. */
#define ANSWER_WINDOW_BITS 16

/* Ports that are tried for a connection whose own is taken. */
#define CONNECTION_PORT_CANDIDATES 8

static __always_inline bool is_reply_kind(__u8 kind) {
    return kind & SFUNNEL_IS_REPLY;
}

static __always_inline bool is_direct(__u8 kind) {
    return kind == SFUNNEL_DIRECT || kind == SFUNNEL_DIRECT_REPLY;
}

/* Do packets of this kind leave with the service port, or come with it? */
static __always_inline bool is_to_service_port(__u8 kind) {
    return kind == SFUNNEL_FUNNEL || kind == SFUNNEL_UNFUNNELED_REPLY;
}

static __always_inline bool is_over_for_good(const struct sfunnel_connection *connection) {
    return (connection->has_fin && connection->has_reply_fin) || connection->reset;
}

static __always_inline bool is_expired(const struct sfunnel_connection *connection, __u64 now) {
    __s64 silence = now - connection->last_seen;

    if (is_over_for_good(connection))
        return silence > (__s64)(seconds_over * SECONDS);
    if (!connection->is_established)
        return silence > (__s64)(seconds_beginning * SECONDS);
    return silence > (__s64)(seconds_established * SECONDS);
}

/* Of the entry under `key`, which leaves with these ports. */
static __always_inline void set_twin_key(struct sfunnel_reply_key *twin,
                                         const struct sfunnel_reply_key *key, __u16 sport,
                                         __u16 dport) {
    __builtin_memcpy(twin->saddr, key->daddr, sizeof(twin->saddr));
    __builtin_memcpy(twin->daddr, key->saddr, sizeof(twin->daddr));
    twin->sport = dport;
    twin->dport = sport;
    twin->transport = key->transport;
    twin->to_unfunnel = 0;
    twin->direction = opposite(key->direction);
    twin->family = key->family;
    twin->ifindex = key->ifindex;
}

/*
 * Takes the entry of packet->removed_key out of its table, and its twin. Global, as what is called
 * from many places: the verifier looks at it once and not once a call.
 */
__noinline int remove_both(__u32 sport, __u32 dport) {
    struct packet *packet = packet_under_way();
    struct sfunnel_reply_key *twin;

    if (!packet)
        return -1;
    twin = &packet->removed_twin_key;
    set_twin_key(twin, &packet->removed_key, sport, dport);
    if (bpf_map_delete_elem(&connections, twin))
        bpf_map_delete_elem(&beginnings, twin);
    if (bpf_map_delete_elem(&connections, &packet->removed_key) == 0)
        count_event(SFUNNEL_CONNECTION_GONE);
    else if (bpf_map_delete_elem(&beginnings, &packet->removed_key))
        return 0;
    __sync_fetch_and_add(&connections_removed, 1);
    count_event(SFUNNEL_CONNECTION_REMOVED);
    return 0;
}

static __always_inline void remove_connection(struct packet *packet,
                                              const struct sfunnel_reply_key *key, __u16 sport,
                                              __u16 dport) {
    packet->removed_key = *key;
    remove_both(sport, dport);
}

/* Puts an entry, made in packet->connection, into its table. */
static __always_inline int add_entry(struct packet *packet, const struct sfunnel_reply_key *key) {
    if (packet->connection.is_kept)
        return bpf_map_update_elem(&connections, key, &packet->connection, BPF_ANY);
    return bpf_map_update_elem(&beginnings, key, &packet->connection, BPF_ANY);
}

static __always_inline struct sfunnel_connection *
look_up_connection(const struct sfunnel_reply_key *key) {
    struct sfunnel_connection *kept = bpf_map_lookup_elem(&connections, key);

    return kept ? kept : bpf_map_lookup_elem(&beginnings, key);
}

/* The same where it is known which table it is in. */
static __always_inline struct sfunnel_connection *look_up_in(bool is_kept,
                                                             const struct sfunnel_reply_key *key) {
    if (is_kept)
        return bpf_map_lookup_elem(&connections, key);
    return bpf_map_lookup_elem(&beginnings, key);
}

/* The entry of the other direction as this one has it. */
static __always_inline void make_twin(struct packet *packet,
                                      const struct sfunnel_connection *connection) {
    struct sfunnel_connection *twin = &packet->connection;

    *twin = *connection;
    twin->kind ^= SFUNNEL_IS_REPLY;
    twin->sport = packet->reply_key.dport;
    twin->dport = packet->reply_key.sport;
}

/* One that has been over for long enough, or whose place another one wants, leaves the table. */
static __always_inline void remove_closing(struct packet *packet) {
    struct sfunnel_closing *closing = &packet->closing;
    struct sfunnel_connection *connection;

    if (bpf_map_pop_elem(&closings, closing))
        return;
    connection = bpf_map_lookup_elem(&connections, &closing->key);
    if (connection && is_over_for_good(connection))
        remove_connection(packet, &closing->key, connection->sport, connection->dport);
}

/* Does so with the oldest, when it is time. */
static __always_inline void remove_one_over(struct packet *packet) {
    struct sfunnel_closing *closing = &packet->closing;

    if (bpf_map_peek_elem(&closings, closing))
        return;
    if ((__s64)(coarse_clock() - closing->since) > (__s64)(seconds_over * SECONDS))
        remove_closing(packet);
}

static __always_inline int push_end(struct packet *packet) {
    struct sfunnel_closing *closing = &packet->closing;

    closing->since = coarse_clock();
    closing->key = packet->reply_key;
    closing->zero = 0;
    return bpf_map_push_elem(&closings, closing, 0);
}

static __always_inline void remember_end(struct packet *packet) {
    if (push_end(packet) == 0)
        return;
    remove_closing(packet);
    push_end(packet);
}

/* What is known of the state of a connection, as one number: that is what functions take. */
static __always_inline __u32 make_state(__u32 has_answer, __u32 is_established, __u32 fins,
                                        __u32 reset) {
    return has_answer | is_established << 8 | fins << 16 | reset << 24;
}

static __always_inline __u32 state_of(const struct sfunnel_connection *connection) {
    return make_state(connection->has_answer, connection->is_established,
                      connection->has_fin | connection->has_reply_fin << 1, connection->reset);
}

static __always_inline void tell(struct sfunnel_connection *connection, __u32 state,
                                 __u32 answer_seq) {
    connection->has_answer = state;
    connection->is_established = state >> 8;
    connection->has_fin = state >> 16 & 1;
    connection->has_reply_fin = state >> 17 & 1;
    connection->reset = state >> 24;
    connection->answer_seq = answer_seq;
}

/* A connection that was only begun and is established now: from now on it is kept. */
static __noinline void keep_connection(struct packet *packet) {
    const struct sfunnel_reply_key *key = &packet->reply_key, *twin = &packet->twin_key;

    packet->known.is_kept = true;
    packet->connection = packet->known;
    /* In both tables for a moment, so that nobody misses it. */
    add_entry(packet, key);
    make_twin(packet, &packet->known);
    add_entry(packet, twin);
    bpf_map_delete_elem(&beginnings, key);
    bpf_map_delete_elem(&beginnings, twin);
    count_event(SFUNNEL_CONNECTION_KEPT);
}

/* What both entries are told, that of the packet and its twin. */
__noinline int set_state(__u32 state, __u32 answer_seq) {
    struct packet *packet = packet_under_way();
    struct sfunnel_connection *connection;

    if (!packet)
        return -1;
    tell(&packet->known, state, answer_seq);
    if (packet->known.is_established && !packet->known.is_kept) {
        keep_connection(packet);
        return 0;
    }
    connection = look_up_in(packet->known.is_kept, &packet->reply_key);
    if (connection)
        tell(connection, state, answer_seq);
    connection = look_up_in(packet->known.is_kept, &packet->twin_key);
    if (connection)
        tell(connection, state, answer_seq);
    return 0;
}

/* The other entry has been seen as well, and is there if it was not. */
static __noinline void see_twin(struct packet *packet) {
    struct sfunnel_connection *twin = look_up_in(packet->known.is_kept, &packet->twin_key);

    if (twin) {
        twin->last_seen = packet->known.last_seen;
        return;
    }
    make_twin(packet, &packet->known);
    add_entry(packet, &packet->twin_key);
}

/*
 * Looks the packet's connection up, into packet->known. Where it is kept, its twin is there as well
 * afterwards, and both have been seen; one that has only begun is soon kept, or over.
 */
static __noinline void find_connection(struct packet *packet) {
    struct sfunnel_reply_key *key = key_of_reply(packet, &packet->flow, false);
    struct sfunnel_connection *known = look_up_connection(key);
    __u64 now;

    packet->known.kind = 0;
    if (!known)
        return;
    now = coarse_clock();
    if (is_expired(known, now)) {
        remove_connection(packet, key, known->sport, known->dport);
        return;
    }
    set_twin_key(&packet->twin_key, key, known->sport, known->dport);
    known->last_seen = now;
    packet->known = *known;
    if (packet->known.is_kept)
        see_twin(packet);
}

static __always_inline bool is_known(const struct packet *packet) {
    return packet->known.kind != 0;
}

/*
 * Is a connection over, as far as one can believe it? What comes from the wire to the service port
 * may be anybody's: a reset with a wrong sequence number, which the pod ignores (RFC 5961), must
 * not be enough for a SYN to take the ports of a connection that lives.
 */
static __always_inline bool is_dead(const struct sfunnel_connection *connection) {
    if (connection->kind != SFUNNEL_UNFUNNEL)
        return is_over_for_good(connection);
    return (connection->has_fin && connection->has_reply_fin) ||
           connection->reset == SFUNNEL_RESET_BY_REPLY;
}

static __always_inline bool is_alive(const struct sfunnel_connection *connection) {
    return connection->is_established && !is_dead(connection);
}

/*
 * A SYN comes: a connection that was over begins anew, and whoever has said a reset takes it back.
 * What CPUs have cached of the one before is not about this one.
 */
static __noinline void begin_again(struct packet *packet) {
    const struct sfunnel_connection *known = &packet->known;

    if (is_dead(known)) {
        set_state(0, 0);
        __sync_fetch_and_add(&connections_removed, 1);
    } else if (known->reset) {
        set_state(state_of(known) & 0xffffff, known->answer_seq);
    }
}

/* Whatever the table holds of these ports, it is none of this any more. */
static __always_inline void remove_known(struct packet *packet) {
    if (!is_known(packet))
        return;
    packet->known.kind = 0;
    remove_connection(packet, &packet->reply_key, packet->known.sport, packet->known.dport);
}

/* Has somebody the place of packet->twin_key, with this port? */
__noinline int is_taken(__u32 port) {
    struct packet *packet = packet_under_way();
    struct sfunnel_connection *known;
    struct sfunnel_reply_key *key;

    if (!packet)
        return true;
    key = &packet->twin_key;
    key->dport = port;
    known = look_up_connection(key);
    if (!known)
        return false;
    if (!is_expired(known, coarse_clock()))
        return true;
    remove_connection(packet, key, known->sport, known->dport);
    return false;
}

/*
 * The source port that tells the connection from others, its own if it can be; negative if there is
 * none. Others are looked for in an order that every connection has for itself, and its SYN when it
 * is sent again too.
 */
static __always_inline int free_port(struct packet *packet) {
    __u32 hash;

    if (!is_taken(packet->flow.sport))
        return packet->flow.sport;
    hash = flow_hash_word(flow_hash(&packet->flow), bpf_ntohl(packet->start.tcp.seq));
#pragma unroll
    for (__u32 attempt = 0; attempt < CONNECTION_PORT_CANDIDATES; attempt++) {
        __u64 spread = flow_hash_word(hash, attempt);
        __u16 candidate = LOWEST_CANDIDATE + (spread * (65536 - LOWEST_CANDIDATE) >> 32);

        if (!is_taken(candidate))
            return candidate;
    }
    return -1;
}

/* Both entries of a connection that leaves with these ports, and has begun. */
__noinline int add_connection(__u32 kind, __u32 sport, __u32 dport) {
    struct packet *packet = packet_under_way();
    struct sfunnel_connection *connection;

    if (!packet)
        return -1;
    connection = &packet->connection;
    remove_one_over(packet);
    set_twin_key(&packet->twin_key, &packet->reply_key, sport, dport);
    __builtin_memset(connection, 0, sizeof(*connection));
    connection->last_seen = coarse_clock();
    connection->sport = sport;
    connection->dport = dport;
    connection->kind = kind;
    if (add_entry(packet, &packet->reply_key)) {
        count_event(SFUNNEL_CONNECTION_NOT_ADDED);
        return -1;
    }
    make_twin(packet, connection);
    if (add_entry(packet, &packet->twin_key)) {
        bpf_map_delete_elem(&beginnings, &packet->reply_key);
        count_event(SFUNNEL_CONNECTION_NOT_ADDED);
        return -1;
    }
    __sync_fetch_and_add(&connections_added, 1);
    count_event(SFUNNEL_CONNECTION_ADDED);
    return 0;
}

/* What a connection begins with. */
enum beginning {
    BEGINNING_NO_PORT = -1,
    BEGINNING_NO_ROOM = -2,
};

/* The source port of the same connection, if it is known; another one of these ports has to go. */
__noinline int begin_known(__u32 kind, __u32 dport) {
    struct packet *packet = packet_under_way();

    if (!packet)
        return BEGINNING_NO_ROOM;
    if (packet->known.kind == kind && packet->known.dport == dport) {
        see_twin(packet);
        begin_again(packet);
        return packet->known.sport;
    }
    remove_known(packet);
    return BEGINNING_NO_PORT;
}

/* A connection to `dport`, of which nothing is known: gives its source port, or why it has none. */
__noinline int begin_new(__u32 kind, __u32 dport) {
    struct packet *packet = packet_under_way();
    int port;

    if (!packet)
        return BEGINNING_NO_ROOM;
    set_twin_key(&packet->twin_key, &packet->reply_key, packet->flow.sport, dport);
    port = free_port(packet);
    if (port < 0)
        return BEGINNING_NO_PORT;
    if (add_connection(kind, port, dport))
        return BEGINNING_NO_ROOM;
    if (port != packet->flow.sport)
        count_event(SFUNNEL_CONNECTION_REMAPPED);
    return port;
}

/*
 * A real connection that is under way and goes on as it is; not if another one has its place. It is
 * established when it is answered: any packet may come out of nowhere.
 */
__noinline int adopt(void) {
    struct packet *packet = packet_under_way();
    __u16 sport, dport;

    if (!packet)
        return -1;
    sport = packet->flow.sport;
    dport = packet->flow.dport;
    set_twin_key(&packet->twin_key, key_of_reply(packet, &packet->flow, false), sport, dport);
    if (!is_taken(sport))
        add_connection(SFUNNEL_DIRECT, sport, dport);
    return 0;
}

/* 1 for equal numbers below 2^31, else 0, without a branch. */
static __always_inline __u32 is_equal(__u32 one, __u32 other) {
    __u32 difference = one ^ other;

    barrier_var(difference);
    difference = (difference - 1) >> 31;
    barrier_var(difference);
    return difference;
}

static __always_inline __u32 flag_of(__u32 flags, __u32 flag) {
    return is_equal(flags & flag, flag);
}

/* `yes` for a condition of 1, `no` for one of 0, without a branch. */
static __always_inline __u32 choose(__u32 condition, __u32 yes, __u32 no) {
    __u32 mask = 0 - condition;

    barrier_var(mask);
    return (yes & mask) | (no & ~mask);
}

/*
 * A packet of the connection, and not a SYN that begins it, comes by. What it says is worked out
 * without branches: verifiers before 6.12 follow each of them both ways and on to the end, and of
 * ten there are a thousand ways.
 */
__noinline int note_state(void) {
    struct packet *packet = packet_under_way();
    __u32 flags, rst, syn, ack, reply, kind, said, reset, fins, answers, established, answered;
    __u32 behind, answer_seq, state;
    const struct sfunnel_connection *known;

    if (!packet)
        return -1;
    known = &packet->known;
    flags = packet->tcp_flags;
    kind = known->kind;
    /*
     * One that was only begun is over at once; nobody has sent anything that may be late. But what
     * comes from the wire to the service port may be anybody's (see is_dead).
     */
    if (flags & TCP_FLAG_RST && !known->is_established && kind != SFUNNEL_UNFUNNEL) {
        remove_connection(packet, &packet->reply_key, known->sport, known->dport);
        return 0;
    }
    rst = flag_of(flags, TCP_FLAG_RST);
    syn = flag_of(flags, TCP_FLAG_SYN);
    ack = flag_of(flags, TCP_FLAG_ACK);
    reply = flag_of(kind, SFUNNEL_IS_REPLY);

    /* Whoever has said a reset and goes on did not mean it, or it was not he (RFC 5961). */
    said = SFUNNEL_RESET + reply;
    reset = choose(is_equal(known->reset, said), SFUNNEL_NOT_RESET, known->reset);
    reset = choose(rst, said, reset);
    fins = known->has_fin | known->has_reply_fin << 1 | flag_of(flags, TCP_FLAG_FIN) << reply;

    answers = reply & is_equal(flags & TCP_FLAGS_OF_STATE, TCP_FLAG_SYN | TCP_FLAG_ACK);
    answer_seq = choose(answers, bpf_ntohl(packet->start.tcp.seq) + 1, known->answer_seq);
    /*
     * Has the side that began it seen the SYN-ACK? Whoever forges that would have to guess its
     * number, or a flood of SYNs and ACKs could drive out connections that live. Of a real
     * connection, which may be known from its middle on, any answer tells.
     */
    behind = bpf_ntohl(packet->start.tcp.ack) - known->answer_seq;
    answered = (1 - reply) & known->has_answer & is_equal(behind >> ANSWER_WINDOW_BITS, 0);
    established = (answered | is_equal(kind, SFUNNEL_DIRECT_REPLY)) & ack & (1 - syn) & (1 - rst);
    established |= known->is_established;

    state = make_state(known->has_answer | answers, established, fins, reset);
    if (state == state_of(known) && answer_seq == known->answer_seq)
        return 0;
    if (known->is_kept && !is_over_for_good(known) && (reset || fins == 3))
        remember_end(packet);
    return set_state(state, answer_seq);
}

#endif
