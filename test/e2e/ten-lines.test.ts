/** The shortest programs that use the package as its users do: built, and by its name. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { binding } from "../../lib/native/binding.ts";

import { type Host, Lab } from "../support/lab.ts";
import { EGRESS, INGRESS, must, skipReason, titled } from "../support/native.ts";
import { hex, ipv4, udp } from "../support/packet.ts";
import { census } from "../support/wire.ts";

const SERVER = "10.0.0.2";
const MESSAGES = 10;

const pathOf = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));

/** Programs on both hooks of a host's eth0. */
async function programsOn(host: Host): Promise<number> {
  const path = `/run/netns/${host.netns}`;
  const { ifindex } = must(await binding().device(path, "eth0"));
  const lists = await Promise.all(
    ([INGRESS, EGRESS] as const).map((direction) =>
      binding().tcxPrograms(path, ifindex, direction),
    ),
  );
  return lists.reduce((sum, list) => sum + must(list).length, 0);
}

describe.skipIf(skipReason)(titled("examples/udp-through-tcp.mjs"), () => {
  it("funnels UDP through TCP between two namespaces, and leaves nothing", async () => {
    using lab = new Lab();
    const client = lab.host("client");
    const server = lab.host("server");
    lab.link(client, "eth0", "10.0.0.1/24", server, "eth0", `${SERVER}/24`);
    const collector = lab.endpoint(server, "udpEcho", {
      address: SERVER,
      port: 2055,
      silent: true,
    });
    await collector.ready();
    const wire = await lab.capture(server, "eth0");

    const program = spawn(
      process.execPath,
      [pathOf("examples/udp-through-tcp.mjs"), "eth0", client.netns, server.netns],
      { stdio: ["pipe", "pipe", "inherit"] },
    );
    try {
      const [line] = await once(program.stdout, "data");
      expect(String(line)).toBe("UDP 2055 travels as TCP 179 until Ctrl-D\n");
      expect(await programsOn(client)).toBeGreaterThan(0);
      expect(await programsOn(server)).toBeGreaterThan(0);

      const options = { address: SERVER, port: 2055, count: MESSAGES, echo: false, length: 50 };
      await lab.endpoint(client, "udpSend", options).end();
      await collector.message(({ text }) => text === `datagram ${MESSAGES - 1}`);
      expect(collector.events("datagram")).toHaveLength(MESSAGES);
      await wire.atLeast(MESSAGES);
      expect(census(await wire.stop())).toEqual({ "tcp 540>179": MESSAGES });

      program.stdin.end();
      expect(await once(program, "exit")).toEqual([0, null]);
    } finally {
      program.kill("SIGKILL");
    }
    expect(await programsOn(client)).toBe(0);
    expect(await programsOn(server)).toBe(0);
  });
});

describe.skipIf(skipReason)(titled("a CommonJS program"), () => {
  it("gets the same package with require()", () => {
    const frame = hex(ipv4({}, udp({ dport: 2055 })));
    // Nothing but its own words on stdout; Node 20 warns of require(esm) on stderr.
    const printed = execFileSync(process.execPath, [pathOf("test/fixtures/consumer.cjs"), frame], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
    });
    expect(JSON.parse(printed)).toEqual({
      outcome: "dropped",
      simulated: "dropped",
      isError: true,
    });
  });
});
