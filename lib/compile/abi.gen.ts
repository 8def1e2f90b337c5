// Made by scripts/generate-abi.mjs from the BTF of bpf/sfunnel.bpf.c. Do not edit.

export const ConnectionKind = {
  DIRECT: 1,
  FUNNEL: 2,
  UNFUNNEL: 3,
  IS_REPLY: 4,
  DIRECT_REPLY: 5,
  FUNNELED_REPLY: 6,
  UNFUNNELED_REPLY: 7,
} as const;

export const Direction = {
  INGRESS: 0,
  EGRESS: 1,
  DIRECTIONS: 2,
} as const;

export const Family = {
  IPV4: 1,
  IPV6: 2,
} as const;

export const FlowEvent = {
  FLOW_ADDED: 0,
  FLOW_REMAPPED: 1,
  FLOW_MOVED: 2,
  FLOW_NOT_ADDED: 3,
  FLOW_DIRECT: 4,
  FLOW_MSS_CLAMPED: 5,
  CONNECTION_ADDED: 6,
  CONNECTION_NOT_ADDED: 7,
  CONNECTION_REMAPPED: 8,
  CONNECTION_REMOVED: 9,
  CONNECTION_KEPT: 10,
  CONNECTION_GONE: 11,
  CONNECTION_FAST_OPEN_REMOVED: 12,
  FLOW_EVENTS: 13,
} as const;

export const Form = {
  PLAIN: 0,
  CARRIER: 1,
  MARKED: 2,
} as const;

export const HookTrait = {
  HOOK_REPLIES_ONLY: 1,
  HOOK_WITHOUT_ETHERNET: 2,
  HOOK_MTU_SHIFT: 8,
} as const;

export const Limit = {
  MAX_RULES: 131072,
  MAX_COUNTERS: 524288,
  COUNTER_PAGE: 1024,
  MAX_STEPS: 1048576,
  MAX_STEPS_WITHOUT_LOOP: 256,
  RULE_RANGES: 3,
  BUCKET_RULES: 7,
  MAX_SET_PREFIXES: 1048576,
  MAX_ATTACHMENTS: 1024,
  NAME_LENGTH: 64,
  MAX_ROUTES: 65536,
  SLOTS: 2,
  GRACE_PLACE: 4,
  DEFAULT_FLOWS: 65536,
  DEFAULT_CONNECTIONS: 32768,
  BEGUN_PER_CENT: 25,
  OVER_PER_CENT: 25,
  LARGEST_PACKET: 16000,
  TEXT_CHUNK: 4096,
} as const;

export const MatchField = {
  MATCH_SADDR: 0,
  MATCH_DADDR: 1,
  MATCH_SPORT: 2,
  MATCH_DPORT: 3,
  MATCH_PORT: 4,
  MATCH_ALLOW: 5,
  MATCH_FIELDS: 6,
} as const;

export const Outcome = {
  NO_MATCH: 0,
  FUNNELED: 1,
  UNFUNNELED: 2,
  ACCEPTED: 3,
  DROPPED: 4,
  REPLY_FUNNELED: 5,
  REPLY_UNFUNNELED: 6,
  NOT_IP: 7,
  NOT_TCP_UDP: 8,
  EXTENSION_HEADER: 9,
  FRAGMENT: 10,
  MALFORMED: 11,
  NOT_CARRIER: 12,
  NOT_ALLOWED: 13,
  NO_FREE_PORT: 14,
  SEGMENTED: 15,
  NO_SEGMENTER: 16,
  TOO_BIG: 17,
  TOO_BIG_REPORTED: 18,
  ERROR_UNFUNNELED: 19,
  ERROR_FUNNELED: 20,
  QUOTE_TOO_SHORT: 21,
  DIRECT_REMAPPED: 22,
  TRANSLATE_INBOUND: 23,
  TRANSLATE_SIGNED: 24,
  TRANSLATE_UNCONFIRMED: 25,
  TRANSLATE_CHALLENGED: 26,
  TRANSLATE_NOT_ALLOWED: 27,
  TRANSLATE_LOST: 28,
  FAILED: 29,
  OUTCOMES: 30,
} as const;

export const PortBits = {
  PORT_WORDS: 1024,
  PORT_WORD_BITS: 64,
  PORTS: 65536,
} as const;

export const ReplyKind = {
  REPLY_TO_FUNNEL: 1,
  REPLY_IN_TCP: 2,
  REPLY_IN_UDP: 4,
  REPLY_TRANSLATED: 8,
} as const;

export const RuleKind = {
  NO_KIND: 0,
  FUNNEL_ENCAP: 1,
  UNFUNNEL_DECAP: 2,
  ACCEPT: 3,
  DROP: 4,
  FUNNEL_TRANSLATE: 5,
  UNFUNNEL_TRANSLATE: 6,
} as const;

export const Search = {
  SEARCH_IPV6: 1,
  SEARCH_UDP: 2,
  SEARCH_GROUPS: 4,
  SEARCH_TABLE: 1073741824,
  NO_RULE: 1073741824,
} as const;

export const Segmenter = {
  SEGMENTER_IFINDEX: 1397118286,
} as const;

export const SourcePort = {
  SPORT_FIXED: 0,
  SPORT_KEEP: 1,
  SPORT_HASH: 2,
} as const;

export const TraceMagic = {
  TRACE_MAGIC_0: 1936094574,
  TRACE_MAGIC_1: 1852140577,
} as const;

export const TraceSlot = {
  TRACE_MAGIC_SLOT_0: 0,
  TRACE_MAGIC_SLOT_1: 1,
  TRACE_OUTCOME_SLOT: 2,
  TRACE_RULE_SLOT: 3,
} as const;

/** Byte offsets and sizes of the structs of bpf/abi.h. */
export const layout = {
  attachment: {
    size: 64,
    fields: {
      name: { offset: 0, size: 64 },
    },
  },
  attachmentKey: {
    size: 16,
    fields: {
      netnsInode: { offset: 0, size: 8 },
      ifindex: { offset: 8, size: 4 },
      direction: { offset: 12, size: 4 },
    },
  },
  closing: {
    size: 56,
    fields: {
      since: { offset: 0, size: 8 },
      key: { offset: 8, size: 44 },
      zero: { offset: 52, size: 4 },
    },
  },
  connection: {
    size: 24,
    fields: {
      lastSeen: { offset: 0, size: 8 },
      answerSeq: { offset: 8, size: 4 },
      sport: { offset: 12, size: 2 },
      dport: { offset: 14, size: 2 },
      kind: { offset: 16, size: 1 },
      hasAnswer: { offset: 17, size: 1 },
      isEstablished: { offset: 18, size: 1 },
      hasFin: { offset: 19, size: 1 },
      hasReplyFin: { offset: 20, size: 1 },
      reset: { offset: 21, size: 1 },
      isKept: { offset: 22, size: 1 },
      isAlone: { offset: 23, size: 1 },
    },
  },
  control: {
    size: 32,
    fields: {
      generation: { offset: 0, size: 4 },
      replies: { offset: 4, size: 8 },
      hasSpecialHooks: { offset: 12, size: 4 },
      sharedPorts: { offset: 16, size: 16 },
    },
  },
  counter: {
    size: 16,
    fields: {
      packets: { offset: 0, size: 8 },
      bytes: { offset: 8, size: 8 },
    },
  },
  flow: {
    size: 40,
    fields: {
      saddr: { offset: 0, size: 16 },
      daddr: { offset: 16, size: 16 },
      sport: { offset: 32, size: 2 },
      dport: { offset: 34, size: 2 },
      transport: { offset: 36, size: 1 },
      family: { offset: 37, size: 1 },
      form: { offset: 38, size: 1 },
      zero: { offset: 39, size: 1 },
    },
  },
  hook: {
    size: 8,
    fields: {
      ifindex: { offset: 0, size: 4 },
      direction: { offset: 4, size: 4 },
    },
  },
  port: {
    size: 8,
    fields: {
      claims: { offset: 0, size: 4 },
      servicePort: { offset: 4, size: 2 },
      isService: { offset: 6, size: 2 },
    },
  },
  portRange: {
    size: 4,
    fields: {
      first: { offset: 0, size: 2 },
      last: { offset: 2, size: 2 },
    },
  },
  reply: {
    size: 24,
    fields: {
      lastSeen: { offset: 0, size: 8 },
      carrierSport: { offset: 8, size: 2 },
      carrierDport: { offset: 10, size: 2 },
      port: { offset: 12, size: 2 },
      flowId: { offset: 14, size: 2 },
      carrierTransport: { offset: 16, size: 1 },
      zero: { offset: 17, size: 7 },
    },
  },
  replyKey: {
    size: 44,
    fields: {
      saddr: { offset: 0, size: 16 },
      daddr: { offset: 16, size: 16 },
      sport: { offset: 32, size: 2 },
      dport: { offset: 34, size: 2 },
      transport: { offset: 36, size: 1 },
      toUnfunnel: { offset: 37, size: 1 },
      direction: { offset: 38, size: 1 },
      family: { offset: 39, size: 1 },
      ifindex: { offset: 40, size: 4 },
    },
  },
  routeKey: {
    size: 24,
    fields: {
      prefixLength: { offset: 0, size: 4 },
      ifindex: { offset: 4, size: 4 },
      destination: { offset: 8, size: 16 },
    },
  },
  rule: {
    size: 128,
    fields: {
      saddr: { offset: 0, size: 16 },
      daddr: { offset: 16, size: 16 },
      sport: { offset: 32, size: 12 },
      dport: { offset: 44, size: 12 },
      saddrLength: { offset: 56, size: 1 },
      daddrLength: { offset: 57, size: 1 },
      negated: { offset: 58, size: 1 },
      inSet: { offset: 59, size: 1 },
      families: { offset: 60, size: 1 },
      transport: { offset: 61, size: 1 },
      passesOver: { offset: 62, size: 1 },
      kind: { offset: 63, size: 1 },
      port: { offset: 64, size: 12 },
      allow: { offset: 76, size: 12 },
      sets: { offset: 88, size: 24 },
      counter: { offset: 112, size: 4 },
      carrierEvery: { offset: 116, size: 4 },
      carrierDport: { offset: 120, size: 2 },
      carrierSportFirst: { offset: 122, size: 2 },
      carrierSportLast: { offset: 124, size: 2 },
      carrierSportKind: { offset: 126, size: 1 },
      otherTransport: { offset: 127, size: 1 },
    },
  },
  searchBucket: {
    size: 64,
    fields: {
      next: { offset: 0, size: 4 },
      laterFirstRule: { offset: 4, size: 4 },
      entries: { offset: 8, size: 56 },
    },
  },
  searchEntry: {
    size: 8,
    fields: {
      hash: { offset: 0, size: 4 },
      rule: { offset: 4, size: 4 },
    },
  },
  searchTable: {
    size: 64,
    fields: {
      saddrMask: { offset: 0, size: 16 },
      daddrMask: { offset: 16, size: 16 },
      portsMask: { offset: 32, size: 4 },
      buckets: { offset: 36, size: 4 },
      bucketMask: { offset: 40, size: 4 },
      firstRule: { offset: 44, size: 4 },
      next: { offset: 48, size: 4 },
      laterFirstRule: { offset: 52, size: 4 },
      zero: { offset: 56, size: 8 },
    },
  },
  setKey: {
    size: 24,
    fields: {
      prefixLength: { offset: 0, size: 4 },
      set: { offset: 4, size: 4 },
      member: { offset: 8, size: 16 },
    },
  },
  textChunk: {
    size: 4096,
    fields: {
      bytes: { offset: 0, size: 4096 },
    },
  },
} as const;
