/** npm run demo: what it shows, that it can fail, and that it leaves nothing behind. */
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { eventually } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import { DemoProcess, type Ended } from "./demo-process.ts";

/** Addresses of the clients begin with this. */
const NETWORKS = { IPv4: "10.0.0.", IPv6: "2001:db8::" };
/** Clients, backends, the node. */
const NAMESPACES = 8 + 3 + 1;

interface Row {
  readonly address: string;
  readonly cells: readonly string[];
  readonly one: string;
  readonly kept: string;
}

/** Rows of the table of one step. */
function rows({ stdout }: Ended, step: 1 | 2): Row[] {
  const text = stdout.split(/^Step \d: .*$/m)[step] ?? "";
  return text.split("\n").flatMap((line) => {
    const cells = line.split("|").map((cell) => cell.trim());
    const [client, address = "", http = "", alt = "", udp = "", one = "", kept = ""] = cells;
    if (!/^client \d$/.test(client ?? "")) return [];
    return { address, cells: [http, alt, udp], one, kept };
  });
}

function isSplit({ cells }: Row): boolean {
  return new Set(cells).size > 1;
}

function expectSound(step: readonly Row[], network: string): void {
  const clients = Array.from({ length: 8 }, (_, index) => `${network}${index + 1}`);
  expect(step.map(({ address }) => address)).toEqual(clients);
  expect(step.map(({ kept }) => kept)).toEqual(clients.map(() => "yes"));
  for (const { cells } of step) {
    for (const cell of cells) expect(cell).toMatch(/^backend [123]$/);
  }
  expect(step.map(({ one }) => one === "yes")).toEqual(step.map((row) => !isSplit(row)));
}

describe.skipIf(skipReason)(titled("demo"), () => {
  it("shows clients split without sfunnel and none with it, two demos at the same time", async () => {
    using one = new DemoProcess({ args: ["--show-rules"] });
    using other = new DemoProcess({ args: ["--ipv6", "--show-rules"] });
    for (const demo of [one, other]) {
      await demo.printed("joining them");
      expect(demo.namespaces().size).toBe(NAMESPACES);
    }
    for (const [demo, network] of [
      [one, NETWORKS.IPv4],
      [other, NETWORKS.IPv6],
    ] as const) {
      const ended = await demo.ended;
      expect(ended).toMatchObject({ status: 0, stderr: "" });
      const [without, withIt] = [rows(ended, 1), rows(ended, 2)];
      expectSound(without, network);
      expectSound(withIt, network);
      const split = without.filter(isSplit).length;
      expect(split).toBeGreaterThan(0);
      expect(withIt.filter(isSplit)).toEqual([]);
      expect(ended.stdout).toContain(`Without sfunnel ${split} of 8 clients were split`);
      expect(ended.stdout).toContain("With sfunnel every client had one backend");
      expect(
        ended.stdout.match(/In all 72 answers the backend had seen the client's/g),
      ).toHaveLength(2);
      // Three datagrams of each client; what is translated is the rest.
      const [, out, carried] =
        /^(\d+) packets travelled .* port 80, (\d+) of them UDP/m.exec(ended.stdout) ?? [];
      expect(Number(carried)).toBe(24);
      expect(Number(out)).toBeGreaterThan(24);
      expect(ended.stdout).not.toContain("\x1b");
    }
    // The whole of the balancing is the kernel's, by kube-proxy's rules: nine endpoint chains.
    for (const [demo, endpoint] of [
      [one, String.raw`10\.244\.0\.\d`],
      [other, String.raw`\[fd00:244::\d\]`],
    ] as const) {
      const rules = (await demo.ended).stdout;
      const count = (pattern: string) => rules.match(new RegExp(pattern, "g"))?.length;
      const service = String.raw`-A KUBE-SVC-\w{16} .*`;
      expect(count(`${service}recent --rcheck --seconds 10800 --reap --name KUBE-SEP-`)).toBe(9);
      expect(count(`${service}statistic --mode random`)).toBe(6);
      const list = String.raw`-A KUBE-SEP-\w{16} .*recent --set --name .*`;
      expect(count(`${list} -j DNAT --to-destination ${endpoint}:`)).toBe(9);
    }

    for (const demo of [one, other]) await eventually(() => demo.leftovers().length === 0);
  });

  it.each([
    ["no-funnels", /With sfunnel \d of 8 clients were split/],
    ["no-unfunnel-udp", /With sfunnel 8 of 8 clients missed answers/],
    ["always-funnels", /Step 1 should have split a client/],
    ["source-nat", /10\.0\.0\.3 .*\| no: 10\.9\.9\.9\n.*Source address lost: 1 of 8 clients/s],
  ])("fails where it must: %s", { concurrent: true }, async (fault, complaint) => {
    using demo = new DemoProcess({ fault });
    // All of them are there from here on, and the demo has most of its way before it.
    await demo.printed("joining them");
    expect(demo.namespaces().size).toBe(NAMESPACES);
    const { status, stdout, stderr } = await demo.ended;
    expect(stdout.split("Step 2:")[1]).toMatch(complaint);
    expect(stderr).toContain("this is not what should have come out");
    expect(status).toBe(1);
    await eventually(() => demo.leftovers().length === 0);
  });

  it.each([
    ["SIGINT", "making 12 network namespaces", 130],
    ["SIGINT", "joining them", 130],
    ["SIGINT", "Step 1:", 130],
    ["SIGTERM", "attaching sfunnel", 143],
    ["SIGHUP", "on backends, in", 129],
  ] as const)("leaves nothing behind after %s at: %s", async (signal, text, status) => {
    using demo = new DemoProcess();
    // To look for its namespaces takes a while on a busy machine, and not much is left of the last.
    await demo.printed(signal === "SIGHUP" ? "Step 1:" : text);
    demo.namespaces();
    await demo.printed(text);
    demo.interrupt(signal);
    const ended = await demo.ended;
    expect(ended.stderr).toBe(`\ndemo: stopped by ${signal}, everything is cleaned up\n`);
    expect(ended.status).toBe(status);
    // It has waited for its programs: they are gone now, not soon.
    expect(demo.processes()).toEqual([]);
    await eventually(() => demo.leftovers().length === 0);
  });

  it("leaves nothing behind after SIGKILL", async () => {
    using demo = new DemoProcess();
    await demo.printed("attaching sfunnel");
    expect(demo.namespaces().size).toBe(NAMESPACES);
    expect(demo.leftovers().length).toBeGreaterThan(NAMESPACES);
    demo.interrupt("SIGKILL");
    expect(await demo.ended).toMatchObject({ status: null, signal: "SIGKILL" });
    await eventually(() => demo.leftovers().length === 0);
  });

  it("explains itself, and names an option that it does not know", async () => {
    using help = new DemoProcess({ args: ["--help"] });
    expect(await help.ended).toMatchObject({ status: 0, stderr: "" });
    expect(help.stdout).toContain("usage: npm run demo");
    expect(help.stdout).toContain("--show-rules");
    expect(help.stdout).toContain("--ipv6");

    using typo = new DemoProcess({ args: ["--show-rule"] });
    expect(await typo.ended).toMatchObject({ status: 2, stdout: "" });
    expect(typo.stderr).toContain("Unknown option '--show-rule'");
  });
});

describe("kube-proxy's rules", () => {
  it("go by the names that kube-proxy gives its chains", () => {
    const module = new URL("../../demo/kube-proxy.mjs", import.meta.url);
    const code = `import { serviceChain } from ${JSON.stringify(module.href)};
      console.log(serviceChain("default/kubernetes:https", "tcp"));
      console.log(serviceChain("kube-system/kube-dns:dns", "udp"));`;
    const printed = execFileSync(process.execPath, ["--input-type=module", "--eval", code], {
      cwd: fileURLToPath(new URL(".", import.meta.url)),
      encoding: "utf8",
    });
    // As every cluster shows them.
    expect(printed.split("\n")).toEqual([
      "KUBE-SVC-NPX46M4PTMTKRN6Y",
      "KUBE-SVC-TCOU7JCQXEZGVUNU",
      "",
    ]);
  });
});
