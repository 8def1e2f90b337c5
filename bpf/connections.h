/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The table of connections whose ports are translated, and of real ones that could be taken for
 * them. A connection has two keys, of its packets and of its replies, each what the packet shows
 * when it comes to its hook. An entry says with which ports they go on; what answers the rewritten
 * packet is rewritten back, so either direction follows from the entry of the other one.
 *
 * Looks at a table are what a connection costs: its entries lie somewhere in megabytes. So there is
 * one entry where the other key can be told from what a packet shows (see struct sfunnel_port),
 * and two where it cannot. One of two that made room for others is put back as long as the other
 * is there.
 *
 * A packet's own key is packet->reply_key; the one of the other direction, its twin, is made in
 * packet->twin_key. What was found is copied to packet->known, as the packet's own direction has
 * it: without CAP_PERFMON the verifier follows a NULL that it knows of as if it were none, so
 * pointers to entries are not handed around.
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

/* It is noted but so often when a connection was seen; a table does not turn over in that time. */
#define NOTED_NANOSECONDS (10 * 1000000ULL)

/* Longer than that, and than a CPU keeps in its cache what it has found, together. */
#define RECENT_NANOSECONDS (100 * 1000000ULL)

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

_Static_assert((SFUNNEL_INGRESS ^ SFUNNEL_EGRESS) == 1, "one bit tells the direction");

/* Of the entry under `key`, which leaves with these ports. */
static __always_inline void set_twin_key(struct sfunnel_reply_key *twin,
                                         const struct sfunnel_reply_key *key, __u16 sport,
                                         __u16 dport) {
    const flow_word *from = (const flow_word *)key;
    flow_word *to = (flow_word *)twin;

    turn_addresses(twin, key);
    to[FLOW_PORTS] = (from[FLOW_PORTS] >> 32 << 32 ^ 1ULL << 48) | (__u32)sport << 16 | dport;
    twin->ifindex = key->ifindex;
}

/* Whether any connection has two entries, or ever had. */
__u32 has_pairs SHARED;

/* May a CPU still have it in its cache (REFRESH_JIFFIES), or have it soon? */
static __always_inline bool is_recent(const struct sfunnel_connection *entry) {
    return (__s64)(coarse_clock() - entry->last_seen) < (__s64)RECENT_NANOSECONDS;
}

/* What is to be known of an entry that is removed, as one number. */
static __always_inline __u32 make_storage(const struct sfunnel_connection *entry) {
    return entry->is_kept | entry->is_alone << 8 | is_recent(entry) << 16;
}

/*
 * Of two calls that differ in their map alone the compiler would make one, and the kernel puts no
 * look-up into the program whose map it does not know, and calls the others by a pointer.
 */
#define KEEP_APART(result) barrier_var(result)

static __always_inline int delete_entry(bool is_kept, const struct sfunnel_reply_key *key) {
    long result;

    if (!is_kept)
        return bpf_map_delete_elem(&beginnings, key);
    result = bpf_map_delete_elem(&connections, key);
    KEEP_APART(result);
    return result;
}

/*
 * Takes the entry of packet->removed_key out of its table, and its twin. Global, as what is called
 * from many places: the verifier looks at it once and not once a call.
 */
__noinline int remove_entries(__u32 sport, __u32 dport, __u32 storage) {
    struct packet *packet = packet_under_way();
    bool is_kept = storage & 1, is_alone = storage >> 8 & 1, is_recent = storage >> 16;
    struct sfunnel_reply_key *twin;

    if (!packet)
        return -1;
    if (!is_alone) {
        twin = &packet->removed_twin_key;
        set_twin_key(twin, &packet->removed_key, sport, dport);
        if (delete_entry(is_kept, twin) && !is_kept)
            delete_entry(true, twin);
    }
    if (delete_entry(is_kept, &packet->removed_key)) {
        /* Or it was established in this moment, on another CPU. */
        if (is_kept || delete_entry(true, &packet->removed_key))
            return 0;
        is_kept = true;
    }
    if (is_kept)
        count_event(SFUNNEL_CONNECTION_GONE);
    if (is_recent)
        __sync_fetch_and_add(&connections_removed, 1);
    count_event(SFUNNEL_CONNECTION_REMOVED);
    return 0;
}

/* The connection of this entry, which lies under `key`. */
static __always_inline void remove_connection(struct packet *packet,
                                              const struct sfunnel_reply_key *key,
                                              const struct sfunnel_connection *entry) {
    copy_key(&packet->removed_key, key);
    remove_entries(entry->sport, entry->dport, make_storage(entry));
}

/* Puts an entry, made in packet->connection, into its table. */
static __always_inline int add_entry(struct packet *packet, const struct sfunnel_reply_key *key) {
    long result;

    if (!packet->connection.is_kept)
        return bpf_map_update_elem(&beginnings, key, &packet->connection, BPF_ANY);
    result = bpf_map_update_elem(&connections, key, &packet->connection, BPF_ANY);
    KEEP_APART(result);
    return result;
}

/* In the table that it is in, if that is known. */
static __always_inline struct sfunnel_connection *look_up_in(bool is_kept,
                                                             const struct sfunnel_reply_key *key) {
    struct sfunnel_connection *entry;

    if (!is_kept)
        return bpf_map_lookup_elem(&beginnings, key);
    entry = bpf_map_lookup_elem(&connections, key);
    KEEP_APART(entry);
    return entry;
}

/* First where it is likely to be: what has SYN belongs to a connection that has only begun. */
static __always_inline struct sfunnel_connection *
look_up_connection(const struct packet *packet, const struct sfunnel_reply_key *key) {
    bool is_kept = !(packet->tcp_flags & TCP_FLAG_SYN);
    struct sfunnel_connection *entry = look_up_in(is_kept, key);

    return entry ? entry : look_up_in(!is_kept, key);
}

/* Copies what is under packet->found_key, if anything is. */
static __noinline bool read_entry(struct packet *packet) {
    struct sfunnel_connection *entry = look_up_connection(packet, &packet->found_key);

    if (!entry)
        return false;
    packet->found = *entry;
    return true;
}

/*
 * The same of one that leaves packet->place with these ports, and has its entry under the other
 * key.
 */
static __always_inline bool read_twin(struct packet *packet, __u16 sport, __u16 dport) {
    struct sfunnel_connection *found = &packet->found;

    set_twin_key(&packet->found_key, &packet->place, sport, dport);
    if (!read_entry(packet) || !found->is_alone || found->sport != packet->place.dport ||
        found->dport != packet->place.sport)
        return false;
    found->kind ^= SFUNNEL_IS_REPLY;
    found->sport = sport;
    found->dport = dport;
    return true;
}

/* Do rules translate from or to this port? */
static __always_inline bool is_translated_port(__u16 port) {
    __u64 *word = look_up(&translated_ports, port / SFUNNEL_PORT_WORD_BITS);

    return word && *word >> port % SFUNNEL_PORT_WORD_BITS & 1;
}

/* What is known of it: its service port, and above that, whether it is itself one. */
static __always_inline __u32 what_is(__u16 number) {
    struct sfunnel_port *port;

    /* Of a client's port nothing is, and there are too many of them to look at each. */
    if (!is_translated_port(number))
        return 0;
    port = look_up(&ports, number);
    return port ? port->service_port | (__u32)port->is_service << 16 : 0;
}

/* Who has packet->place? Is found in packet->found, and his entry under packet->found_key. */
__noinline int find(void) {
    struct packet *packet = packet_under_way();
    __u32 source, destination;

    if (!packet)
        return false;
    source = what_is(packet->place.sport);
    destination = what_is(packet->place.dport);

    packet->is_found_by_twin = true;
    if ((__u16)destination && read_twin(packet, packet->place.sport, destination))
        return true;
    if ((__u16)source && read_twin(packet, source, packet->place.dport))
        return true;
    packet->is_found_by_twin = false;
    copy_key(&packet->found_key, &packet->place);
    if ((has_pairs || (source | destination) >> 16) && read_entry(packet))
        return true;
    packet->found.kind = 0;
    return false;
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
        remove_connection(packet, &closing->key, connection);
}

/* Until then it is time for none; a queue costs a lock, even to look at. */
__u64 none_over_until SHARED;

/* Does so with the oldest, when it is time. */
static __always_inline void remove_one_over(struct packet *packet) {
    struct sfunnel_closing *closing = &packet->closing;
    __u64 now = coarse_clock(), until;

    if ((__s64)(now - none_over_until) <= 0 || bpf_map_peek_elem(&closings, closing))
        return;
    until = closing->since + seconds_over * SECONDS;
    if ((__s64)(now - until) > 0)
        remove_closing(packet);
    else
        none_over_until = until;
}

static __always_inline int push_end(struct packet *packet) {
    struct sfunnel_closing *closing = &packet->closing;

    closing->since = coarse_clock();
    copy_key(&closing->key, &packet->entry_key);
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
    const struct sfunnel_reply_key *key = &packet->entry_key, *twin = &packet->twin_key;
    struct sfunnel_connection *known = &packet->known;
    bool is_alone = known->is_alone;

    known->is_kept = true;
    packet->connection = *known;
    if (packet->is_known_by_twin)
        make_twin(packet, known);
    /* In both tables for a moment, so that nobody misses it. */
    add_entry(packet, key);
    if (!is_alone) {
        make_twin(packet, known);
        add_entry(packet, twin);
        bpf_map_delete_elem(&beginnings, twin);
    }
    bpf_map_delete_elem(&beginnings, key);
    count_event(SFUNNEL_CONNECTION_KEPT);
}

/* What all entries of the connection are told. */
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
    connection = look_up_in(packet->known.is_kept, &packet->entry_key);
    if (connection)
        tell(connection, state, answer_seq);
    if (packet->known.is_alone)
        return 0;
    connection = look_up_in(packet->known.is_kept, &packet->twin_key);
    if (connection)
        tell(connection, state, answer_seq);
    return 0;
}

/* The other entry has been seen as well, and is there if it was not. */
static __noinline void see_twin(struct packet *packet) {
    struct sfunnel_connection *twin;

    if (packet->known.is_alone)
        return;
    twin = look_up_in(packet->known.is_kept, &packet->twin_key);
    if (twin) {
        twin->last_seen = packet->known.last_seen;
        return;
    }
    make_twin(packet, &packet->known);
    add_entry(packet, &packet->twin_key);
}

/* Both have been seen now. Where the connection has only begun, it is soon kept, or over. */
static __noinline void see(struct packet *packet) {
    struct sfunnel_connection *entry = look_up_in(packet->known.is_kept, &packet->entry_key);

    if (entry)
        entry->last_seen = packet->known.last_seen;
    if (packet->known.is_kept)
        see_twin(packet);
}

/* Looks the packet's connection up, into packet->known. If it is kept, it is whole afterwards. */
static __noinline void find_connection(struct packet *packet) {
    struct sfunnel_reply_key *key = key_of_reply(packet, &packet->flow, false);
    struct sfunnel_connection *known = &packet->known;
    __u64 now, before;

    known->kind = 0;
    copy_key(&packet->place, key);
    if (!find())
        return;
    now = coarse_clock();
    if (is_expired(&packet->found, now)) {
        remove_connection(packet, &packet->found_key, &packet->found);
        return;
    }
    *known = packet->found;
    copy_key(&packet->entry_key, &packet->found_key);
    packet->is_known_by_twin = packet->is_found_by_twin;
    set_twin_key(&packet->twin_key, key, known->sport, known->dport);
    before = known->last_seen;
    known->last_seen = now;
    if (now - before > NOTED_NANOSECONDS)
        see(packet);
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
    remove_connection(packet, &packet->entry_key, &packet->known);
    packet->known.kind = 0;
}

/* Has somebody the place of packet->twin_key, with this port? */
__noinline int is_taken(__u32 port) {
    struct packet *packet = packet_under_way();

    if (!packet)
        return true;
    copy_key(&packet->place, &packet->twin_key);
    packet->place.dport = port;
    if (!find())
        return false;
    if (!is_expired(&packet->found, coarse_clock()))
        return true;
    remove_connection(packet, &packet->found_key, &packet->found);
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

/*
 * May packets between a client's port and this wanted one be taken for those of a connection that
 * has this service port on the wire? The first service port of a wanted one makes it so.
 */
static __noinline bool tells_service_port(__u32 wanted, __u32 service) {
    struct sfunnel_port *port = look_up(&ports, service);

    if (!port)
        return false;
    if (!port->is_service)
        port->is_service = true;
    port = look_up(&ports, wanted);
    if (!port)
        return false;
    if (!port->claims) {
        __sync_fetch_and_add(&port->claims, 1);
        /* Of two that come at the same moment neither does; both have two entries then. */
        if (*(volatile __u32 *)&port->claims == 1)
            port->service_port = service;
    }
    return port->service_port == service;
}

/* Does one entry do for a connection of this kind that leaves with these ports? */
static __always_inline bool is_enough_alone(struct packet *packet, __u32 kind, __u32 sport,
                                            __u32 dport) {
    if (sport != packet->reply_key.sport)
        return false;
    if (kind == SFUNNEL_FUNNEL)
        return tells_service_port(packet->reply_key.dport, dport);
    return kind == SFUNNEL_UNFUNNEL && tells_service_port(dport, packet->reply_key.dport);
}

/* The entries of packet->connection, under its own key and under the other one. */
static __always_inline int add_entries(struct packet *packet) {
    struct sfunnel_connection *connection = &packet->connection;
    bool is_alone = connection->is_alone, is_under_twin = connection->kind == SFUNNEL_FUNNEL;

    if (!(is_alone && is_under_twin) && add_entry(packet, &packet->reply_key))
        return -1;
    if (is_alone && !is_under_twin)
        return 0;
    make_twin(packet, connection);
    if (!add_entry(packet, &packet->twin_key))
        return 0;
    if (!is_alone)
        bpf_map_delete_elem(&beginnings, &packet->reply_key);
    return -1;
}

/* A connection that leaves with these ports has begun. */
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
    connection->is_alone = is_enough_alone(packet, kind, sport, dport);
    if (!connection->is_alone && !has_pairs)
        has_pairs = true;
    if (add_entries(packet)) {
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

/* Most packets of a connection that is established say nothing new of its state. */
static __always_inline bool may_change_state(const struct packet *packet) {
    return packet->tcp_flags & (TCP_FLAG_SYN | TCP_FLAG_FIN | TCP_FLAG_RST) ||
           !packet->known.is_established || packet->known.reset;
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
        remove_connection(packet, &packet->entry_key, known);
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
