/**
 * The use case that the project began with (examples/nfacctd): routers whose BGP and flows have to
 * reach the same nfacctd behind a Kubernetes service, also after a pod has died.
 */
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { checkRules } from "../../lib/index.ts";
import { succeed } from "../cli/sfunnel.ts";
import { snippetsOf } from "../docs/document.ts";
import { readDocument } from "../docs/documents.ts";
import { eventually } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import {
  exampleFile,
  exampleText,
  NfacctdLab,
  type Pod,
  type Router,
  type ServicePort,
} from "../support/nfacctd-lab.ts";
import { EXPORTS } from "../support/nfacctd-records.ts";
import { Programs } from "../support/program.ts";

const BGP: ServicePort = { name: "bgp", transport: "tcp", port: 179 };
const NETFLOW: ServicePort = { name: "netflow", transport: "udp", port: 2055 };
const IPFIX: ServicePort = { name: "ipfix", transport: "udp", port: 4739 };

/** As docs/nfacctd.md says, from when the endpoint has left the service. */
const MOVES_WITHIN_MS = 30_000;
const LONGEST_TEST_MS = 150_000;
/** Nothing of this is in a hurry: nfacctd prints once a second. */
const LOOK_EVERY_MS = 100;

/** Records of each export that are waited for to see that a router stays where it is. */
const STAYS_FOR = 5;

/** Pods that have anything of a router: a record of its flows, or its session. */
function podsOf({ pods }: NfacctdLab, { address }: Router): readonly Pod[] {
  return pods.filter(
    ({ records, sessions }) =>
      sessions.has(address) || records.some(({ router }) => router === address),
  );
}

/** Whether all three of a router have come somewhere: both exports, and BGP. */
function isSeen({ pods }: NfacctdLab, { address }: Router): boolean {
  const records = pods.flatMap((pod) => pod.records).filter(({ router }) => router === address);
  return (
    EXPORTS.every((version) => records.some((record) => record.version === version)) &&
    pods.some(({ sessions }) => sessions.has(address))
  );
}

/** Whether a pod has so many records of each export of a router with the path that it told by BGP. */
function knowsPaths({ records }: Pod, { address, path }: Router, atLeast = 1): boolean {
  const known = records.filter((record) => record.router === address && record.path === path);
  return EXPORTS.every(
    (version) => known.filter((record) => record.version === version).length >= atLeast,
  );
}

/** Waits until each router's flows are recorded with the paths of its BGP. */
async function untilAllAreServed(lab: NfacctdLab, atLeast = 1): Promise<void> {
  await eventually(
    () => lab.routers.every((router) => lab.pods.some((pod) => knowsPaths(pod, router, atLeast))),
    LOOK_EVERY_MS,
  );
}

/** The one pod of each router. */
function homes(lab: NfacctdLab): ReadonlyMap<Router, Pod> {
  return new Map(
    lab.routers.map((router) => {
      const [home, ...others] = podsOf(lab, router);
      expect(others.map(({ address }) => `${router.address} is at ${address} as well`)).toEqual([]);
      if (!home) throw new Error(`${router.address} is nowhere`);
      expect(home.sessions).toContain(router.address);
      return [router, home];
    }),
  );
}

/** The pod that most routers are at. */
function busiest(where: ReadonlyMap<Router, Pod>): Pod {
  const pods = [...where.values()];
  const count = (pod: Pod) => pods.filter((other) => other === pod).length;
  return pods.reduce((most, pod) => (count(pod) > count(most) ? pod : most));
}

async function within(milliseconds: number, work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${milliseconds} ms`)), milliseconds);
  });
  try {
    await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Starts the gateway's program of the example. */
function startGateway(programs: Programs, { gateway, routers }: NfacctdLab, rules: string) {
  const interfaces = routers.flatMap(({ device }) => ["--interface", device]);
  return programs.start(gateway, exampleFile("gateway.mjs"), "--rules", rules, ...interfaces);
}

/** The records that docs/nfacctd.md shows, without their counters. */
function documentedRecords(): object[] {
  const [shown] = snippetsOf(readDocument("docs/nfacctd.md")).filter(
    ({ language }) => language === "json",
  );
  if (!shown) throw new Error("docs/nfacctd.md shows no record");
  return shown.text
    .trim()
    .split("\n")
    .map((line) => {
      const { packets, bytes, ...record } = JSON.parse(line);
      return record;
    });
}

describe.skipIf(skipReason).concurrent(titled("nfacctd behind a Kubernetes service"), () => {
  it("without funneling: routers whose flows are not where their BGP is", {
    timeout: LONGEST_TEST_MS,
  }, async () => {
    using lab = new NfacctdLab();
    lab.serve([BGP, NETFLOW, IPFIX]);
    lab.startRouters();
    const parted = () => lab.routers.filter((router) => podsOf(lab, router).length > 1);
    for (;;) {
      await eventually(() => lab.routers.every((router) => isSeen(lab, router)), LOOK_EVERY_MS);
      // Chance may have it that all are together: once in 6561 times.
      if (parted().length > 0) break;
      lab.forget();
      await lab.redraw();
    }
    for (const router of parted()) {
      const strange = podsOf(lab, router).filter(({ sessions }) => !sessions.has(router.address));
      expect(strange).not.toEqual([]);
      // Flows are there, from the router's own address, and what BGP knows of them is not.
      for (const { records } of strange) {
        const own = records.filter((record) => record.router === router.address);
        expect(new Set(own.map(({ path }) => path))).toEqual(new Set([""]));
      }
    }
  });

  it.each([
    { carrier: "udp", port: NETFLOW },
    { carrier: "tcp", port: BGP },
  ])(
    "over $carrier: BGP and flows of a router at one pod, and at one again when that has died",
    { timeout: LONGEST_TEST_MS },
    async ({ carrier, port }) => {
      using lab = new NfacctdLab();
      await using programs = new Programs(LONGEST_TEST_MS);
      lab.serve([port]);
      await lab.unfunnel(exampleText(`over-${carrier}/pod.rules`));
      await startGateway(programs, lab, exampleFile(`over-${carrier}/gateway.rules`));
      lab.startRouters();
      await untilAllAreServed(lab);
      const before = homes(lab);
      for (const record of documentedRecords()) {
        const messages = lab.pods.flatMap(({ nfacctd }) => nfacctd.messages);
        expect(messages).toContainEqual(expect.objectContaining(record));
      }

      const dead = busiest(before);
      await lab.kill(dead);
      await within(MOVES_WITHIN_MS, untilAllAreServed(lab));
      const after = homes(lab);
      for (const [router, home] of before) {
        if (home !== dead) expect(after.get(router)).toBe(home);
      }

      lab.forget();
      await untilAllAreServed(lab, STAYS_FOR);
      expect(homes(lab)).toEqual(after);
    },
  );

  it("over tcp, from a fixed source port: flows go on to the dead pod until that changes", {
    timeout: LONGEST_TEST_MS,
  }, async () => {
    using lab = new NfacctdLab();
    await using programs = new Programs(LONGEST_TEST_MS);
    lab.serve([BGP]);
    await lab.unfunnel(exampleText("over-tcp/pod.rules"));
    const fixed = join(lab.folder, "gateway.rules");
    writeFileSync(fixed, exampleText("over-tcp/gateway.rules").replace(/(?<=sport 540)-.*$/m, ""));
    const program = await startGateway(programs, lab, fixed);
    lab.startRouters();
    await untilAllAreServed(lab);
    const before = homes(lab);

    const dead = busiest(before);
    await lab.kill(dead);
    const moved = lab.routers.filter((router) => before.get(router) === dead);
    const hasSession = ({ address }: Router) =>
      lab.pods.some(({ sessions }) => sessions.has(address));
    await within(
      MOVES_WITHIN_MS,
      eventually(() => moved.every(hasSession), LOOK_EVERY_MS),
    );
    // Their carriers go on, and conntrack sends them where they went before.
    for (const router of moved) {
      expect(await lab.carrier(router, 540)).toContain(`[UNREPLIED] src=${dead.address} `);
      const records = lab.pods.flatMap((pod) => pod.records);
      expect(records.filter((record) => record.router === router.address)).toEqual([]);
    }

    await program.stop();
    await startGateway(programs, lab, exampleFile("over-tcp/gateway.rules"));
    await within(MOVES_WITHIN_MS, untilAllAreServed(lab));
    homes(lab);
  });
});

describe("the files of examples/nfacctd", () => {
  describe.each([
    { folder: "over-udp", protocol: "UDP", port: 2055 },
    { folder: "over-tcp", protocol: "TCP", port: 179 },
  ])("$folder", ({ folder, protocol, port }) => {
    it.each(["gateway", "pod"])(
      "%s.rules are what the command in their first line prints",
      (side) => {
        const [command = "", ...lines] = exampleText(`${folder}/${side}.rules`)
          .trimEnd()
          .split("\n");
        // As a shell would split it.
        const words = command.match(/"[^"]*"|\S+/g)?.map((word) => word.replaceAll('"', "")) ?? [];
        const [mark, name, ...args] = words;
        expect([mark, name]).toEqual(["#", "sfunnel"]);
        const { client, service } = JSON.parse(succeed({ args: [...args, "--json"] }));
        expect(lines).toEqual((side === "gateway" ? client : service).ingress);
        expect(checkRules(lines.join("\n"))).toEqual([]);
      },
    );

    it("has a service of that one port, with affinity, which finds the pods", () => {
      const service = exampleText(`${folder}/service.yaml`);
      expect(service.match(/(?<=\b(protocol|port|targetPort): ).*/g)).toEqual([
        protocol,
        `${port}`,
        `${port}`,
      ]);
      expect(service).toMatch(/^ {2}sessionAffinity: ClientIP$/m);
      expect(service).toMatch(/^ {6}timeoutSeconds: 86400$/m);
      expect(service).toMatch(/^ {2}externalTrafficPolicy: Local$/m);
      const labels = [service, exampleText("base/deployment.yaml")].map((text) =>
        text.match(/app: \S+/g),
      );
      expect(new Set(labels.flat())).toEqual(new Set(["app: nfacctd"]));
    });
  });

  it("are those that docs/nfacctd.md shows", () => {
    const shown = snippetsOf(readDocument("docs/nfacctd.md"))
      .filter(({ language }) => language === "sfunnel")
      .map(({ text }) => text.trimEnd().split("\n"));
    expect(shown).toHaveLength(4);
    for (const [name = "", ...lines] of shown) {
      const [, ...rules] = exampleText(name.replace("# ", "")).trimEnd().split("\n");
      expect(lines, name).toEqual(rules);
    }
  });

  it.each(["base", "over-udp", "over-tcp"])(
    "%s has all files that its kustomization names",
    (name) => {
      const kustomization = exampleText(`${name}/kustomization.yaml`);
      const named = kustomization.match(/(?<=^ +- (?:ruleset=)?)[\w./-]+$/gm) ?? [];
      expect(named.length).toBeGreaterThan(1);
      for (const path of named) expect(existsSync(exampleFile(`${name}/${path}`)), path).toBe(true);
    },
  );

  it("name the same volumes, and give the rules to sfunnel under the name that it reads", () => {
    const deployment = exampleText("base/deployment.yaml");
    const maps = deployment.match(/(?<=configMap:\n +name: ).*/g);
    const generated = ["base", "over-udp", "over-tcp"].flatMap(
      (name) => exampleText(`${name}/kustomization.yaml`).match(/(?<=- name: ).*/g) ?? [],
    );
    expect(new Set(maps)).toEqual(new Set(generated));
    expect(deployment).toMatch(/- name: rules\n +mountPath: \/etc\/sfunnel\n/);
    expect(deployment).toMatch(/add: \[BPF, NET_ADMIN, SYS_ADMIN\]/);
    expect(deployment).not.toMatch(/hostPath|\t/);
  });
});
