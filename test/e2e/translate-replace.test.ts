/**
 * Rules that are replaced while connections are open: those go on as they began, and new ones follow
 * the new rules.
 */
import { describe, expect, it } from "vitest";
import { eventually } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import {
  CLIENT_RULE,
  podIn,
  SERVICE,
  SERVICE_RULE,
  threeHosts,
  useSides,
  WANTED,
} from "../support/translating.ts";

/** Another service port, and the way through it. */
const OTHER = 81;
const OTHER_WAY = {
  near: `tcp dport ${WANTED} actions funnel translate tcp dport ${OTHER}`,
  far: `${SERVICE_RULE}; tcp dport ${OTHER} actions unfunnel translate tcp allow ${WANTED}`,
};

const ENCAP = {
  near: `tcp dport ${WANTED} actions funnel udp dport ${OTHER} sport 540`,
  far: `${SERVICE_RULE}; udp dport ${OTHER} actions unfunnel tcp allow ${WANTED}`,
};

describe.skipIf(skipReason)(titled("rules that are replaced"), () => {
  const shared = useSides(threeHosts);
  const address = podIn("IPv4");
  const to = (port: number) => (key: string) => ({ key, address, port });
  const wanted = to(WANTED);

  /** An open connection, and what to ask it with; then the rules are others. */
  async function begun(next: { readonly near?: string; readonly far?: string }) {
    const { sides, talk } = shared();
    await sides.begin();
    const { pod, client } = await talk([SERVICE, OTHER, WANTED]);
    await client.open(wanted("old"));
    expect(await client.ask("old", "before")).toMatchObject({ port: WANTED });
    await sides.begin(next);
    const goesOn = async (text = "after") =>
      expect(await client.ask("old", text)).toMatchObject({ port: WANTED, text });
    return { sides, pod, client, goesOn };
  }

  it.each([
    { title: "is gone", rule: "" },
    { title: "accepts", rule: `tcp dport ${WANTED} actions accept` },
  ])("where the client's $title, new ones go their own way", async ({ rule }) => {
    const { sides, client, goesOn } = await begun({ near: rule });
    await goesOn();
    expect(Object.keys(await sides.near.counted("out"))).toEqual(["funneled"]);
    await client.open(wanted("new"));
    expect(await client.ask("new", "new")).toMatchObject({ port: WANTED });
    const untouched = rule === "" ? "no_match" : "accepted";
    expect(Object.keys(await sides.near.counted("out")).sort()).toEqual(
      ["funneled", untouched].sort(),
    );
    expect(Object.keys(await sides.far.counted("out")).sort()).toEqual(["no_match", "unfunneled"]);
    await goesOn("at last");
  });

  it("where it says another service port, new ones go through that", async () => {
    const { sides, client, goesOn } = await begun(OTHER_WAY);
    await goesOn();
    await client.open(wanted("new"));
    expect(await client.ask("new", "new")).toMatchObject({ port: WANTED });
    // The one goes on through the first port, the other has come through the second.
    const [first, second] = (await sides.far.end.funnel.stats()).ingress.rules;
    expect(second?.packets).toBeGreaterThan(0);
    const before = first?.packets ?? 0;
    await goesOn("still through the first");
    const [again] = (await sides.far.end.funnel.stats()).ingress.rules;
    expect(again?.packets).toBeGreaterThan(before);
    await sides.expectAllTranslated();
  });

  it("where it drops, all of it stops, until it is gone", async () => {
    const { sides, client, goesOn } = await begun({
      near: `tcp dport ${WANTED} actions drop`,
    });
    const asked = client.ask("old", "held up");
    await eventually(async () => ((await sides.near.counted("out")).dropped ?? 0) > 0);
    await sides.near.replace({ [sides.near.stand.out]: "" });
    expect(await asked).toMatchObject({ port: WANTED, text: "held up" });
    await goesOn();
  });

  it("where it puts them into carriers, new ones go in these", async () => {
    const { sides, client, goesOn } = await begun(ENCAP);
    await goesOn();
    await client.open(wanted("new"));
    expect(await client.ask("new", "new")).toMatchObject({ port: WANTED });
    expect(Object.keys(await sides.near.counted("out"))).toEqual(["funneled"]);
    expect(Object.keys(await sides.far.counted("out"))).toEqual(["unfunneled"]);
    const [first, second] = (await sides.far.end.funnel.stats()).ingress.rules;
    expect(first?.packets).toBeGreaterThan(0);
    expect(second?.packets).toBeGreaterThan(0);
    await goesOn("at last");
  });

  it("where the service's is gone, new ones are refused, and nobody else gets them", async () => {
    const { sides, pod, client, goesOn } = await begun({ far: "" });
    await goesOn();
    expect(await client.tryToOpen(wanted("new"))).toEqual({ error: "ECONNREFUSED" });
    expect(await sides.near.counted("back")).toMatchObject({ translate_unconfirmed: 1 });
    expect(await pod.seen(SERVICE)).toEqual([]);
    await client.open(to(SERVICE)("direct"));
    expect(await client.ask("direct", "direct")).toMatchObject({ port: SERVICE });
    await goesOn("at last");
  });

  it("one that was open before there was a rule is reset, and a new one is translated", async () => {
    const { sides, talk } = shared();
    await sides.begin({ near: "", far: "" });
    const { client } = await talk();
    await client.open(wanted("old"));
    await client.open(to(SERVICE)("direct"));
    await client.ask("old", "before");
    await client.ask("direct", "before");
    await sides.begin({ near: CLIENT_RULE, far: SERVICE_RULE });
    expect(await client.tryToAsk("old", "after")).toEqual({ error: "ECONNRESET" });
    expect(await sides.near.counted("out")).toEqual({ translate_lost: 1 });
    await client.open(wanted("new"));
    expect(await client.ask("new", "new")).toMatchObject({ port: WANTED });
    expect(await client.ask("direct", "after")).toMatchObject({ port: SERVICE });
  });
});
