/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What kernel and user side share: map values, keys and the outcomes of a packet.
 * lib/compile/abi.gen.ts is made from the BTF of the compiled object, so nothing here is
 * typed twice; a change here shows up there as a diff.
 *
 * Addresses are always 16 bytes. An IPv4 address a.b.c.d is held as ::ffff:a.b.c.d
 * (RFC 4291 2.5.5.2), so that one key serves both families.
 */
#ifndef SFUNNEL_ABI_H
#define SFUNNEL_ABI_H

#include <linux/types.h>

enum sfunnel_limit {
    /* Rules of one direction in one ruleset. */
    SFUNNEL_MAX_RULES = 1 << 17,
    /* Counters: old and new rules of both directions exist side by side during a replace. They lie
       in pages, which are made as they are needed: so many for the first CPU, then for the next. */
    SFUNNEL_MAX_COUNTERS = 4 * SFUNNEL_MAX_RULES,
    SFUNNEL_COUNTER_PAGE = 1024,
    /* Steps that a search for a rule may take (see struct sfunnel_search_table), and those on
       kernels without bpf_loop. */
    SFUNNEL_MAX_STEPS = 1 << 20,
    SFUNNEL_MAX_STEPS_WITHOUT_LOOP = 256,
    /* Ranges of ports in a rule itself; more of them are a set. */
    SFUNNEL_RULE_RANGES = 3,
    /* Rules in one bucket of a search; more take another step. */
    SFUNNEL_BUCKET_RULES = 7,
    /* Prefixes of all address and port sets together. */
    SFUNNEL_MAX_SET_PREFIXES = 1 << 20,
    /* Interfaces and directions that one loaded program is attached to. */
    SFUNNEL_MAX_ATTACHMENTS = 1024,
    SFUNNEL_NAME_LENGTH = 64,
    /* Routes with an MTU of their own, and those inside them without. */
    SFUNNEL_MAX_ROUTES = 65536,
    /* Slots of `rulesets`: one in force, one to fill. */
    SFUNNEL_SLOTS = 2,
    /* Place in `rulesets` behind both slots of both directions. */
    SFUNNEL_GRACE_PLACE = 4,
    /* Flows whose replies are remembered, unless the user asks for another number. */
    SFUNNEL_DEFAULT_FLOWS = 65536,
    /*
     * Connections that are remembered, likewise; most take one entry. So many in a hundred have
     * room in a table of their own while they have only begun, so many may be over.
     */
    SFUNNEL_DEFAULT_CONNECTIONS = 32768,
    SFUNNEL_BEGUN_PER_CENT = 25,
    SFUNNEL_OVER_PER_CENT = 25,
    /*
     * Bytes of the largest IP packet that is made, carrier included: the kernel enlarges no frame
     * beyond some 16 kB (4 pages less its own 320 to 768 bytes), super-packets excepted.
     */
    SFUNNEL_LARGEST_PACKET = 16000,
    /* Bytes of one entry of a text (see sfunnel_text). */
    SFUNNEL_TEXT_CHUNK = 4096,
};

enum sfunnel_direction {
    SFUNNEL_INGRESS = 0,
    SFUNNEL_EGRESS = 1,
    SFUNNEL_DIRECTIONS = 2,
};

/* What became of a packet. Every packet ends in exactly one; the value indexes a counter. */
enum sfunnel_outcome {
    /* No rule matched; passed untouched. */
    SFUNNEL_NO_MATCH,
    /* A carrier was pushed. */
    SFUNNEL_FUNNELED,
    /* A carrier was removed. */
    SFUNNEL_UNFUNNELED,
    /* Passed untouched by an accept rule. */
    SFUNNEL_ACCEPTED,
    /* Dropped by a drop rule. */
    SFUNNEL_DROPPED,
    /* A reply to a flow that came funneled: its carrier was pushed, turned round. */
    SFUNNEL_REPLY_FUNNELED,
    /* A reply to a flow that left funneled: its carrier was removed. */
    SFUNNEL_REPLY_UNFUNNELED,
    /* Neither IPv4 nor IPv6; passed untouched. */
    SFUNNEL_NOT_IP,
    /* IP, but neither TCP nor UDP; passed untouched. */
    SFUNNEL_NOT_TCP_UDP,
    /* IPv6 with another header before that of TCP or UDP; passed untouched. */
    SFUNNEL_EXTENSION_HEADER,
    /* Fragment offset or MF set, or an IPv6 fragment header, the first fragment included; passed
       untouched. */
    SFUNNEL_FRAGMENT,
    /* A header is cut short or its lengths contradict the frame; passed untouched. */
    SFUNNEL_MALFORMED,
    /* An unfunnel rule matched, but this is no carrier (a real connection); passed untouched. */
    SFUNNEL_NOT_CARRIER,
    /* A carrier for an inner port that the rule does not allow; dropped. */
    SFUNNEL_NOT_ALLOWED,
    /* Two clients share an address and port, and no free port was found to tell them apart;
       dropped. */
    SFUNNEL_NO_FREE_PORT,
    /* Handed to the segmenter; its segments come by again, each to an outcome of its own. */
    SFUNNEL_SEGMENTED,
    /* A super-packet (GSO), and the segmenter is missing; dropped. */
    SFUNNEL_NO_SEGMENTER,
    /* With a carrier the packet would exceed the MTU, which the sender does not ask to be told, or
       SFUNNEL_LARGEST_PACKET; dropped. */
    SFUNNEL_TOO_BIG,
    /* The same, and the sender was told by ICMP; dropped. */
    SFUNNEL_TOO_BIG_REPORTED,
    /* An ICMP error about a packet in a carrier, turned into one about the packet itself. */
    SFUNNEL_ERROR_UNFUNNELED,
    /* An ICMP error about a packet that came in a carrier, turned into one about the carrier. */
    SFUNNEL_ERROR_FUNNELED,
    /* An ICMP error that quotes too little of a carrier to tell what was in it; passed untouched.
     */
    SFUNNEL_QUOTE_TOO_SHORT,
    /* A packet of a real connection to a port that funneled ones use too: they would collide, so it
       goes on with another source port, or gets its own back. */
    SFUNNEL_DIRECT_REMAPPED,
    /* A translate rule matched a packet of a connection that began on the other side; passed
       untouched. */
    SFUNNEL_TRANSLATE_INBOUND,
    /* The same, and TCP-MD5 or TCP-AO signs its ports; passed untouched. */
    SFUNNEL_TRANSLATE_SIGNED,
    /* A SYN-ACK without the confirmation that its sender has put the port back, or any other SYN in
       its place: turned into a reset, and passed. */
    SFUNNEL_TRANSLATE_UNCONFIRMED,
    /* A SYN on the ports of an established connection that is another one: turned into an ACK, to
       which the owner of the connection answers as it must, and passed. */
    SFUNNEL_TRANSLATE_CHALLENGED,
    /* A marked SYN for a port that the rule does not allow; answered by a reset, dropped. */
    SFUNNEL_TRANSLATE_NOT_ALLOWED,
    /* A translate rule matched a segment of a connection that is not in the table: it began before
       the rule, or its entry was lost; answered by a reset (but for a reset), dropped. */
    SFUNNEL_TRANSLATE_LOST,
    /* A kernel helper failed after the packet was changed; dropped. */
    SFUNNEL_FAILED,
    SFUNNEL_OUTCOMES,
};

/* Words of `translated_ports`, a bit for each port. */
enum sfunnel_port_bits {
    SFUNNEL_PORT_WORDS = 1024,
    SFUNNEL_PORT_WORD_BITS = 64,
    SFUNNEL_PORTS = SFUNNEL_PORT_WORDS * SFUNNEL_PORT_WORD_BITS,
};

/* Kinds of rules. */
enum sfunnel_rule_kind {
    SFUNNEL_NO_KIND = 0,
    SFUNNEL_FUNNEL_ENCAP,
    SFUNNEL_UNFUNNEL_DECAP,
    SFUNNEL_ACCEPT,
    SFUNNEL_DROP,
    SFUNNEL_FUNNEL_TRANSLATE,
    SFUNNEL_UNFUNNEL_TRANSLATE,
};

/* What a TCP packet shows beside its ports. A rule may pass over one of the latter two. */
enum sfunnel_form {
    SFUNNEL_PLAIN = 0,
    SFUNNEL_CARRIER = 1, /* the fixed fields of a carrier */
    SFUNNEL_MARKED = 2,  /* a SYN with the mark of a translated port */
};

/* Bits of sfunnel_rule.families. */
enum sfunnel_family {
    SFUNNEL_IPV4 = 1,
    SFUNNEL_IPV6 = 2,
};

enum sfunnel_source_port {
    /* carrier_sport_first, always. */
    SFUNNEL_SPORT_FIXED,
    /* The flow's own. */
    SFUNNEL_SPORT_KEEP,
    /* carrier_sport_first to carrier_sport_last, by the hash of the inner flow; with carrier_every,
       one further after each such time. */
    SFUNNEL_SPORT_HASH,
};

/* The five fields that rules look at. */
struct sfunnel_flow {
    __u32 saddr[4]; /* network order */
    __u32 daddr[4];
    __u16 sport; /* host order */
    __u16 dport;
    __u8 transport; /* IPPROTO_TCP or IPPROTO_UDP */
    __u8 family;    /* one bit of enum sfunnel_family */
    __u8 form;      /* enum sfunnel_form */
    __u8 zero;
};

/* Host order. */
struct sfunnel_port_range {
    __u16 first;
    __u16 last;
};

/*
 * Key of the set map, a longest-prefix trie: one set holds addresses (16 bytes, mapped) or
 * ports (2 bytes, network order) as prefixes. The set number is part of the prefix, so
 * prefix_length is 32 + the length of the member.
 */
struct sfunnel_set_key {
    __u32 prefix_length;
    __u32 set;
    __u8 member[16];
};

/* Fields that a rule may ask for: bits of sfunnel_rule.negated and .in_set, indexes of .sets. */
enum sfunnel_match_field {
    SFUNNEL_MATCH_SADDR,
    SFUNNEL_MATCH_DADDR,
    SFUNNEL_MATCH_SPORT,
    SFUNNEL_MATCH_DPORT,
    SFUNNEL_MATCH_PORT,  /* source or destination */
    SFUNNEL_MATCH_ALLOW, /* unfunnel: inner destination ports that may pass */
    SFUNNEL_MATCH_FIELDS,
};

/*
 * Two lines of a cache, of which the first one decides nearly always.
 *
 * An address is matched by a prefix (length 0: any), ports by a few ranges, of which those that are
 * not needed repeat the first; or, with the bit of the field in `in_set`, both by the set under its
 * number.
 */
struct sfunnel_rule {
    __u32 saddr[4]; /* network order; zero behind the prefix */
    __u32 daddr[4];
    struct sfunnel_port_range sport[SFUNNEL_RULE_RANGES];
    struct sfunnel_port_range dport[SFUNNEL_RULE_RANGES];
    __u8 saddr_length; /* bits of the prefix, of 128 */
    __u8 daddr_length;
    __u8 negated;     /* bits of enum sfunnel_match_field: what does not match by it */
    __u8 in_set;      /* bits of enum sfunnel_match_field */
    __u8 families;    /* bits of enum sfunnel_family */
    __u8 transport;   /* IPPROTO_* of the packet as it comes */
    __u8 passes_over; /* enum sfunnel_form: packets of this one it does not match; 0: none */
    __u8 kind;        /* enum sfunnel_rule_kind */

    struct sfunnel_port_range port[SFUNNEL_RULE_RANGES];
    struct sfunnel_port_range allow[SFUNNEL_RULE_RANGES];
    __u32 sets[SFUNNEL_MATCH_FIELDS];
    __u32 counter;       /* in rule_counters; a rule keeps it across replaces */
    __u32 carrier_every; /* seconds on one port of the range; 0: for good */
    __u16 carrier_dport; /* host order */
    __u16 carrier_sport_first;
    __u16 carrier_sport_last;
    __u8 carrier_sport_kind; /* enum sfunnel_source_port */
    __u8 other_transport;    /* funnel: of the carrier; unfunnel: of the inner flow */
};

/*
 * Rules are found by way of hash tables, each of which looks at some bits of a flow alone. A rule
 * lies in one that asks for no more than the rule does, so a flow that the rule matches is led to
 * it. What lies in a bucket may match; of those that do, the first one in the list counts.
 *
 * An index is an array of cells, tables and buckets. Where many rules lie in one bucket, tables
 * that look at more bits follow it, for its flows alone: so each cell knows which one comes next,
 * and which rule is the first that may still be found from there on.
 */
enum sfunnel_search {
    /* Cell of the first table for flows of a kind: bits, of IPv6 (else of IPv4) and of UDP (else of
       TCP). */
    SFUNNEL_SEARCH_IPV6 = 1,
    SFUNNEL_SEARCH_UDP = 2,
    SFUNNEL_SEARCH_GROUPS = 4,
    /* Bit of `next`: the cell is a table, else a bucket that belongs to the same one. */
    SFUNNEL_SEARCH_TABLE = 1 << 30,
    /* No rule has this number, nor a larger one. */
    SFUNNEL_NO_RULE = 1 << 30,
};

struct sfunnel_search_table {
    __u32 saddr_mask[4]; /* network order, as in sfunnel_flow */
    __u32 daddr_mask[4];
    __u32 ports_mask;       /* source port in the upper half, host order */
    __u32 buckets;          /* cell of the first one */
    __u32 bucket_mask;      /* their number, a power of 2, less 1 */
    __u32 first_rule;       /* in it, and in the tables behind its buckets */
    __u32 next;             /* behind all of these */
    __u32 later_first_rule; /* from there on; SFUNNEL_NO_RULE: the search ends */
    __u32 zero[2];
};

struct sfunnel_search_entry {
    __u32 hash;
    __u32 rule; /* SFUNNEL_NO_RULE: nothing, nor behind it */
};

struct sfunnel_search_bucket {
    __u32 next;
    __u32 later_first_rule;                                    /* from there on */
    struct sfunnel_search_entry entries[SFUNNEL_BUCKET_RULES]; /* by rule */
};

struct sfunnel_counter {
    __u64 packets;
    __u64 bytes; /* of the frame as it came, from its Ethernet header on */
};

/* What replies at a hook may be: bits of sfunnel_control.replies. */
enum sfunnel_reply_kind {
    /* To be funneled: the opposite hook has an unfunnel rule. */
    SFUNNEL_REPLY_TO_FUNNEL = 1,
    /* To be unfunneled from TCP, from UDP: the opposite hook has such a funnel rule. */
    SFUNNEL_REPLY_IN_TCP = 2,
    SFUNNEL_REPLY_IN_UDP = 4,
    /* Packets of connections whose ports are translated: at both hooks, whatever the rule. */
    SFUNNEL_REPLY_TRANSLATED = 8,
};

/* What every CPU reads first. */
struct sfunnel_control {
    /* Counts replaces, but is never 0; its lowest bit is the slot of `rulesets` in force. */
    __u32 generation;
    /* By direction. A bit stays once it was set: flows outlive the rule that began them. */
    __u32 replies[SFUNNEL_DIRECTIONS];
    __u32 has_special_hooks; /* whether `special_hooks` holds anything */
    /*
     * By slot and direction: the set of ports to which real connections may collide with
     * translated ones, the service ports of what is funneled and the ports that are put back; 0:
     * none.
     */
    __u32 shared_ports[SFUNNEL_SLOTS][SFUNNEL_DIRECTIONS];
};

struct sfunnel_hook {
    __u32 ifindex;
    __u32 direction;
};

/* What is special about a hook: bits of the value of `special_hooks`. */
enum sfunnel_hook_trait {
    /* No rule is asked, because the interface was attached for the other direction. */
    SFUNNEL_HOOK_REPLIES_ONLY = 1,
    /* Packets begin with their IP header (tun, WireGuard and other devices of layer 3). */
    SFUNNEL_HOOK_WITHOUT_ETHERNET = 2,
    /* From this bit on: MTU of the device in bytes, for a program that cannot ask for it (before
       5.17); 0: it was not told. */
    SFUNNEL_HOOK_MTU_SHIFT = 8,
};

/*
 * A flow as its replies show it, at the hook where they come by: the one opposite to that of
 * the rule, on the same interface.
 */
struct sfunnel_reply_key {
    __u32 saddr[4]; /* network order */
    __u32 daddr[4];
    __u16 sport; /* host order */
    __u16 dport;
    __u8 transport;   /* IPPROTO_* of the flow itself, without carrier */
    __u8 to_unfunnel; /* 0: replies are to be funneled; 1: they come funneled */
    __u8 direction;
    __u8 family; /* one bit of enum sfunnel_family: mapped addresses of IPv6 are none of IPv4 */
    __u32 ifindex;
};

struct sfunnel_reply {
    __u64 last_seen;     /* nanoseconds since boot; of the last packet that was not a reply */
    __u16 carrier_sport; /* host order, as a reply shows it: the service port */
    __u16 carrier_dport;
    __u16 port;    /* the client's own port; the key has another one where two clients collide */
    __u16 flow_id; /* what the carrier said of its flow (struct carrier) */
    __u8 carrier_transport;
    __u8 zero[7];
};

/* What becomes of the packets of a connection. Its packets and its replies differ by one bit. */
enum sfunnel_connection_kind {
    SFUNNEL_DIRECT = 1, /* a real one, which must not collide with those */
    SFUNNEL_FUNNEL = 2,
    SFUNNEL_UNFUNNEL = 3,
    SFUNNEL_IS_REPLY = 4, /* the bit */
    SFUNNEL_DIRECT_REPLY = 5,
    SFUNNEL_FUNNELED_REPLY = 6,   /* to what was funneled: it comes from the service port */
    SFUNNEL_UNFUNNELED_REPLY = 7, /* to what was unfunneled: it goes out from the service port */
};

/*
 * A connection has two keys, those that its packets and its replies show at their hooks. An entry
 * says with which ports they go on, so that one key follows from the entry of the other. Most
 * connections have one entry, under the key with the service port; see struct sfunnel_port. Others
 * have two, with the same state in both. The key is sfunnel_reply_key with to_unfunnel = 0.
 */
struct sfunnel_connection {
    __u64 last_seen;  /* nanoseconds since boot, of the last packet in either direction, roughly */
    __u32 answer_seq; /* host order; of the SYN-ACK, and one more: what is to be acknowledged */
    __u16 sport;      /* host order */
    __u16 dport;
    __u8 kind;           /* enum sfunnel_connection_kind */
    __u8 has_answer;     /* a SYN-ACK has come by */
    __u8 is_established; /* and the side that began it has acknowledged that */
    __u8 has_fin;        /* from the side that began it */
    __u8 has_reply_fin;  /* from the other one */
    __u8 reset;          /* who has said it: enum sfunnel_reset */
    __u8 is_kept;        /* it lies in `connections`, and not in `beginnings` */
    __u8 is_alone;       /* there is no entry under the other key */
};

/*
 * What is known of a port that translated connections use. With the service port that the first of
 * them gave to a wanted port, packets between that port and a client's find their connection under
 * the key with the service port. It stays for good, because connections outlive their rules; those
 * that have another service port, or another client's port on the wire, need a second entry.
 */
struct sfunnel_port {
    __u32 claims;       /* who wants to say which; it is one alone who may */
    __u16 service_port; /* host order; 0: no such port */
    __u16 is_service;   /* it is itself one */
};

enum sfunnel_reset {
    SFUNNEL_NOT_RESET,
    SFUNNEL_RESET,
    SFUNNEL_RESET_BY_REPLY,
};

/* A connection that is over, in the queue of those that go from the table after a while. */
struct sfunnel_closing {
    __u64 since; /* nanoseconds since boot */
    struct sfunnel_reply_key key;
    __u32 zero;
};

/* Key of the MTUs of routes, a longest-prefix trie. A value of 0: this one has none. */
struct sfunnel_route_key {
    __u32 prefix_length; /* 32 + the length of the prefix as a mapped address */
    __u32 ifindex;
    __u32 destination[4]; /* network order */
};

/* Events of the tables of flows and connections; the value indexes flow_counters. */
enum sfunnel_flow_event {
    SFUNNEL_FLOW_ADDED,
    /* A client's port was replaced because another client had it. */
    SFUNNEL_FLOW_REMAPPED,
    /* A flow went on under another carrier. */
    SFUNNEL_FLOW_MOVED,
    /* The kernel had no room for an entry; the reply will not be known. */
    SFUNNEL_FLOW_NOT_ADDED,
    /* A flow came without its carrier; replies go without one too. */
    SFUNNEL_FLOW_DIRECT,
    /* The MSS that a SYN advertises was lowered, so that there is room for the carrier. */
    SFUNNEL_FLOW_MSS_CLAMPED,
    SFUNNEL_CONNECTION_ADDED,
    /* The kernel had no room for a connection; its SYN was dropped, a real one passed. */
    SFUNNEL_CONNECTION_NOT_ADDED,
    /* A connection got another source port, because one of the same ports had its own. */
    SFUNNEL_CONNECTION_REMAPPED,
    /* A connection was refused, or silent for too long, or another one took its ports. */
    SFUNNEL_CONNECTION_REMOVED,
    /* A connection came to those that are kept, and went from them. */
    SFUNNEL_CONNECTION_KEPT,
    SFUNNEL_CONNECTION_GONE,
    /* A SYN lost the TCP fast open option or its payload. */
    SFUNNEL_CONNECTION_FAST_OPEN_REMOVED,
    SFUNNEL_FLOW_EVENTS,
};

/* User side only: which attachment is whose, for a process that finds the program later. */
struct sfunnel_attachment_key {
    __u64 netns_inode;
    __u32 ifindex;
    __u32 direction;
};

struct sfunnel_attachment {
    char name[SFUNNEL_NAME_LENGTH]; /* UTF-8, zero padded */
};

/* User side only: a piece of the text that tells a later process what these rules mean. */
struct sfunnel_text_chunk {
    char bytes[SFUNNEL_TEXT_CHUNK]; /* UTF-8; the last one of a text ends in at least one zero */
};

/*
 * The segmenter is a veth pair of ours, one in each network namespace: what is sent to the one end
 * is cut into segments and comes out of the other. The index of the sending end is always the
 * same, so that the program finds it without a map.
 */
enum sfunnel_segmenter {
    SFUNNEL_SEGMENTER_IFINDEX = 0x5346554e,
};

/* Words of skb->cb, which stay with a packet and its segments on their way through the segmenter.
 */
enum sfunnel_segment_slot {
    SFUNNEL_SEGMENT_STATE_SLOT = 0, /* enum sfunnel_segment_state */
    SFUNNEL_SEGMENT_PRIORITY_SLOT = 1,
    SFUNNEL_SEGMENT_IFINDEX_SLOT = 2,   /* where they came from and are going back to */
    SFUNNEL_SEGMENT_DIRECTION_SLOT = 3, /* enum sfunnel_direction */
};

enum sfunnel_segment_state {
    SFUNNEL_SEGMENT_SENT = 0x73666e31,
    SFUNNEL_SEGMENT_RETURNED = 0x73666e32,
};

/*
 * BPF_PROG_TEST_RUN hands skb->cb in and out. A program that finds both words here writes
 * its outcome and the index of the matching rule there; on the wire nobody sets them.
 */
enum sfunnel_trace_magic {
    SFUNNEL_TRACE_MAGIC_0 = 0x7366756e,
    SFUNNEL_TRACE_MAGIC_1 = 0x6e656c21,
};

enum sfunnel_trace_slot {
    SFUNNEL_TRACE_MAGIC_SLOT_0 = 0,
    SFUNNEL_TRACE_MAGIC_SLOT_1 = 1,
    SFUNNEL_TRACE_OUTCOME_SLOT = 2,
    SFUNNEL_TRACE_RULE_SLOT = 3, /* index + 1; 0: no rule */
};

#endif
