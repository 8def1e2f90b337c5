/**
 * The rule strings of the original's own example, as they stand in its README, behind a load
 * balancer that has port 80 alone. With replies that follow by themselves on both sides, and with
 * the explicit rules that the original needs for them on either.
 */
import { execFileSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { Funnel, parseRules } from "../../lib/index.ts";
import { succeed } from "../cli/sfunnel.ts";

import { type Host, Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import { clientAddress, met, POD, routedLab } from "../support/reply-lab.ts";
import { serve, talk } from "../support/talk.ts";
import { census } from "../support/wire.ts";

const BALANCER = "203.0.113.10";

/** The value of the manifest's SFUNNEL_RULESET. */
const SERVICE_SIDE = "ip tcp dport 80 sport 540 actions unfunnel tcp";

/** The README's line of shell, with an address in place of <your LB IP1>. */
const CLIENT_SIDE = execFileSync(
  "sh",
  [
    "-c",
    `SFUNNEL_RULESET="ip daddr ${BALANCER} tcp port 443 actions funnel tcp dport 80 sport 540;\\
  ip daddr ${BALANCER} tcp port 8080 actions funnel tcp dport 80 sport 540"
printf %s "$SFUNNEL_RULESET"`,
  ],
  { encoding: "utf8" },
);

/** What the original has to be told for its replies, which keeps no state. */
const EXPLICIT = {
  service: "tcp sport {443, 8080} actions funnel tcp sport 80 dport 540",
  client: "tcp sport 80 dport 540 actions unfunnel tcp",
};

const REPLIES = [
  { replies: "by themselves", client: "", service: "" },
  { replies: "explicit on the service's side", client: "", service: EXPLICIT.service },
  { replies: "explicit on the client's side", client: EXPLICIT.client, service: "" },
] as const;

const PLACES = [
  { place: "the client (egress)", direction: "egress", back: "ingress" },
  { place: "a gateway (ingress, as by default)", direction: "ingress", back: "egress" },
] as const;

const [AT_CLIENT, AT_GATEWAY] = PLACES;
const [BY_THEMSELVES] = REPLIES;
const CASES = [
  ...REPLIES.map((replies) => ({ ...AT_CLIENT, ...replies })),
  { ...AT_GATEWAY, ...BY_THEMSELVES },
];

interface Hosts {
  readonly client: Host;
  readonly gateway: Host;
  readonly pod: Host;
}

/** A pod that serves three ports, behind a balancer that knows one of them. */
async function hosts(lab: Lab): Promise<Hosts> {
  const { clients, gateway, pod } = routedLab(lab, { clients: 1 });
  const [client] = clients;
  if (!client) throw new Error("no client");
  const to = ["-p", "tcp", "-d", BALANCER, "--dport", "80", "-j", "DNAT", "--to-destination", POD];
  lab.run(gateway, "iptables", "-w", "-t", "nat", "-A", "PREROUTING", ...to);
  for (const port of [80, 443, 8080]) await serve(lab, pod, "tcp", { port, name: `${port}` });
  return { client, gateway, pod };
}

/** Connections to all three ports, side by side, each of which is answered by its own server. */
async function talkToAll(lab: Lab, client: Host): Promise<void> {
  const talks = [];
  for (const port of [80, 443, 8080]) {
    const talking = await talk(lab, client, "tcp", { address: BALANCER, port });
    talks.push({ talking, name: `${port}` });
  }
  for (const text of ["one", "two", "three"]) {
    for (const { talking, name } of talks) {
      expect(await talking.ask(text)).toMatchObject({ text, name, sender: clientAddress(0) });
    }
  }
  for (const { talking } of talks) await talking.close();
}

describe.skipIf(skipReason)(titled("the original's rules as they stand"), () => {
  it("are two rules and one", () => {
    expect(CLIENT_SIDE).toContain(";  ip daddr");
    expect(parseRules(CLIENT_SIDE)).toHaveLength(2);
    expect(parseRules(SERVICE_SIDE)).toHaveLength(1);
  });

  it.each(CASES)(
    "at $place, replies $replies",
    async ({ direction, back, client: there, service }) => {
      using lab = new Lab();
      const { client, gateway, pod } = await hosts(lab);
      await using near = await Funnel.load({ [direction]: CLIENT_SIDE, [back]: there });
      await using far = await Funnel.load({ ingress: SERVICE_SIDE, egress: service });
      if (direction === "egress") await near.attach("eth0", { netns: client.netns });
      else await near.attach("client0", { netns: gateway.netns });
      await far.attach("eth0", { netns: pod.netns });
      const wire = await lab.capture(pod, "eth0");
      await talkToAll(lab, client);

      expect(await met(near)).toEqual({
        [direction]: ["funneled", "no_match"],
        [back]: ["no_match", there ? "unfunneled" : "reply_unfunneled"],
      });
      expect(await met(far)).toEqual({
        // The connection to port 80 comes from another port than 540.
        ingress: ["no_match", "unfunneled"],
        egress: service ? ["funneled", "no_match"] : ["no_match", "reply_funneled"],
      });
      await wire.atLeast(18);
      const shown = Object.keys(census(await wire.stop()));
      expect(shown.every((each) => /\b80\b/.test(each) && !/443|8080/.test(each))).toBe(true);
    },
  );

  it("by the command, with its defaults", async () => {
    using lab = new Lab();
    const { client, gateway, pod } = await hosts(lab);
    succeed({ host: pod, env: { SFUNNEL_RULESET: SERVICE_SIDE } });
    const gatewayEnvironment = { SFUNNEL_RULESET: CLIENT_SIDE, IFACES: "client0" };
    succeed({ host: gateway, env: gatewayEnvironment });
    await talkToAll(lab, client);
  });

  it("are needed: without them the balancer knows no port but 80", async () => {
    using lab = new Lab();
    const { client } = await hosts(lab);
    const open = await talk(lab, client, "tcp", { address: BALANCER, port: 80 });
    await open.ask("one");
    await expect(talk(lab, client, "tcp", { address: BALANCER, port: 8080 })).rejects.toThrow(
      /ENETUNREACH|EHOSTUNREACH/,
    );
  });
});
