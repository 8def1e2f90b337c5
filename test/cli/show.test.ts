/** `sfunnel show` and `sfunnel stats`, against the packets that were sent. */
import { describe, expect, it } from "vitest";
import { Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import { sfunnel, shownByCommand, succeed } from "./sfunnel.ts";

const funnel = "udp dport 2055 actions funnel tcp dport 179 sport 540";
const unfunnel = "tcp dport 179 actions unfunnel udp allow 2055";
const packets = 25;
const payload = 100;
/** Ethernet, IPv4, UDP. */
const frame = 14 + 20 + 8 + payload;
const carrier = 20;

describe.skipIf(skipReason !== undefined)(titled("show and stats"), () => {
  it("count what was sent", async () => {
    using lab = new Lab();
    const [client, server] = [lab.host("c"), lab.host("s")];
    lab.link(client, "eth0", "10.1.0.1/24", server, "eth0", "10.1.0.2/24");
    succeed({ host: client, env: { SFUNNEL_RULESET: funnel, DIRECTION: "egress" } });
    succeed({ host: server, env: { SFUNNEL_RULESET: `${unfunnel} comment "flows"` } });

    const to = { address: "10.1.0.2", port: 2055 };
    const echo = await lab.endpoint(server, "udpEcho", { ...to, silent: true }).ready();
    const send = { ...to, count: packets, length: payload, echo: false };
    await lab.endpoint(client, "udpSend", send).end();
    await echo.message(({ text }) => text === `datagram ${packets - 1}`);

    const [sent] = shownByCommand(client).filter(({ direction }) => direction === "egress");
    const [received] = shownByCommand(server, "eth0").filter(
      ({ direction }) => direction === "ingress",
    );
    expect(sent).toMatchObject({
      ...{ device: "eth0", direction: "egress", name: "default", repliesOnly: false },
      rules: [{ rule: funnel, packets, bytes: packets * frame }],
      outcomes: { funneled: { packets, bytes: packets * frame } },
    });
    const bytes = packets * (frame + carrier);
    expect(received).toMatchObject({
      rules: [{ rule: `${unfunnel} comment "flows"`, packets, bytes }],
      outcomes: { unfunneled: { packets, bytes } },
      flows: { added: 1 },
    });

    const line = new RegExp(`^  ${unfunnel} comment "flows" +${packets} +${bytes}$`, "m");
    const show = succeed({ host: server, args: ["show"] });
    expect(show).toMatch(/^eth0 ingress: "default" \((tcx|clsact), program \d+\)$/m);
    expect(show).toMatch(line);
    expect(show).not.toContain("unfunneled");
    const stats = succeed({ args: ["stats", "--netns", server.netns] });
    expect(stats).toMatch(line);
    expect(stats).toMatch(/^ {2}added +1$/m);
    expect(stats).toMatch(new RegExp(`^  unfunneled +${packets} +${bytes}$`, "m"));
  });

  it("have a document of a fixed shape", () => {
    using lab = new Lab();
    const host = lab.host("a");
    lab.run(host, "ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth1");
    succeed({ host, env: { SFUNNEL_RULESET: funnel, DIRECTION: "both", IFACES: "eth0" } });
    const document = (command: string) =>
      JSON.parse(succeed({ host, args: [command, "--json", "eth0"] })) as {
        attachments: Record<string, unknown>[];
        segmenter?: unknown;
      };
    const counter = { packets: expect.any(Number), bytes: expect.any(Number) };
    const attachment = {
      ...{ device: "eth0", ifindex: expect.any(Number), hook: "tcx", name: "default" },
      ...{ programId: expect.any(Number), funnelId: expect.any(Number), filter: null },
      ...{ repliesOnly: false, rules: [{ rule: funnel, ...counter }] },
    };
    expect(document("show")).toEqual({
      attachments: [
        { ...attachment, direction: "ingress" },
        { ...attachment, direction: "egress" },
      ],
    });
    const stats = document("stats");
    for (const each of stats.attachments) {
      expect(each.outcomes).toMatchObject({ funneled: counter, no_match: counter });
      expect(each.flows).toMatchObject({ added: 0 });
      delete each.outcomes;
      delete each.flows;
    }
    expect(stats).toEqual({ ...document("show"), segmenter: { dropped: 0, strays: 0 } });
    expect(JSON.parse(succeed({ host, args: ["show", "--json", "eth1"] }))).toEqual({
      attachments: [],
    });
  });

  it("show one program for several interfaces once, since it counts for all of them", () => {
    using lab = new Lab();
    const host = lab.host("a");
    lab.run(host, "ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth1");
    succeed({ host, env: { SFUNNEL_RULESET: "udp dport 5 actions drop" } });
    const text = succeed({ host, args: ["show"] });
    expect(text).toMatch(/^eth\d, eth\d ingress: "default"/m);
    expect(text.match(/actions drop/g)).toHaveLength(1);
  });

  it("say so where nothing is attached", () => {
    using lab = new Lab();
    const host = lab.host("a");
    for (const command of ["show", "stats"]) {
      expect(sfunnel({ host, args: [command] })).toEqual({
        ...{ code: 0, stdout: "nothing of sfunnel is attached here\n", stderr: "" },
      });
    }
  });
});
