// What the program takes for a packet, in BPF_PROG_TEST_RUN: the program alone, without the kernel
// around it. For push and pop one frame gets and loses its carrier in turn, for translate the
// service port.
import { kernelObject } from "./compile.mjs";
import { answerFrame, dataFrame, synFrame, udpFrame } from "./frame.mjs";
import { compare, inTurn } from "./rounds.mjs";
import { PlainProgram, RulesProgram } from "./test-run.mjs";

export const ROUNDS = 101;

/** Runs in one round of one variant: few milliseconds, so that most are not interrupted. */
const REPEAT = 40_000;
const PAYLOAD = 1200;
const CARRIER = 20;

const FUNNEL = "udp dport 2055 actions funnel tcp dport 179 sport 540";
const UNFUNNEL = "tcp dport 179 sport 540 actions unfunnel udp allow 2055";
const BOTH = `${FUNNEL}\n${UNFUNNEL}`;
const ACCEPT = `udp dport 2055 actions accept\n${UNFUNNEL}`;

const TRANSLATE = `tcp dport 8080 actions funnel translate tcp dport 80
tcp dport 80 actions unfunnel translate tcp allow 8080`;

const FUNNELED = udpFrame(2055, PAYLOAD);
const OTHER = udpFrame(2056, PAYLOAD);
const TRANSLATED_SYN = synFrame(8080);
const TRANSLATED = dataFrame(8080, PAYLOAD);
/** To the funneled SYN, with its confirmation, and to the unfunneled one. */
const ANSWERS = [answerFrame(80, 8080), answerFrame(8080, 0)];
const OTHER_TCP = dataFrame(8081, PAYLOAD);

/**
 * `halves`: outcomes that the runs must end in, in equal numbers; `first`: a frame that runs before,
 * through all of them; `answers`: what then comes by the other hook.
 */
const VARIANTS = [
  {
    what: "push or pop, 2 rules",
    most: 1.8,
    rules: { egress: BOTH },
    frame: FUNNELED,
    halves: ["funneled", "unfunneled"],
  },
  {
    what: "no rule matches, 2 rules",
    rules: { egress: BOTH },
    frame: OTHER,
    halves: ["no_match"],
  },
  {
    what: "no rule matches, and no reply either",
    rules: { ingress: BOTH, egress: BOTH },
    frame: OTHER,
    halves: ["no_match"],
  },
  {
    what: "the first rule accepts",
    rules: { egress: ACCEPT },
    frame: FUNNELED,
    halves: ["accepted"],
  },
  {
    what: "translate, data of a connection, 2 rules",
    rules: { egress: TRANSLATE },
    first: TRANSLATED_SYN,
    answers: ANSWERS,
    frame: TRANSLATED,
    halves: ["funneled", "unfunneled"],
  },
  {
    what: "translate, SYN of a connection, 2 rules",
    rules: { egress: TRANSLATE },
    frame: TRANSLATED_SYN,
    halves: ["funneled", "unfunneled"],
  },
  {
    what: "translate, no rule matches TCP, 2 rules",
    rules: { egress: TRANSLATE },
    frame: OTHER_TCP,
    halves: ["no_match"],
  },
];

/** A variant that has seen to it that it does what it is about. */
async function loadVariant({ what, rules, first, answers = [], frame, halves }) {
  const program = await RulesProgram.load(rules);
  let runs = 0;
  const measure = async (repeat) => {
    runs += repeat;
    return program.run("egress", frame, repeat);
  };
  if (first) {
    runs += halves.length;
    await program.run("egress", first, halves.length);
    for (const answer of answers) await program.run("ingress", answer, 1);
  }
  return {
    what,
    async measure() {
      return (await measure(REPEAT)).duration;
    },
    /** Throws if the runs did not end as they should, so that their time says nothing. */
    async verify() {
      const outcomes = await program.outcomes("egress");
      for (const outcome of halves) {
        if (outcomes[outcome] !== runs / halves.length) {
          throw new Error(`${what}: ${runs} runs ended in ${JSON.stringify(outcomes)}`);
        }
      }
    },
    close: () => program.close(),
  };
}

/** The yardstick makes room and takes it away, or its time says nothing. */
async function verifyRoom(room) {
  const lengths = [];
  for (const repeat of [1, 2]) {
    lengths.push((await room.run("ingress", FUNNELED, repeat)).frame.length);
  }
  const expected = [FUNNELED.length + CARRIER, FUNNELED.length];
  if (lengths.join() !== expected.join()) {
    throw new Error(`bpf_skb_adjust_room made frames of ${lengths} bytes, not ${expected}`);
  }
}

/** Gives one row for each variant. */
export async function measurePush({ rounds = ROUNDS, signal }) {
  const programs = [];
  try {
    const room = await PlainProgram.load(kernelObject("adjust-room"), {
      frame_length: FUNNELED.length,
    });
    programs.push(room);
    await verifyRoom(room);
    for (const variant of VARIANTS) programs.push(await loadVariant(variant));
    const [, ...variants] = programs;

    const samples = await inTurn(
      {
        room: async () => (await room.run("ingress", FUNNELED, REPEAT)).duration,
        empty: async () => (await room.run("egress", FUNNELED, REPEAT)).duration,
        ...Object.fromEntries(variants.map(({ what, measure }) => [what, measure])),
      },
      rounds,
      signal,
    );
    for (const variant of variants) await variant.verify();

    const row = (what, most, measured) =>
      compare({ what, against: "bpf_skb_adjust_room", unit: "ns", most }, measured, samples.room);
    return [
      ...VARIANTS.map(({ what, most }) => row(what, most, samples[what])),
      row("an empty program", undefined, samples.empty),
    ];
  } finally {
    for (const program of programs) program.close();
  }
}
