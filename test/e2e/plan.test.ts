/**
 * Plans, run: the lists that plan() gives on either side of a load balancer that passes one port on.
 * Every flow arrives, with the client's address, in the way that was planned.
 */
import { describe, expect, it } from "vitest";
import {
  type Direction,
  Funnel,
  type Plan,
  type PlanClient,
  type PlanFlow,
  type PlannedFlow,
  type PlanOptions,
  plan,
  type Transport,
} from "../../lib/index.ts";
import { FAMILIES, inFamily } from "../support/family.ts";
import { counted } from "../support/flows.ts";
import { eventually, type Host, Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import { CLIENT, type PlanLab, planLab, SERVICE, type ServicePort } from "../support/plan-lab.ts";
import { serve, talk } from "../support/talk.ts";
import { portsOf } from "../support/wire.ts";

const HTTP: ServicePort = { protocol: "tcp", port: 80 };
const NETFLOW: ServicePort = { protocol: "udp", port: 2055 };

interface Case {
  readonly title: string;
  readonly service: ServicePort;
  readonly flows: readonly PlanFlow[];
  readonly client: PlanClient;
  readonly tcp?: PlanOptions["tcp"];
}

const web: readonly PlanFlow[] = [
  { protocol: "udp", port: 2055 },
  { protocol: "tcp", port: [8080, 8443] },
];
const telemetry: readonly PlanFlow[] = [
  { protocol: "udp", port: [2055, 4739] },
  { protocol: "tcp", port: 179 },
];

const CASES: readonly Case[] = [
  { title: "through TCP, on a host", service: HTTP, flows: web, client: "host" },
  { title: "through TCP, on a gateway", service: HTTP, flows: web, client: "gateway" },
  {
    title: "through TCP, all in carriers, on a host",
    ...{ service: HTTP, flows: web, client: "host", tcp: "encap" },
  },
  {
    title: "through TCP, each TCP flow in another way, on a gateway",
    service: HTTP,
    flows: [...web, { protocol: "tcp", port: 179, mode: "encap" }],
    client: "gateway",
  },
  {
    title: "through TCP, with answers that take another gateway",
    ...{ service: HTTP, flows: web, client: "redundant-gateways" },
  },
  { title: "through UDP, on a host", service: NETFLOW, flows: telemetry, client: "host" },
  { title: "through UDP, on a gateway", service: NETFLOW, flows: telemetry, client: "gateway" },
  {
    title: "through UDP, with answers that take another gateway",
    ...{ service: NETFLOW, flows: telemetry, client: "redundant-gateways" },
  },
];

/** Every port of the flows, once, and the service port. */
function portsOfAll({ service, flows }: Case): ServicePort[] {
  const all = flows.flatMap(({ protocol, port }) =>
    [port].flat(2).map((each) => ({ protocol, port: Number(each) })),
  );
  const isService = ({ protocol, port }: ServicePort) =>
    protocol === service.protocol && port === service.port;
  return [...all.filter((each) => !isService(each)), service];
}

/** Where the client's lists are attached. */
function clientPlaces({ client, gateway, wayBack }: PlanLab, where: PlanClient) {
  if (where === "host") return [{ host: client, device: "eth0" }];
  return [...new Set([gateway, wayBack])].map((host) => ({ host, device: "clients" }));
}

async function attach(
  rules: Plan["client"],
  places: readonly { readonly host: Host; readonly device: string }[],
): Promise<readonly Funnel[]> {
  const funnels: Funnel[] = [];
  for (const { host, device } of places) {
    const funnel = await Funnel.load(rules);
    funnels.push(funnel);
    await funnel.attach(device, { netns: host.netns });
  }
  return funnels;
}

/** How the packets of a flow look on the way: "tcp 540", or of which port the client is. */
function onTheWay({ mode, sport }: PlannedFlow, over: Transport): string {
  return mode === "encap" ? `${over} ${sport}` : `${over} own`;
}

describe.skipIf(skipReason)(titled("a plan"), () => {
  it.each(CASES.map((each) => [each.title, each] as const))("%s", async (_, each) => {
    const { service, flows, client: where } = each;
    const planned = plan({
      service: { ...service, address: FAMILIES.map((family) => inFamily(family, SERVICE)) },
      ...{ flows, client: where, ...(each.tcp && { tcp: each.tcp }) },
    });
    using lab = new Lab(FAMILIES);
    const hosts = planLab(lab, service, where === "redundant-gateways" ? 2 : 1);
    const near = await attach(planned.client, clientPlaces(hosts, where));
    const [far] = await attach(planned.service, [{ host: hosts.pod, device: "eth0" }]);
    const [there] = near;
    if (!there || !far) throw new Error("nothing is attached");
    await using _closing = {
      async [Symbol.asyncDispose]() {
        for (const funnel of [...near, far]) await funnel.close();
      },
    };
    const wire = await lab.capture(hosts.pod, "eth0");

    const everywhere = FAMILIES.flatMap((family) =>
      portsOfAll(each).map((port) => ({ family, ...port })),
    );
    await Promise.all(
      everywhere.map(({ protocol, ...listening }) => serve(lab, hosts.pod, protocol, listening)),
    );
    const talks = await Promise.all(
      everywhere.map(async ({ family, protocol, port }) => {
        const to = { address: inFamily(family, SERVICE), port };
        return { family, talking: await talk(lab, hosts.client, protocol, to) };
      }),
    );
    const own = new Set<number>();
    for (const { family, talking } of talks) {
      const localPort = await talking.localPort();
      own.add(localPort);
      for (const text of ["one", "two", "three"]) {
        expect(await talking.ask(text)).toMatchObject({
          sender: inFamily(family, CLIENT),
          senderPort: localPort,
        });
      }
    }

    const out: Direction = where === "host" ? "egress" : "ingress";
    const back: Direction = where === "host" ? "ingress" : "egress";
    // Each rule had its packets, in its mode. An ACK may still be on its way.
    const last = near.at(-1) ?? there;
    await eventually(async () => {
      const [sent, came] = [await counted(there, out), await counted(far, "ingress")];
      const [answered, returned] = [await counted(far, "egress"), await counted(last, back)];
      return (
        sent.funneled === came.unfunneled &&
        answered.reply_funneled === (returned.reply_unfunneled ?? returned.unfunneled)
      );
    });
    for (const [funnel, direction] of [
      [there, out],
      [far, "ingress"],
      [last, back],
    ] as const) {
      const { rules } = (await funnel.stats())[direction];
      expect(rules.filter(({ packets }) => packets === 0)).toEqual([]);
    }
    // Nothing else became of any packet; the service port's own traffic went as it is.
    const stateful = where !== "redundant-gateways";
    expect(Object.keys(await counted(there, out)).sort()).toEqual(["funneled", "no_match"]);
    expect(Object.keys(await counted(last, back)).sort()).toEqual(
      stateful ? ["no_match", "reply_unfunneled"] : ["no_match", "unfunneled"],
    );
    const bySourcePort = planned.service.ingress.every(({ match }) => match.sport !== undefined);
    expect(Object.keys(await counted(far, "ingress")).sort()).toEqual(
      bySourcePort ? ["no_match", "unfunneled"] : ["not_carrier", "unfunneled"],
    );
    expect(Object.keys(await counted(far, "egress")).sort()).toEqual([
      ...["no_match", "reply_funneled"],
    ]);

    // The service port is all that the network saw, and the client's port where it is translated.
    const seen = new Set<string>();
    for (const frame of await wire.stop()) {
      const { transport, sport = 0, dport = 0 } = portsOf(frame) ?? {};
      expect([sport, dport]).toContain(service.port);
      const other = sport === service.port ? dport : sport;
      seen.add(`${transport} ${own.has(other) ? "own" : other}`);
    }
    const expected = new Set(planned.flows.map((flow) => onTheWay(flow, service.protocol)));
    expect(seen).toEqual(expected.add(`${service.protocol} own`));
  });
});
