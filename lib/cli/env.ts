/** The environment of the container, checked: pure, so that each row of its table is a unit test. */

import { OptionError } from "../errors.ts";
import { nearestWord } from "../rules/nearest.ts";
import { listWords, quoteText } from "../rules/quote.ts";
import type { Direction } from "../rules/types.ts";
import { LONGEST_NAME } from "../runtime/companion.ts";

/** Where the rules are where no variable holds them: a ConfigMap, a volume. */
export const RULES_FILE = "/etc/sfunnel/ruleset";

/** The table that --help prints; docs/container.md has the same rows. */
export const variables = [
  {
    name: "SFUNNEL_RULESET",
    meaning: `the rules of DIRECTION; wins over the file ${RULES_FILE}`,
    fallback: "",
  },
  { name: "SFUNNEL_RULESET_INGRESS", meaning: "the rules of ingress alone", fallback: "" },
  { name: "SFUNNEL_RULESET_EGRESS", meaning: "the rules of egress alone", fallback: "" },
  {
    name: "SFUNNEL_NAME",
    meaning: "name of this attachment; several can share an interface",
    fallback: "default",
  },
  { name: "IFACES", meaning: "interfaces, separated by white space", fallback: "all but lo" },
  { name: "DIRECTION", meaning: "ingress, egress or both", fallback: "ingress" },
  { name: "NETNS", meaning: "network namespace (name or path) to attach in", fallback: "own" },
  {
    name: "CLEAN",
    meaning: "1: remove what sfunnel attached to IFACES and DIRECTION",
    fallback: "0",
  },
  {
    name: "DEBUG",
    meaning: "1: tell each step on stderr, and trace each packet in the kernel",
    fallback: "0",
  },
  {
    name: "N_ATTEMPTS",
    meaning: "how often to look for an interface that is not there (yet)",
    fallback: "6",
  },
  { name: "RETRY_DELAY", meaning: "seconds between these attempts", fallback: "3" },
] as const;

export type VariableName = (typeof variables)[number]["name"];

/** Environment as `process.env` has it. An empty value, or only white space, is none. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** A text of rules and what it is for. */
export interface RulesetText {
  /** Name of the variable or of the file, for messages. */
  readonly source: string;
  readonly text: string;
  /** The hooks that these rules serve. */
  readonly directions: readonly Direction[];
}

/** What both the attaching and the cleaning run need to know. */
interface CommonSettings {
  /** Undefined: all but lo. Without duplicates, in the order given. */
  readonly devices: readonly string[] | undefined;
  readonly directions: readonly Direction[];
  /** "" is the namespace of this process. */
  readonly netns: string;
  readonly debug: boolean;
}

export interface AttachSettings extends CommonSettings {
  readonly task: "attach";
  readonly rulesets: readonly RulesetText[];
  readonly name: string;
  readonly attempts: number;
  /** Seconds. */
  readonly retryDelay: number;
}

export interface CleanSettings extends CommonSettings {
  readonly task: "clean";
  /** Undefined: whatever the name. */
  readonly name: string | undefined;
}

export type Settings = AttachSettings | CleanSettings;

const BOTH: readonly Direction[] = ["ingress", "egress"];
const MOST_ATTEMPTS = 10_000;
const LONGEST_DELAY = 3600;

/**
 * What the environment asks for. `readRulesFile` gives the content of RULES_FILE, undefined
 * where there is none; it is asked only if no variable holds rules.
 *
 * @throws OptionError naming the variable.
 */
export function readEnvironment(
  environment: Environment,
  readRulesFile: () => string | undefined,
): Settings {
  const common = {
    devices: readDevices(environment),
    netns: settingOf(environment, "NETNS") ?? "",
    debug: readSwitch(environment, "DEBUG"),
  };
  const clean = readSwitch(environment, "CLEAN");
  const name = readName(environment);
  const attempts = readNumber(environment, "N_ATTEMPTS", {
    ...{ fallback: 6, least: 1, most: MOST_ATTEMPTS, whole: true },
  });
  const retryDelay = readNumber(environment, "RETRY_DELAY", {
    ...{ fallback: 3, least: 0, most: LONGEST_DELAY, whole: false },
  });
  const directions = readDirections(environment);
  if (clean) return { ...common, task: "clean", name, directions: directions ?? ["ingress"] };
  const rulesets = readRulesets(environment, directions, readRulesFile);
  return {
    ...common,
    task: "attach",
    name: name ?? "default",
    attempts,
    retryDelay,
    rulesets,
    directions: BOTH.filter((each) =>
      rulesets.some((ruleset) => ruleset.directions.includes(each)),
    ),
  };
}

/** The rules that the environment asks for, for `sfunnel check` without a file. */
export function readRulesets(
  environment: Environment,
  directions: readonly Direction[] | undefined,
  readRulesFile: () => string | undefined,
): readonly RulesetText[] {
  const own = BOTH.flatMap((direction) => {
    const source = variableOf(direction);
    const text = rulesOf(environment, source);
    return text === undefined ? [] : [{ source, text, directions: [direction] }];
  });
  const common = rulesOf(environment, "SFUNNEL_RULESET");
  if (own.length > 0) {
    assertNoContradiction(own, common !== undefined, directions);
    return own;
  }
  const wanted = directions ?? ["ingress"];
  if (common !== undefined) {
    return [{ source: "SFUNNEL_RULESET", text: common, directions: wanted }];
  }
  const text = readRulesFile();
  if (text !== undefined) return [{ source: RULES_FILE, text, directions: wanted }];
  throw noRuleset(environment);
}

/** Undefined where DIRECTION is not set. */
export function readDirections(environment: Environment): readonly Direction[] | undefined {
  const value = settingOf(environment, "DIRECTION");
  switch (value) {
    case undefined:
      return undefined;
    case "ingress":
    case "egress":
      return [value];
    case "both":
      return BOTH;
    default: {
      const meant = nearestWord(value, [...BOTH, "both"]);
      throw wrong(
        "DIRECTION",
        `must be ingress, egress or both, found ${quoteText(value)}`,
        meant && `did you mean ${meant}?`,
      );
    }
  }
}

function variableOf(direction: Direction): VariableName {
  return direction === "ingress" ? "SFUNNEL_RULESET_INGRESS" : "SFUNNEL_RULESET_EGRESS";
}

/** Two answers to one question are refused: which of them was meant is not ours to guess. */
function assertNoContradiction(
  own: readonly RulesetText[],
  hasCommon: boolean,
  directions: readonly Direction[] | undefined,
): void {
  const given = own.map(({ source }) => source);
  const [first = "SFUNNEL_RULESET_INGRESS"] = given;
  if (hasCommon) {
    throw wrong(
      "SFUNNEL_RULESET",
      `and ${listWords(given, "and")} are both set`,
      "give one list for DIRECTION, or one list for each direction",
    );
  }
  if (directions === undefined) return;
  const needed = directions.map(variableOf);
  const missing = needed.find((name) => !given.includes(name));
  const extra = given.find((name) => !needed.includes(name as VariableName));
  if (missing === undefined && extra === undefined) return;
  const asked = directions.length === 2 ? "both" : directions[0];
  throw wrong(
    "DIRECTION",
    missing === undefined
      ? `is ${asked}, but ${extra} is set`
      : `is ${asked}, but ${first} is set and ${missing} is not`,
    "leave DIRECTION out: the lists say which directions they are for",
  );
}

function noRuleset(environment: Environment): OptionError {
  const known = variables.map(({ name }) => name);
  const misspelt = Object.keys(environment).find(
    (name) =>
      name.startsWith("SFUNNEL_") &&
      !(known as readonly string[]).includes(name) &&
      nearestWord(name, known) !== undefined,
  );
  const meant = misspelt === undefined ? undefined : nearestWord(misspelt, known);
  return new OptionError(
    "SFUNNEL_RULESET",
    `no ruleset: set SFUNNEL_RULESET, or put the rules into ${RULES_FILE}`,
    {
      operation: "environment",
      ...(misspelt && { hint: `${misspelt} is set; did you mean ${meant}?` }),
    },
  );
}

function readDevices(environment: Environment): readonly string[] | undefined {
  const value = settingOf(environment, "IFACES");
  if (value === undefined) return undefined;
  const names = [...new Set(value.split(/\s+/))];
  // The kernel takes a comma in a name; who writes one here means two names.
  const bad = names.find((name) => !isDeviceName(name) || name.includes(","));
  if (bad === undefined) return names;
  throw wrong(
    "IFACES",
    `holds ${quoteText(bad)}, which cannot be the name of an interface`,
    "names have at most 15 bytes, no / and :, and are separated by white space",
  );
}

/** IFNAMSIZ and dev_valid_name() of the kernel. */
function isDeviceName(name: string): boolean {
  return /^[^\s/:]+$/.test(name) && Buffer.byteLength(name) <= 15;
}

function readName(environment: Environment): string | undefined {
  const name = settingOf(environment, "SFUNNEL_NAME");
  if (name === undefined) return undefined;
  const length = Buffer.byteLength(name);
  if (length <= LONGEST_NAME) return name;
  throw wrong("SFUNNEL_NAME", `takes at most ${LONGEST_NAME} bytes, found ${length}`);
}

function readSwitch(environment: Environment, name: VariableName): boolean {
  const value = settingOf(environment, name) ?? "0";
  if (value === "0" || value === "1") return value === "1";
  throw wrong(name, `must be 0 or 1, found ${quoteText(value)}`);
}

function readNumber(
  environment: Environment,
  name: VariableName,
  range: { fallback: number; least: number; most: number; whole: boolean },
): number {
  const { fallback, least, most, whole } = range;
  const value = settingOf(environment, name);
  if (value === undefined) return fallback;
  const form = whole ? /^\d+$/ : /^(\d+\.?\d*|\.\d+)$/;
  const number = Number(value);
  if (form.test(value) && number >= least && number <= most) return number;
  const kind = whole ? "a whole number" : "a number";
  throw wrong(name, `must be ${kind} from ${least} to ${most}, found ${quoteText(value)}`);
}

function settingOf(environment: Environment, name: VariableName): string | undefined {
  const value = environment[name]?.trim();
  return value === "" ? undefined : value;
}

/** Rules as they stand, so that lines and columns are those of the variable. */
function rulesOf(environment: Environment, name: VariableName): string | undefined {
  return settingOf(environment, name) === undefined ? undefined : environment[name];
}

function wrong(name: VariableName, problem: string, hint?: string): OptionError {
  return new OptionError(name, `${name} ${problem}`, {
    operation: "environment",
    ...(hint !== undefined && { hint }),
  });
}
