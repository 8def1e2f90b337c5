#!/usr/bin/env node
/**
 * The command: what there is to type, and what becomes of errors. What a command needs is loaded when it is
 * the one: most of the time that `sfunnel check` takes would be for the parts that talk to the kernel.
 */
import { readFileSync } from "node:fs";
import { constants } from "node:os";
import { Command, CommanderError, Option } from "commander";
import type { Direction } from "../rules/types.ts";
import { checkHelp, cleanHelp, planHelp, rootHelp, showHelp } from "./help.ts";
import { exitCodes, report, stepsTo } from "./output.ts";
import type { PlanCommandOptions } from "./plan.ts";

const debug = process.env.DEBUG?.trim() === "1";
const stop = new AbortController();

/** Both lib/cli/ and dist/cli/ lie two levels below the package. */
function version(): string {
  const file = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(file) as { version: string }).version;
}

function listing(command: Command, outcomes: boolean): Command {
  return command
    .argument("[interfaces...]", "these alone (default: all)")
    .option("--netns <name>", "network namespace, by name or path (default: own)")
    .option("--json", "print JSON")
    .addHelpText("after", showHelp)
    .action(async (devices: string[], options: { netns?: string; json?: true }) => {
      const { netns = "", json = false } = options;
      const { show } = await import("./show.ts");
      await show({ devices, netns, json, outcomes });
    });
}

function program(): Command {
  const root = new Command("sfunnel")
    .description("Funnels flows through one service port, so that they reach the same backend.")
    .version(version(), "--version", "print the version")
    .addHelpText("after", rootHelp)
    .exitOverride()
    .configureOutput({
      outputError: (text, write) => write(text.replace(/^error: /, "sfunnel: ")),
    });
  root
    .command("run")
    .description("do what the environment says; the same as sfunnel without a command")
    .action(async () => {
      handleSignals();
      const { run } = await import("./run.ts");
      await run(process.env, stop.signal);
    });
  root
    .command("check")
    .description("check rules without loading them")
    .argument("[file]", 'rules; "-" is stdin (default: those of the environment)')
    .option("--json", "print JSON")
    .option("--strict", "fail on warnings as well")
    .addHelpText("after", checkHelp)
    .action(async (file: string | undefined, options: { json?: true; strict?: true }) => {
      const { json = false, strict = false } = options;
      const { check } = await import("./check.ts");
      process.exitCode = await check({ file, json, strict }, process.env);
    });
  root
    .command("plan")
    .description("the rules of both sides for flows that are to go through one service port")
    .argument("<flows...>", "PORTS/PROTOCOL[/MODE]: 2055,4739/udp, 8080-8089/tcp, 179/tcp/encap")
    .requiredOption("--service <port/protocol>", "the service port, such as 179/tcp")
    // Not variadic: it would take the flows behind it for addresses.
    .requiredOption(
      "--address <address>",
      "an address of the service; may be repeated, for IPv4 and IPv6",
      (address: string, others: readonly string[] = []) => [...others, address],
    )
    .addOption(
      new Option("--client <where>", "where flows are funneled")
        .choices(["host", "gateway", "redundant-gateways"])
        .default("host"),
    )
    .addOption(
      new Option("--tcp <mode>", "how TCP travels over TCP").choices(["translate", "encap"]),
    )
    .option("--sport <ports>", "source port of the carriers, or 540-571 every 4s (default: 540)")
    .option("--json", "print JSON")
    .addHelpText("after", planHelp)
    .action(async (flows: string[], options: PlanCommandOptions) => {
      const { plan } = await import("./plan.ts");
      plan(flows, options);
    });
  listing(
    root.command("show").description("what is attached where, and its rules with counters"),
    false,
  );
  listing(
    root.command("stats").description("rules and outcomes with counters, of what is attached"),
    true,
  );
  root
    .command("clean")
    .description("take off what sfunnel attached")
    .argument("[interfaces...]", "these alone (default: all)")
    .option("--netns <name>", "network namespace, by name or path (default: own)")
    .addOption(
      new Option("--direction <direction>", "hooks to clean")
        .choices(["ingress", "egress", "both"])
        .default("both"),
    )
    .option("--name <name>", "attachments of this name alone (default: all)")
    .addHelpText("after", cleanHelp)
    .action(async (names: string[], options: CleanCommandOptions) => {
      const { netns = "", direction, name } = options;
      const devices = names.length > 0 ? names : undefined;
      const directions: readonly Direction[] =
        direction === "both" ? ["ingress", "egress"] : [direction];
      const { clean } = await import("./clean.ts");
      await clean({ devices, netns, name, directions, tell: stepsTo(debug) });
    });
  return root;
}

interface CleanCommandOptions {
  readonly netns?: string;
  readonly direction: Direction | "both";
  readonly name?: string;
}

/** Stopped before its end, a run takes back what it has attached. */
function handleSignals(): void {
  for (const name of ["SIGINT", "SIGTERM"] as const) {
    process.once(name, () => stop.abort(name));
  }
}

function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) {
    // Commander has printed it: its own code is 0 for help and version.
    return error.exitCode === 0 ? exitCodes.done : exitCodes.misuse;
  }
  const code = report(error, debug);
  return stop.signal.aborted
    ? 128 + constants.signals[stop.signal.reason as "SIGINT" | "SIGTERM"]
    : code;
}

async function main(args: readonly string[]): Promise<void> {
  try {
    await program().parseAsync(args.length === 0 ? ["run"] : [...args], { from: "user" });
  } catch (error) {
    process.exitCode = exitCodeOf(error);
  }
}

// The reader has seen enough (`sfunnel show | head`): no reason for a stack trace.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit();
});

await main(process.argv.slice(2));
