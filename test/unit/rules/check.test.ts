import { describe, expect, it } from "vitest";
import {
  checkRules,
  formatDiagnostic,
  normaliseRules,
  parseRules,
  type Rule,
  type RuleDiagnostic,
} from "../../../lib/rules/index.ts";

const brief = ({ severity, code, rule, line, column }: RuleDiagnostic) =>
  `${severity} ${code} rule ${rule} at ${line}:${column}`;

const codes = (text: string) => checkRules(text).map(({ code }) => code);

describe("checkRules on text", () => {
  it("finds nothing wrong with good rules", () => {
    expect(
      checkRules(
        "ip daddr 192.0.2.0/24 udp dport {2055, 4739} actions funnel tcp dport 179 sport 540-549 every 30s\n" +
          "tcp dport 179 actions unfunnel udp allow {2055, 4739}\n" +
          "tcp dport 80 actions unfunnel translate tcp allow 8080\n" +
          "udp sport 1000 dport 2000 actions funnel tcp dport 179 sport keep\n" +
          "udp sport 1000 dport 53 actions unfunnel udp allow 53\n" +
          "udp sport != 53 actions funnel tcp dport 179 sport keep",
      ),
    ).toEqual([]);
    expect(checkRules("")).toEqual([]);
  });

  it("reports one error of every malformed rule, and goes on with the next", () => {
    const text = [
      "tcp dport 0 actions drop; udp actions dorp",
      "tcp actions drop",
      "tcp dport {80, 443",
      "udp dport 99999 actions drop # comment",
      'tcp dport 81 actions drop comment "a',
      "tcp dport {80, x, 443} actions drop",
      "tcp dport {80;",
      "udp udp tcp actions drop",
    ].join("\n");
    expect(checkRules(text).map(brief)).toEqual([
      "error bad-port rule 0 at 1:11",
      "error unknown-action rule 1 at 1:39",
      "error unexpected rule 3 at 4:1",
      "error bad-port rule 4 at 4:11",
      "error bad-string rule 5 at 5:35",
      "error unexpected rule 6 at 6:16",
      "error unexpected rule 7 at 7:14",
      "error both-transports rule 8 at 8:9",
    ]);
  });

  it("goes on behind the end of a broken set of several lines", () => {
    const text = "tcp dport {\n 80,\n x,\n {81, 82},\n 443\n} actions drop\nudp actions dorp";
    expect(checkRules(text).map(brief)).toEqual([
      "error unexpected rule 0 at 3:2",
      "error unknown-action rule 1 at 7:13",
    ]);
  });

  // text, warnings
  it.each<[string, string[]]>([
    ["tcp port 443 actions drop", ["port-matches-either at 1:5"]],
    ["tcp port != 443 actions drop", ["port-matches-either at 1:5"]],
    ["tcp dport 179 actions unfunnel udp", ["unfunnel-without-allow at 1:23"]],
    ["tcp dport 179 sport 540 actions unfunnel udp allow 53", ["unfunnel-matches-sport at 1:15"]],
    [
      "tcp sport 9 dport 7 port 8 actions drop",
      ["matches-nothing at 1:1", "port-matches-either at 1:21"],
    ],
    [
      "tcp dport {7, 9} port != 6-9 actions drop",
      ["matches-nothing at 1:1", "port-matches-either at 1:18"],
    ],
    ["tcp dport {7, 9} port != 6-8 actions drop", ["port-matches-either at 1:18"]],
    ["tcp sport 9 dport 7 port {7, 8} actions drop", ["port-matches-either at 1:21"]],
    ["udp actions funnel udp dport 9 sport 1-9 every 30s", ["every-over-udp at 1:13"]],
    ["tcp sport 9 actions unfunnel translate tcp allow 53", ["unfunnel-matches-sport at 1:5"]],
    ["udp dport 179 sport 540 actions unfunnel udp allow 53", []],
    ["tcp sport 8080 actions funnel tcp dport 80 sport 540", ["reply-rule at 1:5"]],
    ["tcp sport 8080 actions funnel translate tcp dport 80", ["reply-rule at 1:5"]],
    ["tcp sport 8080 dport 1024-65535 actions funnel tcp dport 80 sport 540", []],
    ["tcp sport 8080 actions drop", []],
    [
      "ip saddr 10.0.0.1/8 daddr { 10.0.0.0/8, 10.1.1.1/16 } tcp actions drop",
      ["host-bits at 1:10", "host-bits at 1:41"],
    ],
    ["ip6 saddr 2001:DB8:0::/32 tcp actions drop", []],
    ["tcp dport 80 actions drop; tcp dport 80 actions accept", ["never-reached at 1:28"]],
    ["tcp actions funnel translate tcp dport 80", ["translates-service-port at 1:13"]],
    ["tcp dport 80-90 actions funnel translate tcp dport 80", ["translates-service-port at 1:25"]],
    [
      "tcp dport != 8080 actions funnel translate tcp dport 80",
      ["translates-service-port at 1:27"],
    ],
    ["tcp dport != 80 actions funnel translate tcp dport 80", []],
    ["tcp dport 8080 actions funnel translate tcp dport 80", []],
    ["tcp actions funnel tcp dport 80 sport 540", []],
    ["tcp dport 80 actions accept; tcp actions funnel translate tcp dport 80", []],
    [
      "ip tcp dport 80 actions accept; tcp actions funnel translate tcp dport 80",
      ["translates-service-port at 1:45"],
    ],
  ])("warns of %j", (text, expected) => {
    const found = checkRules(text);
    expect(found.map(({ code, line, column }) => `${code} at ${line}:${column}`)).toEqual(expected);
    expect(found.every(({ severity }) => severity === "warning")).toBe(true);
  });

  it("words each warning as a sentence that says what to do", () => {
    const texts = checkRules(
      "ip daddr 10.0.0.1/8 tcp port 80 actions drop\n" +
        "ip daddr 10.2.0.0/16 tcp port 80 actions unfunnel udp\n" +
        "tcp sport 540 actions unfunnel udp allow 1\n" +
        "tcp sport 541 actions unfunnel translate tcp allow 1\n" +
        "udp sport { 9, 11 } actions funnel tcp dport 1 sport 2",
    ).map(formatDiagnostic);
    expect(texts).toMatchInlineSnapshot(`
      [
        "line 1, column 10: warning: "10.0.0.1/8" has bits set behind its prefix length; they are ignored: it means 10.0.0.0/8 [host-bits]
        ip daddr 10.0.0.1/8 tcp port 80 actions drop
                 ^",
        "line 1, column 25: warning: "port" matches the source port as well as the destination port; write "dport" if the port of the service is meant [port-matches-either]
        ip daddr 10.0.0.1/8 tcp port 80 actions drop
                                ^",
        "line 2, column 1: warning: this rule is never reached: the rule at line 1, column 1 decides about all of its packets [never-reached]
        ip daddr 10.2.0.0/16 tcp port 80 actions unfunnel udp
        ^",
        "line 2, column 26: warning: "port" matches the source port as well as the destination port; write "dport" if the port of the service is meant [port-matches-either]
        ip daddr 10.2.0.0/16 tcp port 80 actions unfunnel udp
                                 ^",
        "line 2, column 42: warning: whoever reaches the service port can reach every port behind it through this rule; name the ports that may pass, for instance: unfunnel udp allow 2055 [unfunnel-without-allow]
        ip daddr 10.2.0.0/16 tcp port 80 actions unfunnel udp
                                                 ^",
        "line 3, column 5: warning: a NAT on the way may change the source port of a carrier, and its fixed fields tell it from other traffic anyway; leave sport out [unfunnel-matches-sport]
        tcp sport 540 actions unfunnel udp allow 1
            ^",
        "line 4, column 5: warning: a translated flow keeps the client's own source port, which a NAT on the way may change; leave sport out [unfunnel-matches-sport]
        tcp sport 541 actions unfunnel translate tcp allow 1
            ^",
        "line 5, column 5: warning: this funnels all that leaves port { 9, 11 }, answers to flows that came unfunneled included; if it is meant for replies, leave it out: replies to funneled flows follow by themselves [reply-rule]
        udp sport { 9, 11 } actions funnel tcp dport 1 sport 2
            ^",
      ]
    `);
  });

  it("says of a source port that tells two kinds of carriers apart that it is needed", () => {
    const two = [
      "tcp dport 80 sport 540 actions unfunnel tcp allow 8080",
      "tcp dport 80 sport 541 actions unfunnel udp allow 2055",
    ];
    const messages = (...lines: string[]) =>
      checkRules(lines.join("\n")).map(({ code, message }) => `${code}: ${message}`);
    expect(messages(...two)).toEqual([
      expect.stringMatching(/^unfunnel-matches-sport: .* let none do so/),
      expect.stringMatching(/^unfunnel-matches-sport: .* let none do so/),
    ]);
    expect(messages(...two.slice(0, 1))).toEqual([
      expect.stringMatching(/^unfunnel-matches-sport: .* leave sport out$/),
    ]);
  });

  it("marks warnings and errors the same way", () => {
    const [error, warning] = checkRules("tcp dport 0 actions drop\n\ttcp port 80 actions drop");
    expect(error).toEqual({
      severity: "error",
      code: "bad-port",
      message: 'expected a port (1 to 65535), a range or a set, found "0"',
      rule: 0,
      line: 1,
      column: 11,
      source: "tcp dport 0 actions drop",
      caret: "          ^",
    });
    expect(warning).toMatchObject({ source: "\ttcp port 80 actions drop", caret: "\t    ^" });
  });
});

describe("never-reached", () => {
  // earlier rule, later rule
  it.each([
    ["tcp actions drop", "tcp dport 80 actions drop"],
    ["tcp actions drop", "ip6 saddr ::1 tcp actions drop"],
    ["ip tcp actions drop", "ip saddr 10.0.0.0/8 tcp actions drop"],
    ["saddr 0.0.0.0/0 tcp actions drop", "ip tcp actions drop"],
    ["saddr 10.0.0.0/8 tcp actions drop", "saddr 10.1.0.0/16 tcp actions drop"],
    ["saddr 10.0.0.0/9 tcp actions drop", "saddr 10.127.0.0/16 tcp actions drop"],
    [
      "saddr {10.0.0.0/8, 11.0.0.0/8} tcp actions drop",
      "saddr {11.1.1.1, 10.1.1.1} tcp actions drop",
    ],
    ["saddr != 10.0.0.0/8 tcp actions drop", "saddr 11.0.0.0/8 tcp actions drop"],
    ["saddr != 10.1.0.0/16 tcp actions drop", "saddr != 10.0.0.0/8 tcp actions drop"],
    ["saddr 2001:db8::/32 tcp actions drop", "saddr 2001:db8:1::/48 tcp actions drop"],
    ["tcp dport 80-90 actions drop", "tcp dport {80, 85-90} actions drop"],
    ["tcp dport != 80 actions drop", "tcp dport {79, 81} actions drop"],
    ["tcp dport != 80 actions drop", "tcp dport != {80, 81} actions drop"],
    ["tcp port 80 actions drop", "tcp dport 80 actions drop"],
    ["tcp port 80 actions drop", "tcp sport 80 dport 9 actions drop"],
    ["tcp port {80, 81} actions drop", "tcp port 81 actions drop"],
    ["tcp port != 80 actions drop", "tcp sport 1 dport 2 actions drop"],
    ["tcp port != 80 actions drop", "tcp port != {80, 81} actions drop"],
    ["tcp dport != 80 actions drop", "tcp port != {80, 81} actions drop"],
    ["tcp dport 80 actions accept", "tcp dport 80 actions funnel tcp dport 1 sport 2"],
    [
      "tcp dport 80 actions unfunnel udp allow 1",
      "tcp dport 80 sport != 9 actions unfunnel udp allow 2",
    ],
  ])("knows that %j leaves nothing for %j", (earlier, later) => {
    expect(codes(`${earlier}\n${later}`)).toContain("never-reached");
  });

  it.each([
    ["udp actions drop", "tcp actions drop"],
    ["ip tcp actions drop", "tcp actions drop"],
    ["ip tcp actions drop", "ip6 tcp actions drop"],
    ["saddr 0.0.0.0/0 tcp actions drop", "tcp actions drop"],
    ["saddr ::/0 tcp actions drop", "saddr 10.0.0.1 tcp actions drop"],
    ["saddr 10.1.0.0/16 tcp actions drop", "saddr 10.0.0.0/8 tcp actions drop"],
    ["saddr 10.0.0.0/9 tcp actions drop", "saddr 10.128.0.0/16 tcp actions drop"],
    ["saddr 10.0.0.0/8 tcp actions drop", "saddr {10.1.1.1, 11.1.1.1} tcp actions drop"],
    ["saddr 10.0.0.0/8 tcp actions drop", "saddr != 11.0.0.0/8 tcp actions drop"],
    ["saddr != 10.1.0.0/16 tcp actions drop", "saddr 10.0.0.0/8 tcp actions drop"],
    ["saddr != 10.0.0.0/8 tcp actions drop", "saddr 10.1.0.0/16 tcp actions drop"],
    ["saddr != 10.0.0.0/8 tcp actions drop", "saddr != 10.1.0.0/16 tcp actions drop"],
    ["saddr != 10.0.0.0/8 tcp actions drop", "ip tcp actions drop"],
    ["saddr 10.0.0.0/8 tcp actions drop", "daddr 10.0.0.0/8 tcp actions drop"],
    ["tcp dport 80 actions drop", "tcp actions drop"],
    ["tcp dport 80 actions drop", "tcp sport 80 actions drop"],
    ["tcp dport 80-90 actions drop", "tcp dport 80-91 actions drop"],
    ["tcp dport {80, 82} actions drop", "tcp dport 80-82 actions drop"],
    ["tcp dport 1-65535 actions drop", "tcp dport != 80 actions drop"],
    ["tcp dport != 80 actions drop", "tcp dport 79-80 actions drop"],
    ["tcp dport != {80, 81} actions drop", "tcp dport != 80 actions drop"],
    ["tcp dport 80 actions drop", "tcp port 80 actions drop"],
    ["tcp port 80 actions drop", "tcp dport 79-80 actions drop"],
    ["tcp port != 80 actions drop", "tcp dport 81 actions drop"],
    ["tcp port != 80 actions drop", "tcp dport != 80 actions drop"],
  ])("does not claim that %j leaves nothing for %j", (earlier, later) => {
    expect(codes(`${earlier}\n${later}`)).not.toContain("never-reached");
  });

  const decap = "tcp dport 80 actions unfunnel udp allow 1";
  const otherDecap = "tcp dport 80 actions unfunnel tcp allow 2";
  const translate = "tcp dport 80 actions unfunnel translate tcp allow 8080";
  const never = (...lines: string[]) =>
    checkRules(lines.join("\n"))
      .filter(({ code }) => code === "never-reached")
      .map(({ rule, message }) => `rule ${rule}: ${message.replace(/^.*: /, "")}`);

  it("knows that the first match decides, also where it finds no carrier", () => {
    expect(never(decap, "tcp dport 80 actions drop")).toEqual([
      "rule 1: the rule at line 1, column 1 decides about all of its packets, " +
        "SYNs of translated flows excepted",
    ]);
    expect(never(translate, "tcp dport 80 actions drop")).toEqual([
      "rule 1: the rule at line 1, column 1 decides about all of its packets, carriers excepted",
    ]);
  });

  it.each([
    ["in this order", decap, translate],
    ["in the other order", translate, decap],
    ["with another match", "ip tcp dport 80 actions unfunnel udp allow 1", translate],
    ["with a wider match", "tcp actions unfunnel translate tcp allow 8080", decap],
  ])("knows that carriers and translated flows leave each other alone, %s", (_, one, other) => {
    expect(never(one, other)).toEqual([]);
  });

  it("knows that two rules that unfunnel the same way do not", () => {
    expect(never(decap, otherDecap)).toHaveLength(1);
    expect(never(translate, translate)).toHaveLength(1);
    expect(never(decap, translate, otherDecap, translate).map((text) => text.slice(0, 6))).toEqual([
      "rule 2",
      "rule 3",
    ]);
  });

  it("knows that both together leave nothing", () => {
    expect(never(decap, translate, "tcp dport 80 sport 9 actions drop")).toEqual([
      "rule 2: the rule at line 1, column 1 and the rule at line 2, column 1 together decide " +
        "about all of its packets",
    ]);
    const udp = "udp dport 80 actions unfunnel udp allow 1";
    expect(never(udp, "udp dport 80 actions drop")).toEqual([
      "rule 1: the rule at line 1, column 1 decides about all of its packets",
    ]);
  });

  it("knows that what drops or accepts leaves nothing of either", () => {
    expect(never("tcp dport 80 actions accept", decap, translate)).toHaveLength(2);
  });

  it("finds the same match again in a list of any length", () => {
    const rules = Array.from(
      { length: 5000 },
      (_, index) => `ip daddr 10.0.${index >> 8}.${index & 255} tcp actions drop`,
    );
    rules.push("ip daddr 10.0.0.7 tcp actions accept");
    expect(checkRules(rules.join("\n")).map(brief)).toEqual([
      "warning never-reached rule 5000 at 5001:1",
    ]);
  });

  it("gives up comparing where it would take too long", () => {
    const covered = "udp dport 80-90 actions drop\nudp dport 85 actions drop";
    const wideRules = (count: number) =>
      Array.from({ length: count }, (_, missing) => {
        const ports = Array.from({ length: 32_000 }, (_, index) => 2 * index + 1);
        return `tcp dport { ${ports.toSpliced(missing, 1).join(",")} } actions drop\n`;
      }).join("");
    expect(codes(wideRules(2) + covered)).toEqual(["never-reached"]);
    expect(codes(wideRules(15) + covered)).toEqual([]);
  });
});

describe("checkRules on data", () => {
  it("warns as on text, without places", () => {
    const found = checkRules(parseRules("tcp port 80 actions drop; tcp port 80 actions drop"));
    expect(found.map(brief)).toEqual([
      "warning port-matches-either rule 0 at undefined:undefined",
      "warning port-matches-either rule 1 at undefined:undefined",
      "warning never-reached rule 1 at undefined:undefined",
    ]);
    expect(found.map(formatDiagnostic).at(-1)).toBe(
      "rule 1: warning: this rule is never reached: rule 0 decides about all of its packets [never-reached]",
    );
  });

  it("reports every rule that is none", () => {
    const rules = [
      { match: { transport: "tcp" } },
      ...normaliseRules(parseRules("tcp actions drop")),
      null,
    ] as unknown as Rule[];
    expect(checkRules(rules).map(formatDiagnostic)).toEqual([
      "rule 0: error: action: expected an action, found nothing [no-action]",
      "rule 2: error: expected an object, found null [bad-data]",
    ]);
  });

  it("never throws", () => {
    const throwing = {
      get match(): never {
        throw new Error("a getter");
      },
    };
    const hostile = new Proxy([], {
      get() {
        throw new Error("a proxy");
      },
    });
    for (const input of [undefined, null, 5, {}, Symbol("x"), () => [], hostile, [throwing]]) {
      const found = checkRules(input as unknown as Rule[]);
      expect(found.map(({ severity }) => severity)).toEqual(["error"]);
      expect(formatDiagnostic(found[0] as RuleDiagnostic)).toMatch(/^(rule 0: )?error: .+/);
    }
  });
});
