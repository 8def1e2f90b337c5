// What it costs to find the rule of a packet, by the number of rules, ours beside a linear search. The
// cache of flows, which answers for most packets, is not asked.
import { drawPlot } from "./plot.mjs";
import { Random } from "./random.mjs";
import { compare, inTurn, median } from "./rounds.mjs";
import { RULESETS, ruleset } from "./rulesets.mjs";
import { Searches } from "./searches.mjs";
import { STRUCTURES } from "./structures.mjs";

export const ROUNDS = 31;

const SIZES = [1, 10, 100, 1000, 10_000, 100_000];
/** How many times that at one rule it may cost, by number of rules. */
const GOALS = { 10000: 1.5, 100000: 2 };
/** What a user of sfunnel would have. */
const HEADLINE = "routers";

/** Of one round of one variant: few milliseconds, so that most are not interrupted. */
const FLOWS_OF_ROUND = 4096;
/** And of the linear search no more than this. */
const LOOKS_OF_ROUND = 4_000_000;

/** Flows of most lists: twice as many as the cache of flows of a CPU would hold. */
const FLOWS = 1024;
/** So many that what the CPU's caches hold of the last time has gone when a flow comes again. */
const SCATTERED = 65_536;

/** Lists of flows, and what they are called. */
const LISTS = {
  none: "no rule matches",
  first: "the first rule",
  last: "the last rule",
  random: "random rules",
  scattered: `random rules, ${number(SCATTERED)} flows`,
};
/** The worst of them stands for a kind of rules beside the headline. */
const JUDGED = ["none", "first", "last", "random"];

function number(value) {
  return value.toLocaleString("en");
}

/** Lists of flows of a ruleset, and the sum of the rules that the flows of `random` are made for. */
function listsOf({ rules, ofRule, ofNone }) {
  const random = new Random(rules.length);
  const list = (count, flow) => Array.from({ length: count }, flow);
  const any = () => random.below(rules.length);
  const chosen = list(FLOWS, any);
  return {
    lists: {
      none: list(FLOWS, ofNone),
      first: list(FLOWS, () => ofRule(0)),
      last: list(FLOWS, () => ofRule(rules.length - 1)),
      random: chosen.map(ofRule),
      scattered: list(SCATTERED, () => ofRule(any())),
    },
    sum: chosen.reduce((sum, rule) => sum + rule, 0),
  };
}

/** Rules of one kind and number, searched in one way. */
class Subject {
  #what;
  #size;
  #searches;

  constructor(what, size, searches) {
    this.#what = `${what}, ${number(size)} rules`;
    this.#size = size;
    this.#searches = searches;
  }

  static async load(kind, size) {
    const rules = ruleset(kind, size);
    const { lists, sum } = listsOf(rules);
    const subject = new Subject(kind, size, await Searches.load(rules.rules, lists));
    return subject.#checked(sum, rules.simple !== undefined);
  }

  static async loadLinear(kind, size) {
    const rules = ruleset(kind, size);
    const { lists, sum } = listsOf(rules);
    const simple = Array.from({ length: size }, (_, index) => rules.simple(index));
    const searches = await Searches.loadLinear(simple, lists);
    return new Subject(`${kind} in a linear search`, size, searches).#checked(sum, true);
  }

  /** Whether it finds the rules that it should: the same ones, or those before them where rules overlap. */
  async #checked(sum, isDistinct) {
    try {
      const { asked, ruleTotal } = await this.#searches.search("random", FLOWS);
      const expected = sum * (asked / FLOWS);
      if (isDistinct ? ruleTotal !== expected : ruleTotal > expected) {
        throw new Error(`${this.#what}: ${asked} flows met rules ${ruleTotal}, not ${expected}`);
      }
      return this;
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Rules in another structure, which finds the same ones as we do. */
  static async loadStructure(structure, kind, size) {
    const rules = ruleset(kind, size);
    const { random, none } = listsOf(rules).lists;
    const searches = await Searches.loadStructure(STRUCTURES[structure](rules.rules), {
      random,
      none,
    });
    return new Subject(`${kind} in ${structure}`, size, searches);
  }

  /** The sum of the rules that random flows meet. */
  async total() {
    return (await this.#searches.search("random", FLOWS)).ruleTotal;
  }

  async packets(list) {
    return this.#timeOf(list, await this.#searches.packets(list, FLOWS_OF_ROUND));
  }

  async search(list, flows = FLOWS_OF_ROUND) {
    return this.#timeOf(list, await this.#searches.search(list, flows));
  }

  /** Throws if the flows did not meet the rules that they are about: their time says nothing then. */
  #timeOf(list, { time, asked, matched, ruleTotal }) {
    const expected = list === "none" ? 0 : asked;
    const total = { first: 0, last: asked * (this.#size - 1) }[list] ?? ruleTotal;
    if (matched !== expected || ruleTotal !== total) {
      throw new Error(`${this.#what}, ${LISTS[list]}: ${asked} flows met ${matched} rules`);
    }
    return time;
  }

  close() {
    this.#searches.close();
  }
}

/** What is around all of them: a program that does nothing but make the frame one of the next flow. */
class Nothing {
  #searches;

  static async load() {
    const nothing = new Nothing();
    const { lists } = listsOf(ruleset(HEADLINE, 1));
    nothing.#searches = await Searches.load(undefined, lists);
    return nothing;
  }

  async packets() {
    return (await this.#searches.packets("random", FLOWS_OF_ROUND)).time;
  }

  async search() {
    return (await this.#searches.search("random", FLOWS_OF_ROUND)).time;
  }

  close() {
    this.#searches.close();
  }
}

/** Name of a variant. */
const name = (way, kind, size, list) => `${way} ${kind} ${size} ${list}`;
const [OURS, SEARCH, LINEAR] = ["packets", "search", "linear"];
const LINEAR_LISTS = ["none", "last", "random"];

/** Sizes at which other structures are measured. */
const COMPARED = [1000, 10_000, 100_000];
/** Which structures are measured for which kinds and lists; what is left out, they cannot do. */
const COMPARISONS = Object.keys(RULESETS).flatMap((kind) => [
  { structure: "tuple space", kind, list: "random" },
  { structure: "tuple space", kind, list: "none" },
  ...(kind === "services" ? [] : [{ structure: "prefix trie", kind, list: "random" }]),
  ...(kind === HEADLINE ? [{ structure: "bit vectors", kind, list: "none" }] : []),
]);

async function loadVariants(subjects) {
  const nothing = await Nothing.load();
  subjects.push(nothing);
  const variants = { nothing: () => nothing.packets(), noSearch: () => nothing.search() };
  for (const size of SIZES) {
    for (const kind of Object.keys(RULESETS)) {
      const subject = await Subject.load(kind, size);
      subjects.push(subject);
      for (const list of Object.keys(LISTS)) {
        variants[name(OURS, kind, size, list)] = () => subject.packets(list);
        if (kind === HEADLINE)
          variants[name(SEARCH, kind, size, list)] = () => subject.search(list);
      }
    }
    const linear = await Subject.loadLinear(HEADLINE, size);
    subjects.push(linear);
    const flows = Math.min(FLOWS_OF_ROUND, LOOKS_OF_ROUND / size);
    for (const list of LINEAR_LISTS) {
      variants[name(LINEAR, HEADLINE, size, list)] = () => linear.search(list, flows);
    }
  }
  return { ...variants, ...(await loadStructures(subjects)) };
}

/** Throws where a structure does not find what ours does. */
async function loadStructures(subjects) {
  const variants = {};
  for (const size of COMPARED) {
    for (const kind of Object.keys(RULESETS)) {
      const ours = await Subject.load(kind, size);
      subjects.push(ours);
      for (const list of JUDGED) {
        variants[name(SEARCH, kind, size, list)] = () => ours.search(list);
      }
      const wanted = COMPARISONS.filter((comparison) => comparison.kind === kind);
      for (const structure of new Set(wanted.map((comparison) => comparison.structure))) {
        const other = await Subject.loadStructure(structure, kind, size);
        subjects.push(other);
        const lists = wanted.filter((comparison) => comparison.structure === structure);
        const finds = lists.some(({ list }) => list === "random");
        if (finds && (await other.total()) !== (await ours.total())) {
          throw new Error(`${kind}, ${number(size)} rules: a ${structure} finds others than ours`);
        }
        for (const { list } of lists) {
          variants[name(structure, kind, size, list)] = () => other.search(list);
        }
      }
    }
  }
  return variants;
}

/** Times of each variant, without what is around them. */
function withoutAround({ nothing, noSearch, ...samples }) {
  return Object.fromEntries(
    Object.entries(samples).map(([variant, times]) => {
      const around = variant.startsWith(OURS) ? nothing : noSearch;
      return [variant, times.map((time, round) => time - around[round])];
    }),
  );
}

const [ONE] = SIZES;

/** The goals, and what is said beside them. */
function rowsOf(samples) {
  const row = (way, kind, size, list, what, most) =>
    compare(
      { what: `${what}, ${number(size)} rules`, against: "1 rule", unit: "ns", most },
      samples[name(way, kind, size, list)],
      samples[name(way, kind, ONE, list)],
    );
  const rows = [];
  for (const [size, most] of Object.entries(GOALS)) {
    for (const [list, title] of Object.entries(LISTS)) {
      rows.push(row(OURS, HEADLINE, Number(size), list, `lookup, ${HEADLINE}, ${title}`, most));
    }
  }
  for (const kind of Object.keys(RULESETS).filter((other) => other !== HEADLINE)) {
    for (const [size, most] of Object.entries(GOALS)) {
      const all = JUDGED.map((list) =>
        row(OURS, kind, Number(size), list, `lookup, ${kind}, the worst: ${LISTS[list]}`, most),
      );
      rows.push(all.reduce((worst, other) => (other.ratio > worst.ratio ? other : worst)));
    }
  }
  for (const list of ["random", "scattered"]) {
    for (const size of Object.keys(GOALS)) {
      const what = `the search alone, ${HEADLINE}, ${LISTS[list]}`;
      rows.push(row(SEARCH, HEADLINE, Number(size), list, what));
    }
  }
  return rows;
}

/** Costs by number of rules, as multiples of that of `unit`, a variant. */
function costsOf(samples, unit, way, kind, list, sizes = SIZES) {
  return sizes.map((size) => {
    const times = samples[name(way, kind, size, list)];
    return median(times.map((time, round) => time / samples[unit][round]));
  });
}

const ONE_PACKET = name(OURS, HEADLINE, ONE, "random");
const ONE_SEARCH = name(SEARCH, HEADLINE, ONE, "random");

const titlesOf = (sizes) => [
  "",
  ...sizes.map((size) => `${number(size)} ${size === 1 ? "rule" : "rules"}`),
];

function tablesOf(samples) {
  const titles = titlesOf(SIZES);
  const row = (title, ...costs) => [
    title,
    ...costsOf(samples, ...costs).map((cost) => cost.toFixed(cost < 100 ? 2 : 0)),
  ];
  const rows = (prefix, lists, ...which) =>
    lists.map((list) => row(`${prefix}: ${LISTS[list]}`, ...which, list));
  const all = Object.keys(LISTS);
  return [
    {
      title: `Cost of a packet; 1 is ${HEADLINE} at one rule, ${LISTS.random}`,
      titles,
      rows: Object.keys(RULESETS).flatMap((kind) => rows(kind, all, ONE_PACKET, OURS, kind)),
    },
    {
      title: `Cost of the search alone, of ${HEADLINE}; 1 is sfunnel at one rule, ${LISTS.random}`,
      titles,
      rows: [
        ...rows("sfunnel", all, ONE_SEARCH, SEARCH, HEADLINE),
        ...rows("linear", LINEAR_LISTS, ONE_SEARCH, LINEAR, HEADLINE),
      ],
    },
    {
      title: `Cost of the search alone, in other structures; 1 is sfunnel at one rule, ${LISTS.random}`,
      titles: titlesOf(COMPARED),
      rows: Object.keys(RULESETS).flatMap((kind) => [
        ...["random", "none"].map((list) =>
          row(`${kind}, sfunnel: ${LISTS[list]}`, ONE_SEARCH, SEARCH, kind, list, COMPARED),
        ),
        ...COMPARISONS.filter((comparison) => comparison.kind === kind).map(({ structure, list }) =>
          row(`${kind}, ${structure}: ${LISTS[list]}`, ONE_SEARCH, structure, kind, list, COMPARED),
        ),
      ]),
    },
  ];
}

function plotOf(samples) {
  const line = (title, style, way, list) => ({
    title,
    style,
    points: costsOf(samples, ONE_SEARCH, way, HEADLINE, list).map((cost, index) => [
      SIZES[index],
      cost,
    ]),
  });
  return {
    file: "lookup.svg",
    svg: drawPlot({
      title: "Cost of the search for the rule of a packet",
      description:
        "Both axes are logarithmic. A linear search grows with the number of rules, that of sfunnel hardly does.",
      across: "rules",
      up: "cost; 1 is sfunnel at one rule",
      lines: [
        line("linear: the last rule", "other", LINEAR, "last"),
        line("linear: random rules", "other dashed", LINEAR, "random"),
        line(`sfunnel: ${LISTS.scattered}`, "ours dotted", SEARCH, "scattered"),
        line(`sfunnel: ${LISTS.random}, ${number(FLOWS)} flows`, "ours dashed", SEARCH, "random"),
        line("sfunnel: the last rule", "ours", SEARCH, "last"),
      ],
    }),
  };
}

/** Gives rows for the goals, a table of all sizes, and a plot. */
export async function measureLookup({ rounds = ROUNDS, signal }) {
  const subjects = [];
  try {
    const variants = await loadVariants(subjects);
    const samples = withoutAround(await inTurn(variants, rounds, signal));
    return { rows: rowsOf(samples), tables: tablesOf(samples), plots: [plotOf(samples)] };
  } finally {
    for (const subject of subjects) subject.close();
  }
}
