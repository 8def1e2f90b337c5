/**
 * A gateway that funnels with one rule, at the ingress of the interface to its clients or at the
 * egress of the one to the service; what comes back is unfunneled at the other hook of the same
 * interface. With a masquerade on the gateway too, which sees carriers in one place and flows in
 * the other.
 */
import { describe, expect, it } from "vitest";
import { type Direction, Funnel } from "../../lib/index.ts";
import { PAIRS } from "../support/flows.ts";
import { eventually, Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import { clientAddress, GATEWAY, met, POD, routedLab } from "../support/reply-lab.ts";
import { serve, type Talk, talk } from "../support/talk.ts";
import { census, checksumStates } from "../support/wire.ts";

const MESSAGES = 5;
/** Of all flows together there are at least so many, there and back. */
const FRAMES = PAIRS.length * MESSAGES * 2;

/** All four pairs go side by side, each to a port of its own through a service port of its own. */
const FLOWS = PAIRS.map((pair, index) => ({ ...pair, port: 2055 + index, service: 179 + index }));

const FUNNEL = FLOWS.map(
  ({ inner, over, port, service }) =>
    `${inner} dport ${port} actions funnel ${over} dport ${service} sport 540`,
).join("\n");

const UNFUNNEL = FLOWS.map(
  ({ inner, over, port, service }) =>
    `${over} dport ${service} actions unfunnel ${inner} allow ${port}`,
).join("\n");

const LEAVE = FLOWS.map(({ over, service }) => `${over} sport ${service} actions accept`).join(
  "\n",
);

const PLACES = [
  { direction: "ingress", back: "egress", device: "client0" },
  { direction: "egress", back: "ingress", device: "pod" },
] as const satisfies readonly { direction: Direction; back: Direction; device: string }[];

const CASES = PLACES.flatMap((place) =>
  [false, true].map((masquerade) => ({
    ...place,
    masquerade,
    title: `${place.direction} of "${place.device}"${masquerade ? ", masquerading" : ""}`,
  })),
);

describe.skipIf(skipReason)(titled("a gateway with one rule a flow"), () => {
  it.each(CASES)("at $title", async ({ direction, back, device, masquerade }) => {
    using lab = new Lab();
    const { clients, gateway, pod } = routedLab(lab, { clients: 1, masquerade });
    const [client] = clients;
    if (!client) throw new Error("no client");
    await using near = await Funnel.load({ [direction]: FUNNEL });
    await using far = await Funnel.load({ ingress: UNFUNNEL });
    await near.attach(device, { netns: gateway.netns });
    await far.attach("eth0", { netns: pod.netns });
    const atPod = await lab.capture(pod, "eth0");
    const atClient = await lab.capture(client, "eth0");

    for (const { inner, port } of FLOWS) await serve(lab, pod, inner, { port });
    const talks: Talk[] = [];
    for (const { inner, port } of FLOWS) {
      talks.push(await talk(lab, client, inner, { address: POD, port }));
    }
    for (let message = 0; message < MESSAGES; message++) {
      for (const talking of talks) {
        expect(await talking.ask(`message ${message}`)).toMatchObject({
          sender: masquerade ? GATEWAY : clientAddress(0),
        });
      }
    }

    // An ACK may still be on its way, or to come.
    await eventually(async () => {
      const [there, here] = [await far.stats(), await near.stats()];
      return (
        here[direction].outcomes.funneled.packets === there.ingress.outcomes.unfunneled.packets &&
        here[back].outcomes.reply_unfunneled.packets ===
          there.egress.outcomes.reply_funneled.packets
      );
    });
    expect(await met(near)).toEqual({ [direction]: ["funneled"], [back]: ["reply_unfunneled"] });
    expect(await met(far)).toEqual({ ingress: ["unfunneled"], egress: ["reply_funneled"] });
    expect((await near.stats()).flows).toMatchObject({ entries: FLOWS.length, moved: 0 });

    // Carriers on one side of the gateway, flows on the other.
    await atPod.atLeast(FRAMES);
    const frames = await atPod.stop();
    expect(Object.keys(census(frames)).sort()).toEqual(
      FLOWS.flatMap(({ over, service }) => [
        `${over} 540>${service}`,
        `${over} ${service}>540`,
      ]).sort(),
    );
    for (const { inner, over, service } of FLOWS) {
      const ofFlow = frames.filter((frame) => isOf(frame, over, service));
      expect(checksumStates(ofFlow, inner)).toEqual(["right right right"]);
    }
    await atClient.atLeast(FRAMES);
    const ports = FLOWS.map(({ inner, port }) => `${inner} ${port}`);
    for (const shown of Object.keys(census(await atClient.stop()))) {
      const [transport, from, to] = shown.split(/[ >]/);
      expect(
        ports.filter((each) => [`${transport} ${from}`, `${transport} ${to}`].includes(each)),
      ).toHaveLength(1);
    }

    // What it would be without: a rule that leaves the answers as they come.
    await near.replace({ [direction]: FUNNEL, [back]: LEAVE });
    for (const talking of talks) talking.say("a last one");
    await eventually(async () => {
      const { rules } = (await near.stats())[back];
      return rules.every(({ packets }) => packets > 0);
    });
    for (const talking of talks) expect(talking.answered).not.toContain("a last one");
  });
});

/** Whether a frame shows a service port on either end. */
function isOf(frame: Uint8Array, over: string, service: number): boolean {
  const shown = Object.keys(census([frame])).join();
  return shown === `${over} 540>${service}` || shown === `${over} ${service}>540`;
}
