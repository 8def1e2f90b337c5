/** What a later process can read from a loaded program. */
import { describe, expect, it } from "vitest";
import { RuleTexts } from "../../lib/compile/rule-texts.ts";
import { type Rule, tcp, udp } from "../../lib/index.ts";
import { atOnce } from "../../lib/rules/sliced.ts";
import { Funnel } from "../../lib/runtime/funnel.ts";
import { inspect } from "../../lib/runtime/inspect.ts";
import { decodeRulesetText, rulesetText, writeChunks } from "../../lib/runtime/ruleset-text.ts";
import { type Host, Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";

const CHUNK = 4096;

function commented(length: number): Rule {
  return { ...udp({ dport: 5 }).accept(), comment: "c".repeat(length) };
}

function encode(ingress: readonly Rule[]) {
  const counters = { ingress: ingress.map((_, index) => index + 7), egress: [] };
  const texts = { ingress: atOnce(RuleTexts.of(ingress)), egress: atOnce(RuleTexts.of([])) };
  const text = atOnce(rulesetText(texts, counters));
  const bytes = new Uint8Array(text.count * CHUNK);
  atOnce(writeChunks(text, (first, part) => bytes.set(part, first * CHUNK)));
  return { bytes, count: text.count };
}

describe("the text of a ruleset", () => {
  it("gives back rules, counters and names of outcomes", () => {
    const ingress = [tcp({ dport: [80, 443], saddr: "10.0.0.0/8" }).drop(), commented(3)];
    const { bytes } = encode(ingress);
    expect(decodeRulesetText(bytes)).toMatchObject({
      outcomes: expect.arrayContaining(["no_match", "funneled"]),
      ingress: [
        { rule: ingress[0], text: expect.stringContaining("10.0.0.0/8"), counter: 7 },
        { rule: ingress[1], counter: 8 },
      ],
      egress: [],
    });
  });

  it("always ends in a zero, whatever its length", () => {
    const empty = encode([commented(1)]).bytes.indexOf(0) - 1;
    for (const length of [CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK]) {
      const { bytes, count } = encode([commented(length - empty)]);
      expect(bytes).toHaveLength(count * CHUNK);
      expect(bytes.indexOf(0)).toBe(length);
      expect(decodeRulesetText(bytes)?.ingress).toHaveLength(1);
    }
  });

  it.each([
    ["nothing", ""],
    ["no JSON", "rules"],
    ["another format", '{"format":1,"outcomes":[],"flowEvents":[],"ingress":[],"egress":[]}'],
    ["no lists", '{"format":3,"outcomes":[]}'],
    [
      "rules of another shape",
      '{"format":3,"outcomes":[],"flowEvents":[],"ingress":[{}],"egress":[]}',
    ],
    ["null", "null"],
  ])("is not made out of %s", (_, text) => {
    expect(decodeRulesetText(new TextEncoder().encode(`${text}\0`))).toBeUndefined();
  });

  it("keeps the words of a rule that another version wrote", () => {
    const head = '{"format":3,"outcomes":[],"flowEvents":[],"ingress":1,"egress":0}';
    const text = `${head}\nsctp actions fly\n1 `;
    expect(decodeRulesetText(new TextEncoder().encode(`${text}\0`))?.ingress).toEqual([
      { text: "sctp actions fly", rule: undefined, counter: 1 },
    ]);
  });
});

describe.skipIf(skipReason !== undefined)(titled("inspect"), () => {
  function hostIn(lab: Lab): Host {
    const host = lab.host("a");
    lab.run(host, "ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth1");
    return host;
  }

  /** An IPv4 UDP frame to a port; its checksum is "none". */
  function frameTo(port: number): Uint8Array {
    const frame = new Uint8Array(60);
    frame.set([0x08, 0x00, 0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17], 12);
    frame.set([port >> 8, port & 0xff, 0, 26], 36);
    return frame;
  }

  it("sees what the Funnel itself sees, through replaces, on each hook", async () => {
    using lab = new Lab();
    const { netns } = hostIn(lab);
    for (const hook of ["tcx", "clsact"] as const) {
      await using funnel = await Funnel.load({ ingress: [udp({ dport: 5 }).accept()] });
      await funnel.attach("eth0", { netns, hook, name: "mine" });
      for (const dport of [5, 6]) {
        const ingress = [udp({ dport: 1 }).drop(), udp({ dport }).accept()];
        await funnel.replace({ ingress, egress: [udp({ sport: dport }).drop()] });
        for (let sent = 0; sent < dport; sent++) {
          await funnel.testRun(frameTo(dport), { direction: "ingress" });
        }
        const stats = await funnel.stats();
        const found = await inspect({ netns, devices: ["eth0"] });
        expect(found.map(({ direction }) => direction)).toEqual(["ingress", "egress"]);
        for (const { direction, rules, outcomes, flows, ...rest } of found) {
          expect(rest).toMatchObject({ device: "eth0", hook, name: "mine", repliesOnly: false });
          expect(rules).toEqual(
            stats[direction].rules.map((each) => ({ ...each, text: expect.any(String) })),
          );
          expect(outcomes).toEqual(stats[direction].outcomes);
          expect(flows?.added).toBe(stats.flows.added);
        }
        expect(found[0]?.rules?.[1]).toMatchObject({ packets: dport, bytes: dport * 60 });
      }
    }
    expect(await inspect({ netns })).toEqual([]);
  });

  it("reads as many rules as there may be", async () => {
    using lab = new Lab();
    const { netns } = hostIn(lab);
    const ingress = Array.from({ length: 256 }, (_, index) => ({
      ...udp({ dport: index + 1, saddr: ["10.0.0.0/8", "192.168.0.0/16"] }).accept(),
      comment: `rule ${index}`,
    }));
    await using funnel = await Funnel.load({ ingress });
    await funnel.attach("eth0", { netns, direction: "ingress" });
    const [found] = await inspect({ netns, devices: ["eth0"] });
    expect(found?.rules?.map(({ rule }) => rule)).toEqual(funnel.rules.ingress);
  });

  it("is never caught between two rulesets", async () => {
    using lab = new Lab();
    const { netns } = hostIn(lab);
    // Which counter a rule has differs between the two, so a mixture would show.
    const lists = [[6, 5], [5]].map((ports) => ports.map((dport) => udp({ dport }).accept()));
    await using funnel = await Funnel.load({ ingress: lists[0] ?? [] });
    await funnel.attach("eth0", { netns, direction: "ingress" });
    await funnel.testRun(frameTo(5), { direction: "ingress" });
    let replaces = 0;
    let reading = true;
    const replacing = (async () => {
      while (reading) await funnel.replace({ ingress: lists[++replaces % 2] ?? [] });
    })();
    try {
      for (const seen = new Set<number>(); seen.size < 2 || replaces < 20; ) {
        const [found] = await inspect({ netns, devices: ["eth0"] });
        const last = found?.rules?.at(-1);
        expect(last).toMatchObject({ text: "udp dport 5 actions accept", packets: 1 });
        seen.add(found?.rules?.length ?? 0);
      }
    } finally {
      reading = false;
      await replacing;
    }
  });
});
