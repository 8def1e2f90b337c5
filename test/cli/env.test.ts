import { describe, expect, it } from "vitest";
import {
  type Environment,
  RULES_FILE,
  readEnvironment,
  type Settings,
  variables,
} from "../../lib/cli/env.ts";
import { OptionError } from "../../lib/errors.ts";

const rules = "tcp dport 179 actions unfunnel udp allow 2055";
const fileRules = "udp dport 1 actions accept";

function read(environment: Environment, file?: string): Settings {
  return readEnvironment(environment, () => file);
}

/** What is asked for beside the defaults. */
const defaults = {
  ...{ task: "attach", devices: undefined, netns: "", debug: false, name: "default" },
  ...{ attempts: 6, retryDelay: 3, directions: ["ingress"] },
  rulesets: [{ source: "SFUNNEL_RULESET", text: rules, directions: ["ingress"] }],
};

function refusal(environment: Environment, file?: string): OptionError {
  try {
    read(environment, file);
  } catch (error) {
    if (error instanceof OptionError) return error;
    throw error;
  }
  throw new Error("it was taken");
}

describe("the environment", () => {
  it("has defaults for all but the rules", () => {
    expect(read({ SFUNNEL_RULESET: rules })).toEqual(defaults);
  });

  it.each(variables.map(({ name }) => name).filter((name) => name !== "SFUNNEL_RULESET"))(
    "takes an empty or blank %s as none",
    (name) => {
      expect(read({ SFUNNEL_RULESET: rules, [name]: "" })).toEqual(defaults);
      expect(read({ SFUNNEL_RULESET: rules, [name]: " \n" })).toEqual(defaults);
    },
  );

  it("takes values with white space around them", () => {
    expect(read({ SFUNNEL_RULESET: rules, DIRECTION: " egress\n" }).directions).toEqual(["egress"]);
  });

  it.each<[string, Environment, Partial<Record<string, unknown>>]>([
    ["SFUNNEL_NAME", { SFUNNEL_NAME: "bgp" }, { name: "bgp" }],
    ["IFACES", { IFACES: "eth0 eth1" }, { devices: ["eth0", "eth1"] }],
    ["IFACES of several lines", { IFACES: " eth0\n\teth1 eth0 " }, { devices: ["eth0", "eth1"] }],
    ["IFACES with lo", { IFACES: "lo" }, { devices: ["lo"] }],
    ["NETNS", { NETNS: "blue" }, { netns: "blue" }],
    ["NETNS as a path", { NETNS: "/proc/1/ns/net" }, { netns: "/proc/1/ns/net" }],
    ["DEBUG", { DEBUG: "1" }, { debug: true }],
    ["DEBUG off", { DEBUG: "0" }, { debug: false }],
    ["CLEAN off", { CLEAN: "0" }, { task: "attach" }],
    ["N_ATTEMPTS", { N_ATTEMPTS: "1" }, { attempts: 1 }],
    ["RETRY_DELAY", { RETRY_DELAY: "0" }, { retryDelay: 0 }],
    ["RETRY_DELAY in fractions", { RETRY_DELAY: "0.25" }, { retryDelay: 0.25 }],
  ])("takes %s", (_, environment, expected) => {
    expect(read({ SFUNNEL_RULESET: rules, ...environment })).toEqual({ ...defaults, ...expected });
  });

  it.each([
    ["ingress", ["ingress"]],
    ["egress", ["egress"]],
    ["both", ["ingress", "egress"]],
  ])("takes DIRECTION=%s for the one list", (DIRECTION, directions) => {
    expect(read({ SFUNNEL_RULESET: rules, DIRECTION })).toMatchObject({
      directions,
      rulesets: [{ source: "SFUNNEL_RULESET", text: rules, directions }],
    });
    expect(read({ DIRECTION }, fileRules)).toMatchObject({
      directions,
      rulesets: [{ source: RULES_FILE, text: fileRules, directions }],
    });
  });

  const [SFUNNEL_RULESET_INGRESS, SFUNNEL_RULESET_EGRESS] = [rules, fileRules];
  const ingress = { source: "SFUNNEL_RULESET_INGRESS", text: rules, directions: ["ingress"] };
  const egress = { source: "SFUNNEL_RULESET_EGRESS", text: fileRules, directions: ["egress"] };
  it.each<[string, Environment, unknown]>([
    ["ingress", { SFUNNEL_RULESET_INGRESS }, [ingress]],
    ["egress", { SFUNNEL_RULESET_EGRESS }, [egress]],
    ["both", { SFUNNEL_RULESET_INGRESS, SFUNNEL_RULESET_EGRESS }, [ingress, egress]],
  ])(
    "takes lists of their own for %s, without DIRECTION or with the same",
    (DIRECTION, environment, rulesets) => {
      for (const each of [environment, { ...environment, DIRECTION }]) {
        expect(read(each)).toMatchObject({
          rulesets,
          directions: DIRECTION === "both" ? ["ingress", "egress"] : [DIRECTION],
        });
      }
    },
  );

  it("prefers variables to the file, which is then not even read", () => {
    const unread = () => {
      throw new Error("read");
    };
    expect(readEnvironment({ SFUNNEL_RULESET: rules }, unread)).toEqual(defaults);
    expect(readEnvironment({ SFUNNEL_RULESET_EGRESS: rules }, unread).directions).toEqual([
      "egress",
    ]);
  });

  it("reads the file where no variable has rules", () => {
    expect(read({}, fileRules)).toMatchObject({
      rulesets: [{ source: RULES_FILE, text: fileRules, directions: ["ingress"] }],
    });
  });

  it("keeps the rules as they stand, so that columns are right", () => {
    expect(read({ SFUNNEL_RULESET: `  ${rules}` })).toMatchObject({
      rulesets: [{ text: `  ${rules}` }],
    });
  });

  it("cleans without rules, whatever the name, unless one is given", () => {
    const cleaning = { task: "clean", devices: undefined, netns: "", debug: false };
    const readNothing = () => {
      throw new Error("read");
    };
    const of = (environment: Environment) => readEnvironment(environment, readNothing);
    expect(of({ CLEAN: "1" })).toEqual({ ...cleaning, name: undefined, directions: ["ingress"] });
    expect(
      of({ CLEAN: "1", SFUNNEL_NAME: "x", DIRECTION: "both", IFACES: "a", NETNS: "n" }),
    ).toEqual({
      ...cleaning,
      ...{ name: "x", directions: ["ingress", "egress"], devices: ["a"], netns: "n" },
    });
  });
});

describe("a bad environment", () => {
  it.each<[string, Environment, string, string]>([
    ["no ruleset", {}, "SFUNNEL_RULESET", "no ruleset: set SFUNNEL_RULESET"],
    [
      "a misspelt variable",
      { SFUNNEL_RULSET: rules },
      "SFUNNEL_RULESET",
      "SFUNNEL_RULSET is set; did you mean SFUNNEL_RULESET?",
    ],
    [
      "DIRECTION",
      { DIRECTION: "ingres" },
      "DIRECTION",
      'must be ingress, egress or both, found "ingres" (did you mean ingress?)',
    ],
    ["DIRECTION in capitals", { DIRECTION: "BOTH" }, "DIRECTION", "did you mean both?"],
    ["N_ATTEMPTS=0", { N_ATTEMPTS: "0" }, "N_ATTEMPTS", "a whole number from 1 to 10000"],
    ["N_ATTEMPTS=1.5", { N_ATTEMPTS: "1.5" }, "N_ATTEMPTS", 'found "1.5"'],
    ["N_ATTEMPTS=-1", { N_ATTEMPTS: "-1" }, "N_ATTEMPTS", 'found "-1"'],
    ["N_ATTEMPTS=ten", { N_ATTEMPTS: "ten" }, "N_ATTEMPTS", 'found "ten"'],
    ["N_ATTEMPTS=10001", { N_ATTEMPTS: "10001" }, "N_ATTEMPTS", 'found "10001"'],
    ["RETRY_DELAY=-1", { RETRY_DELAY: "-1" }, "RETRY_DELAY", "a number from 0 to 3600"],
    ["RETRY_DELAY=3s", { RETRY_DELAY: "3s" }, "RETRY_DELAY", 'found "3s"'],
    ["RETRY_DELAY=1e3", { RETRY_DELAY: "1e3" }, "RETRY_DELAY", 'found "1e3"'],
    ["RETRY_DELAY=.", { RETRY_DELAY: "." }, "RETRY_DELAY", 'found "."'],
    ["RETRY_DELAY=3601", { RETRY_DELAY: "3601" }, "RETRY_DELAY", 'found "3601"'],
    ["CLEAN=yes", { CLEAN: "yes" }, "CLEAN", 'must be 0 or 1, found "yes"'],
    ["DEBUG=2", { DEBUG: "2" }, "DEBUG", 'must be 0 or 1, found "2"'],
    ["a long name in IFACES", { IFACES: "a234567890123456" }, "IFACES", "at most 15 bytes"],
    ["IFACES with a slash", { IFACES: "eth0 a/b" }, "IFACES", 'holds "a/b"'],
    ["IFACES with a comma list", { IFACES: "eth0,eth1" }, "IFACES", "white space"],
    [
      "SFUNNEL_NAME of 64 bytes",
      { SFUNNEL_NAME: "ä".repeat(32) },
      "SFUNNEL_NAME",
      "takes at most 53 bytes, found 64",
    ],
    [
      "rules twice",
      { SFUNNEL_RULESET: rules, SFUNNEL_RULESET_EGRESS: rules },
      "SFUNNEL_RULESET",
      "SFUNNEL_RULESET and SFUNNEL_RULESET_EGRESS are both set",
    ],
    [
      "a list that DIRECTION leaves out",
      { DIRECTION: "ingress", SFUNNEL_RULESET_INGRESS: rules, SFUNNEL_RULESET_EGRESS: rules },
      "DIRECTION",
      "DIRECTION is ingress, but SFUNNEL_RULESET_EGRESS is set",
    ],
    [
      "a list that DIRECTION wants",
      { DIRECTION: "both", SFUNNEL_RULESET_EGRESS: rules },
      "DIRECTION",
      "DIRECTION is both, but SFUNNEL_RULESET_EGRESS is set and SFUNNEL_RULESET_INGRESS is not",
    ],
  ])("%s", (_, environment, option, words) => {
    const error = refusal(environment);
    expect(error.option).toBe(option);
    expect(error.message).toContain(words);
    expect(error.message).not.toContain("\n");
  });

  it.each(["DIRECTION", "N_ATTEMPTS", "RETRY_DELAY", "IFACES", "DEBUG"] as const)(
    "is refused for %s when cleaning, too",
    (name) => {
      expect(refusal({ CLEAN: "1", [name]: "!/" }).option).toBe(name);
    },
  );

  it("does not take a service's variables of Kubernetes for misspelt ones", () => {
    expect(refusal({ SFUNNEL_SERVICE_HOST: "10.0.0.1" }).message).not.toContain("did you mean");
  });
});
