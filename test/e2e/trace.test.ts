/** DEBUG: each packet leaves a line in the kernel's trace buffer. */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { expect, it } from "vitest";
import { Funnel } from "../../lib/index.ts";
import { Lab } from "../support/lab.ts";

/** The kernel's trace of this machine, in a mount namespace of the reader's own where nobody has it mounted. */
const READ_TRACE =
  "cd /sys/kernel/tracing; [ -e trace_pipe ] || mount -t tracefs none . && exec cat $PWD/trace_pipe";

it("tells what became of a packet, by which rule, between whom", async () => {
  using lab = new Lab();
  const client = lab.host("c");
  const server = lab.host("s");
  // Addresses that no other test uses: the trace is everybody's.
  lab.link(client, "eth0", "10.77.78.1/24", server, "eth0", "10.77.78.2/24");
  const funnel = await Funnel.load(
    { egress: "tcp actions accept; udp dport 2055 actions funnel tcp dport 179 sport 540" },
    { trace: true },
  );
  let isSeen = false;
  const reader = spawn("unshare", ["--mount", "sh", "-c", READ_TRACE], { stdio: "pipe" });
  try {
    await funnel.attach("eth0", { netns: client.netns });
    const datagram = { address: "10.77.78.2", port: 2055, from: 4660, echo: false };
    // Again and again: the trace is read by whoever comes first, and is anybody's on this machine.
    const send = async () => {
      while (!isSeen) await lab.endpoint(client, "udpSend", datagram).end();
    };
    const sending = send();
    const seen: string[] = [];
    for await (const line of createInterface({ input: reader.stdout })) {
      seen.push(line.replace(/^.*bpf_trace_printk: /, ""));
      // The pair of lines is written by one CPU for one packet; others may write in between, and of a
      // small buffer the first one may be lost.
      isSeen =
        seen.includes("sfunnel: egress funneled rule 2") &&
        line.includes("from a4d4e01 to a4d4e02 ports 12340807");
      if (isSeen) break;
    }
    expect(isSeen, seen.join("\n")).toBe(true);
    await sending;
  } finally {
    isSeen = true;
    reader.kill("SIGKILL");
    await funnel.close();
  }
});
