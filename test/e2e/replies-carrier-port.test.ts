/**
 * A real connection of the very port that carriers come from, to the service port: on the wire it
 * differs from them by their fixed fields alone.
 */
import { describe, expect, it } from "vitest";
import { Funnel } from "../../lib/index.ts";
import { packets } from "../support/flows.ts";
import { eventually, type Host, Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import { met, POD, routedLab } from "../support/reply-lab.ts";
import { beginTalk, serve, type Talk } from "../support/talk.ts";

const SERVICE = "203.0.113.10";
const CARRIER_PORT = 540;
const FUNNEL = `tcp dport 8080 actions funnel tcp dport 80 sport ${CARRIER_PORT}`;
const UNFUNNEL = "tcp dport 80 actions unfunnel tcp allow 8080";

/** One side funnels, the other unfunnels, and both ports are served by who says its port. */
async function funneledHosts(lab: Lab) {
  const { clients, gateway, pod } = routedLab(lab, { clients: 1 });
  const [client] = clients;
  if (!client) throw new Error("no client");
  const near = await Funnel.load({ egress: FUNNEL });
  const far = await Funnel.load({ ingress: UNFUNNEL });
  await near.attach("eth0", { netns: client.netns });
  await far.attach("eth0", { netns: pod.netns });
  for (const port of [80, 8080]) await serve(lab, pod, "tcp", { port, name: `${port}` });
  return {
    ...{ client, gateway, near, far },
    async [Symbol.asyncDispose]() {
      await Promise.all([near.close(), far.close()]);
    },
  };
}

const beginReal = (lab: Lab, client: Host, address: string) =>
  beginTalk(lab, client, "tcp", { address, port: 80, from: CARRIER_PORT });
const beginFunneled = (lab: Lab, client: Host, address: string) =>
  beginTalk(lab, client, "tcp", { address, port: 8080 });

async function askBoth(real: Talk, funneled: Talk, from: number): Promise<void> {
  for (let message = from; message < from + 3; message++) {
    const answers = [real.ask(`real ${message}`), funneled.ask(`funneled ${message}`)];
    expect(await Promise.all(answers)).toMatchObject([
      { text: `real ${message}`, name: "80", senderPort: CARRIER_PORT },
      { text: `funneled ${message}`, name: "8080" },
    ]);
  }
}

describe.skipIf(skipReason)(titled("a real connection from the carriers' port"), () => {
  it("that is there first, and goes first", async () => {
    using lab = new Lab();
    await using hosts = await funneledHosts(lab);
    const { client, near, far } = hosts;
    const real = beginReal(lab, client, POD);
    await real.ask("before");
    expect(await met(far)).toEqual({ ingress: ["not_carrier"], egress: ["no_match"] });
    const funneled = beginFunneled(lab, client, POD);
    await askBoth(real, funneled, 0);
    await real.close();
    await funneled.ask("after");
    await funneled.close();
    expect(await met(near)).toEqual({
      ingress: ["no_match", "reply_unfunneled"],
      egress: ["funneled", "no_match"],
    });
    expect(await met(far)).toEqual({
      ingress: ["not_carrier", "unfunneled"],
      egress: ["no_match", "reply_funneled"],
    });
  });

  it("that comes later, and stays", async () => {
    using lab = new Lab();
    await using hosts = await funneledHosts(lab);
    const { client, far } = hosts;
    const funneled = beginFunneled(lab, client, POD);
    await funneled.ask("before");
    expect(await met(far)).toEqual({ ingress: ["unfunneled"], egress: ["reply_funneled"] });
    const real = beginReal(lab, client, POD);
    await askBoth(real, funneled, 0);
    await funneled.close();
    await real.ask("after");
    await real.close();
    expect((await met(far)).ingress).toEqual(["not_carrier", "unfunneled"]);
  });

  // For conntrack, carriers and that connection are one, of one pair of addresses and ports. Which
  // has it, where the carriers were first, depends on the sequence numbers of the other.
  describe("behind a load balancer's conntrack", () => {
    function balance(lab: Lab, gateway: Host): void {
      const to = [
        "-p",
        "tcp",
        "-d",
        SERVICE,
        "--dport",
        "80",
        "-j",
        "DNAT",
        "--to-destination",
        POD,
      ];
      lab.run(gateway, "iptables", "-w", "-t", "nat", "-A", "PREROUTING", ...to);
    }

    it("that is there first goes on unharmed, and the funneled flow waits for its end", async () => {
      using lab = new Lab();
      await using hosts = await funneledHosts(lab);
      const { client, gateway, near, far } = hosts;
      balance(lab, gateway);
      const real = beginReal(lab, client, SERVICE);
      await real.ask("before");
      const funneled = beginFunneled(lab, client, SERVICE);
      // Its SYN arrives, and what answers it gets no further than to conntrack (INVALID).
      await eventually(async () => (await packets(far, "egress", "reply_funneled")) > 0);
      for (const text of ["one", "two"]) await real.ask(text);
      // From any other port they are two.
      const other = beginTalk(lab, client, "tcp", { address: SERVICE, port: 80 });
      await other.ask("other");
      expect(funneled.endpoint.messages).toEqual([]);
      expect(await packets(near, "ingress", "reply_unfunneled")).toBe(0);
      await real.close();
      expect(await funneled.ask("after")).toMatchObject({ name: "8080" });
    });
  });
});
