import { describe, expect, it } from "vitest";
import { checkRules, plan } from "../../lib/index.ts";
import { sfunnel, succeed } from "./sfunnel.ts";

const service = ["plan", "--service", "179/tcp", "--address", "203.0.113.1"];

/** What a shell that reads this has in its variables. */
function variablesIn(text: string): [string, string][] {
  return [...text.matchAll(/^(\w+)='([^']*)'$/gm)].map(([, name = "", value = ""]) => [
    name,
    value,
  ]);
}

describe("sfunnel plan", () => {
  it("prints both sides' rules as a shell reads them", () => {
    const printed = succeed({ args: [...service, "2055,4739/udp", "8080/tcp"] });
    expect(variablesIn(printed)).toEqual([
      [
        "SFUNNEL_RULESET_EGRESS",
        "ip daddr 203.0.113.1 udp dport { 2055, 4739 } actions funnel tcp dport 179 sport 540\n" +
          "ip daddr 203.0.113.1 tcp dport 8080 actions funnel translate tcp dport 179",
      ],
      [
        "SFUNNEL_RULESET_INGRESS",
        "tcp dport 179 actions unfunnel udp allow { 2055, 4739 }\n" +
          "tcp dport 179 actions unfunnel translate tcp allow 8080",
      ],
    ]);
    // All else is comments.
    const others = printed.replace(/^\w+='[^']*'$/gm, "").split("\n");
    expect(others.filter((line) => line !== "" && !line.startsWith("#"))).toEqual([]);
    expect(others.filter((line) => line.length > 100)).toEqual([]);
    expect(printed).toContain("# Client side: each client");
    expect(printed).toContain("# Service side: each backend");
  });

  it("says what each flow costs, and what to know before", () => {
    const printed = succeed({ args: [...service, "2055/udp", "8080/tcp", "179/tcp"] });
    expect(printed.split("\n")).toEqual(
      expect.arrayContaining([
        "# A packet grows by 20 bytes at most:",
        "#   2055/udp goes in carriers from port 540, 20 bytes more",
        "#   8080/tcp is translated",
        "#   179/tcp goes as it is",
      ]),
    );
    expect(printed).toMatch(/^# warning: A client's affinity (.*\n# {3}).*\[affinity-renewal\]$/ms);
    expect(succeed({ args: [...service, "8080/tcp"] })).toContain("# No packet grows:\n");
  });

  it("says it where there is nothing to do", () => {
    const printed = succeed({ args: [...service, "179/tcp"] });
    expect(variablesIn(printed)).toEqual([]);
    expect(printed).toContain("[nothing-to-funnel]");
  });

  it("takes addresses of both families, ranges, modes, and capitals as kubectl writes them", () => {
    const args = ["--address", "2001:db8::1", "2055-2057/UDP", "8080/TCP/encap"];
    const rules = variablesIn(succeed({ args: [...service, ...args] })).map(([, text]) => text);
    expect(rules[0]?.split("\n")).toEqual([
      "ip daddr 203.0.113.1 udp dport 2055-2057 actions funnel tcp dport 179 sport 540",
      "ip6 daddr 2001:db8::1 udp dport 2055-2057 actions funnel tcp dport 179 sport 540",
      "ip daddr 203.0.113.1 tcp dport 8080 actions funnel tcp dport 179 sport 541",
      "ip6 daddr 2001:db8::1 tcp dport 8080 actions funnel tcp dport 179 sport 541",
    ]);
    for (const text of rules) {
      const errors = checkRules(text).filter(({ severity }) => severity === "error");
      expect(errors).toEqual([]);
    }
  });

  it.each([
    ["gateway", ["SFUNNEL_RULESET_INGRESS", "SFUNNEL_RULESET_INGRESS"]],
    [
      "redundant-gateways",
      ["SFUNNEL_RULESET_INGRESS", "SFUNNEL_RULESET_EGRESS", "SFUNNEL_RULESET_INGRESS"],
    ],
  ])("knows where a %s funnels", (client, names) => {
    const args = [...service, "2055/udp", "--client", client, "--sport", "700"];
    const variables = variablesIn(succeed({ args }));
    expect(variables.map(([name]) => name)).toEqual(names);
    expect(variables[0]?.[1]).toContain("sport 700");
  });

  it("takes ports to move through as rules have them", () => {
    const args = [...service, "2055/udp", "--sport", "540-571 every 4s"];
    const printed = succeed({ args });
    expect(variablesIn(printed)[0]?.[1]).toContain("sport 540-571 every 4s");
    expect(printed).toContain(
      "#   2055/udp goes in carriers from ports 540-571 every 4s, 20 bytes",
    );
    const { flows } = JSON.parse(succeed({ args: [...args, "--json"] }));
    expect(flows[0].sport).toEqual({ first: 540, last: 571, every: 4 });
    const spread = succeed({ args: [...service, "2055/udp", "--sport", "540-549"] });
    expect(spread).toContain("#   2055/udp goes in carriers from ports 540-549, 20 bytes");
  });

  it("has a JSON document of a fixed shape", () => {
    const printed = succeed({ args: [...service, "2055,4739/udp", "--tcp", "encap", "--json"] });
    const { warnings } = plan({
      service: { address: "203.0.113.1", port: 179, protocol: "tcp" },
      flows: [{ protocol: "udp", port: [2055, 4739] }],
    });
    expect(JSON.parse(printed)).toEqual({
      client: {
        ingress: [],
        egress: [
          "ip daddr 203.0.113.1 udp dport { 2055, 4739 } actions funnel tcp dport 179 sport 540",
        ],
      },
      service: {
        ingress: ["tcp dport 179 actions unfunnel udp allow { 2055, 4739 }"],
        egress: [],
      },
      flows: [
        { protocol: "udp", ports: ["2055", "4739"], mode: "encap", overhead: 20, sport: 540 },
      ],
      overhead: 20,
      warnings,
    });
  });

  it.each([
    [["plan", "2055/udp", "--address", "::1"], "required option '--service <port/protocol>'"],
    [["plan", "2055/udp", "--service", "179/tcp"], "required option '--address <address>'"],
    [service, "missing required argument 'flows'"],
    [[...service, "2055"], "flow: expected PORTS/PROTOCOL[/MODE], such as 2055,4739/udp or"],
    [[...service, "2055/udp/encap/x"], 'found "2055/udp/encap/x"'],
    [[...service, "2055/upd"], 'flows[0].protocol: expected "tcp" or "udp", found "upd" (did you'],
    [[...service, "2055,x/udp"], "flows[0].port: expected a port (1 to 65535), a range"],
    [[...service, "2055/udp/translate"], "flows[0].mode: only TCP can be translated"],
    [
      [...service, "80/tcp", "--sport", "0x10"],
      '--sport: expected a port, or ports such as "540-571 every 4s", found "0x10"',
    ],
    [[...service, "80/tcp", "--sport", "0-9"], '--sport: expected a port (1 to 65535), found "0"'],
    [[...service, "80/tcp", "--sport", "540-571 every 4d"], "--sport: expected a duration in"],
    [[...service, "2055/udp", "--sport", "540-541 every 4s"], "sport.every: the range comes round"],
    [
      [...service, "80/tcp", "--service", "179"],
      "--service: expected PORT/PROTOCOL, such as 179/tcp",
    ],
    [
      [...service, "80/tcp", "--service", "0/tcp"],
      '--service: expected a port (1 to 65535), found "0"',
    ],
    [[...service, "80/tcp", "--client", "gatway"], "argument 'gatway' is invalid"],
    [[...service, "80/tcp", "--address", "10.0.0.0/8"], "service.address: expected one address"],
  ])("refuses %j", (args, complaint) => {
    const { code, stdout, stderr } = sfunnel({ args });
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toMatch(/^sfunnel: /);
    expect(stderr).toContain(complaint);
  });
});
