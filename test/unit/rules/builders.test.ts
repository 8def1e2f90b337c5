import { describe, expect, it } from "vitest";
import { OptionError } from "../../../lib/errors.ts";
import { formatRule, parseRules, type Rule, tcp, udp } from "../../../lib/rules/index.ts";

/** The builders without their types, as JavaScript sees them. */
type Loose = Record<"tcp" | "udp", (match?: unknown) => LooseFlow>;
type LooseFlow = Record<"funnel" | "unfunnel" | "accept" | "drop", (options?: unknown) => unknown>;

describe("builders", () => {
  it.each<[string, () => Rule]>([
    [
      "udp dport { 2055, 4739, 6343 } actions funnel tcp dport 179 sport 540",
      () => udp({ dport: [2055, 4739, 6343] }).funnel({ over: "tcp", dport: 179, sport: 540 }),
    ],
    ["tcp actions accept", () => tcp().accept()],
    ["tcp actions drop", () => tcp({}).drop({})],
    ['udp actions drop comment "why"', () => udp().drop({ comment: "why" })],
    ['udp actions accept comment "why"', () => udp().accept({ comment: "why" })],
    ["ip6 tcp dport 80 actions drop", () => tcp({ family: "ip6", dport: 80 }).drop()],
    ["ip saddr 10.0.0.0/8 tcp actions drop", () => tcp({ saddr: "10.0.0.1/8" }).drop()],
    [
      "ip saddr != 10.0.0.0/8 daddr { 1.1.1.1, 2.0.0.0/8 } tcp actions drop",
      () => tcp({ saddr: { not: "10.0.0.0/8" }, daddr: ["1.1.1.1", "2.0.0.0/8"] }).drop(),
    ],
    [
      "tcp sport != { 80, 443 } dport 1000-2000 port { 5, 7-9 } actions drop",
      () =>
        tcp({
          sport: { not: [443, 80, "80"] },
          dport: "1000 - 2000",
          port: ["7-9", 5],
        }).drop(),
    ],
    [
      "tcp actions funnel udp dport 1 sport keep",
      () => tcp().funnel({ mode: "encap", over: "udp", dport: 1, sport: "keep" }),
    ],
    [
      "tcp actions funnel udp dport 1 sport 540-549",
      () => tcp().funnel({ over: "udp", dport: 1, sport: "540-549" }),
    ],
    [
      "tcp actions funnel udp dport 1 sport 540",
      () => tcp().funnel({ over: "udp", dport: 1, sport: "540" }),
    ],
    [
      "tcp actions funnel udp dport 1 sport 540-549",
      () => tcp().funnel({ over: "udp", dport: 1, sport: { first: 540, last: 549 } }),
    ],
    [
      'tcp actions funnel udp dport 1 sport 540-549 every 30s comment "c"',
      () =>
        tcp().funnel({
          over: "udp",
          dport: 1,
          sport: { first: 540, last: 549, every: 30 },
          comment: "c",
        }),
    ],
    [
      "tcp actions funnel translate tcp dport 80",
      () => tcp().funnel({ mode: "translate", dport: 80 }),
    ],
    [
      "tcp actions funnel translate tcp dport 80",
      () => tcp().funnel({ mode: "translate", over: "tcp", dport: 80 }),
    ],
    ["udp actions unfunnel tcp", () => udp().unfunnel({ inner: "tcp" })],
    [
      "tcp dport 179 actions unfunnel udp allow { 2055, 4739 }",
      () => tcp({ dport: 179 }).unfunnel({ mode: "decap", inner: "udp", allow: [4739, 2055] }),
    ],
    [
      "tcp actions unfunnel translate tcp allow 8000-8099",
      () => tcp().unfunnel({ mode: "translate", allow: "8000-8099" }),
    ],
    [
      "tcp actions unfunnel translate tcp allow 8080",
      () => tcp().unfunnel({ mode: "translate", inner: "tcp", allow: 8080 }),
    ],
  ])("makes %j, the same data as the text", (text, build) => {
    const rule = build();
    expect(formatRule(rule)).toBe(text);
    expect(rule).toEqual(parseRules(text)[0]);
    expect(JSON.stringify(rule)).toBe(JSON.stringify(parseRules(text)[0]));
  });

  it("freezes rules and does not share what the caller may change", () => {
    const dport = [80, 443];
    const flow = tcp({ dport });
    const rule = flow.drop();
    dport[0] = 1;
    expect(formatRule(rule)).toBe("tcp dport { 80, 443 } actions drop");
    expect(Object.isFrozen(rule.match.dport?.ranges[0])).toBe(true);
    expect(flow.accept().match).toEqual(rule.match);
  });

  const translate = { mode: "translate" } as const;
  const carrier = { over: "tcp", dport: 179, sport: 540 } as const;
  const PORTS = 'a port (1 to 65535), a range such as "8000-8099", or an array of those';
  const SOURCE =
    'a port (1 to 65535), "keep", a range such as "540-549", or { first, last, every }';

  // what a JavaScript user may write, the option at fault, the message
  it.each<[string, (loose: Loose) => unknown, string, string]>([
    [
      "misspelt match",
      ({ tcp }) => tcp({ dprot: 80 }),
      "dprot",
      'tcp: there is no option "dprot" (did you mean "dport"?)',
    ],
    [
      "unknown match",
      ({ tcp }) => tcp({ colour: 80 }),
      "colour",
      'tcp: there is no option "colour" (known are family, saddr, daddr, sport, dport and port)',
    ],
    [
      "match that is no object",
      ({ tcp }) => tcp(80),
      "options",
      "tcp: options: expected an object, found 80",
    ],
    [
      "text as match",
      ({ udp }) => udp("dport 80"),
      "options",
      'udp: options: expected an object, found "dport 80"',
    ],
    [
      "null as match",
      ({ udp }) => udp(null),
      "options",
      "udp: options: expected an object, found null",
    ],
    [
      "family",
      ({ tcp }) => tcp({ family: "ipv4" }),
      "family",
      'tcp: family: expected "ip" or "ip6", found "ipv4"',
    ],
    ["port 0", ({ tcp }) => tcp({ dport: 0 }), "dport", `tcp: dport: expected ${PORTS}, found 0`],
    [
      "port in text",
      ({ tcp }) => tcp({ dport: "http" }),
      "dport",
      `tcp: dport: expected ${PORTS}, found "http"`,
    ],
    [
      "half a range",
      ({ tcp }) => tcp({ dport: "80-" }),
      "dport",
      `tcp: dport: expected ${PORTS}, found "80-"`,
    ],
    [
      "three ports",
      ({ tcp }) => tcp({ dport: "1-2-3" }),
      "dport",
      `tcp: dport: expected ${PORTS}, found "1-2-3"`,
    ],
    [
      "reversed range",
      ({ tcp }) => tcp({ sport: ["90-80"] }),
      "sport",
      'tcp: sport: expected a range from the lower to the higher port, found "90-80" (write 80-90)',
    ],
    [
      "fraction",
      ({ tcp }) => tcp({ port: 80.5 }),
      "port",
      `tcp: port: expected ${PORTS}, found 80.5`,
    ],
    [
      "null port",
      ({ tcp }) => tcp({ port: null }),
      "port",
      `tcp: port: expected ${PORTS}, found null`,
    ],
    [
      "no ports",
      ({ tcp }) => tcp({ port: [] }),
      "port",
      "tcp: port: an empty array matches nothing (leave the option out)",
    ],
    [
      "a hole",
      ({ tcp }) => tcp({ port: new Array(1) }),
      "port",
      `tcp: port: expected ${PORTS}, found nothing`,
    ],
    [
      "nothing negated",
      ({ tcp }) => tcp({ port: { not: [] } }),
      "port.not",
      "tcp: port.not: an empty array matches nothing (leave the option out)",
    ],
    [
      "nested not",
      ({ tcp }) => tcp({ port: { not: { not: 80 } } }),
      "port",
      `tcp: port: expected ${PORTS}, found an object`,
    ],
    [
      "misspelt not",
      ({ tcp }) => tcp({ port: { nto: 80 } }),
      "nto",
      'tcp: port: there is no option "nto" (did you mean "not"?)',
    ],
    [
      "address",
      ({ tcp }) => tcp({ saddr: "10.0.0.01" }),
      "saddr",
      'tcp: saddr: expected an address or prefix (10.0.0.1, 10.0.0.0/8, 2001:db8::/32), found "10.0.0.01" (a number of an IPv4 address has no leading zero)',
    ],
    [
      "address as number",
      ({ tcp }) => tcp({ saddr: 10 }),
      "saddr",
      "tcp: saddr: expected an address or prefix (10.0.0.1, 10.0.0.0/8, 2001:db8::/32), found 10",
    ],
    [
      "families in one set",
      ({ tcp }) => tcp({ saddr: ["::1", "1.1.1.1"] }),
      "saddr",
      'tcp: saddr: expected an IPv6 address, found "1.1.1.1" (a rule is about one family; make two rules)',
    ],
    [
      "families in one rule",
      ({ tcp }) => tcp({ saddr: "1.1.1.1", daddr: "::1" }),
      "daddr",
      'tcp: daddr: expected an IPv4 address, found "::1" (a rule is about one family; make two rules)',
    ],
    [
      "family and address",
      ({ tcp }) => tcp({ family: "ip6", daddr: "1.1.1.1" }),
      "daddr",
      'tcp: daddr: expected an IPv6 address, found "1.1.1.1" (a rule is about one family; make two rules)',
    ],

    [
      "misspelt option",
      ({ tcp }) => tcp().funnel({ ...carrier, spotr: 1 }),
      "spotr",
      'tcp().funnel: there is no option "spotr" (did you mean "sport"?)',
    ],
    [
      "no options",
      ({ tcp }) => tcp().funnel(),
      "options",
      "tcp().funnel: options: expected an object, found undefined",
    ],
    [
      "no over",
      ({ tcp }) => tcp().funnel({ dport: 1, sport: 1 }),
      "over",
      'tcp().funnel: over: expected "tcp" or "udp", found nothing',
    ],
    [
      "no dport",
      ({ tcp }) => tcp().funnel({ over: "tcp", sport: 1 }),
      "dport",
      "tcp().funnel: dport: expected a port (1 to 65535), the service port, found nothing",
    ],
    [
      "no sport",
      ({ udp }) => udp().funnel({ over: "tcp", dport: 1 }),
      "sport",
      `udp().funnel: sport: expected ${SOURCE}, found nothing`,
    ],
    [
      "bad sport",
      ({ udp }) => udp().funnel({ ...carrier, sport: "kept" }),
      "sport",
      `udp().funnel: sport: expected ${SOURCE}, found "kept"`,
    ],
    [
      "sport set",
      ({ udp }) => udp().funnel({ ...carrier, sport: [1, 2] }),
      "sport",
      `udp().funnel: sport: expected ${SOURCE}, found an array`,
    ],
    [
      "reversed sport",
      ({ udp }) => udp().funnel({ ...carrier, sport: "9-8" }),
      "sport",
      'udp().funnel: sport: expected a range from the lower to the higher port, found "9-8" (write 8-9)',
    ],
    [
      "sport without last",
      ({ udp }) => udp().funnel({ ...carrier, sport: { first: 1 } }),
      "sport.last",
      "udp().funnel: sport.last: expected a port (1 to 65535), found nothing",
    ],
    [
      "sport without first",
      ({ udp }) => udp().funnel({ ...carrier, sport: { last: 1 } }),
      "sport.first",
      "udp().funnel: sport.first: expected a port (1 to 65535), found nothing",
    ],
    [
      "misspelt every",
      ({ udp }) => udp().funnel({ ...carrier, sport: { first: 1, last: 9, evry: 60 } }),
      "evry",
      'udp().funnel: sport: there is no option "evry" (did you mean "every"?)',
    ],
    [
      "every as text",
      ({ udp }) => udp().funnel({ ...carrier, sport: { first: 1, last: 9, every: "60s" } }),
      "sport.every",
      'udp().funnel: sport.every: expected a whole number of seconds (1 to 86400), found "60s"',
    ],
    [
      "every too fast",
      ({ udp }) => udp().funnel({ ...carrier, sport: { first: 1, last: 1, every: 1 } }),
      "sport.every",
      "udp().funnel: sport.every: the range comes round in 1 seconds (1 port, 1 second each), but must take longer than 120, the SYN_SENT timeout of conntrack, or a carrier meets its own old entry (take 121s or longer, or 121 ports or more)",
    ],
    [
      "mode",
      ({ tcp }) => tcp().funnel({ ...carrier, mode: "decap" }),
      "mode",
      'tcp().funnel: mode: expected "encap" or "translate", found "decap"',
    ],
    [
      "translate udp",
      ({ udp }) => udp().funnel({ ...translate, dport: 80 }),
      "mode",
      "udp().funnel: mode: only TCP can be translated, and only over TCP (start with tcp(), or take encap and decap)",
    ],
    [
      "translate over udp",
      ({ tcp }) => tcp().funnel({ ...translate, over: "udp", dport: 80 }),
      "over",
      'tcp().funnel: over: only TCP can be translated, and only over TCP (write "tcp" or leave it out)',
    ],
    [
      "translate sport",
      ({ tcp }) => tcp().funnel({ ...translate, sport: 1, dport: 80 }),
      "sport",
      "tcp().funnel: sport: translate takes no sport: the flow keeps its own source port (leave it out)",
    ],

    [
      "no inner",
      ({ tcp }) => tcp().unfunnel({}),
      "inner",
      'tcp().unfunnel: inner: expected "tcp" or "udp", found nothing',
    ],
    [
      "unfunnel mode",
      ({ tcp }) => tcp().unfunnel({ mode: "encap" }),
      "mode",
      'tcp().unfunnel: mode: expected "decap" or "translate", found "encap"',
    ],
    [
      "empty allow",
      ({ tcp }) => tcp().unfunnel({ inner: "tcp", allow: [] }),
      "allow",
      "tcp().unfunnel: allow: an empty array matches nothing (leave the option out)",
    ],
    [
      "negated allow",
      ({ tcp }) => tcp().unfunnel({ inner: "tcp", allow: { not: 1 } }),
      "allow",
      `tcp().unfunnel: allow: expected ${PORTS}, found an object`,
    ],
    [
      "translate without allow",
      ({ tcp }) => tcp().unfunnel(translate),
      "allow",
      "tcp().unfunnel: allow: expected the ports that may be put back, found nothing",
    ],
    [
      "untranslate udp",
      ({ tcp }) => tcp().unfunnel({ ...translate, inner: "udp", allow: 1 }),
      "inner",
      'tcp().unfunnel: inner: only TCP can be translated, and only over TCP (write "tcp" or leave it out)',
    ],

    [
      "comment as number",
      ({ tcp }) => tcp().accept({ comment: 1 }),
      "comment",
      "tcp().accept: comment: expected a string, found 1",
    ],
    [
      "comment of two lines",
      ({ tcp }) => tcp().drop({ comment: "a\nb" }),
      "comment",
      'tcp().drop: comment: expected a comment of one line without control characters, found "<U+000A>"',
    ],
    [
      "misspelt comment",
      ({ tcp }) => tcp().drop({ coment: "a" }),
      "coment",
      'tcp().drop: there is no option "coment" (did you mean "comment"?)',
    ],
  ])("refuses: %s", (_name, build, option, message) => {
    let thrown: unknown;
    try {
      build({ tcp, udp } as unknown as Loose);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(OptionError);
    expect(thrown).toMatchObject({ message, option, code: "SFUNNEL_OPTION" });
  });
});
