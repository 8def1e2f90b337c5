/** `sfunnel` without arguments: what the environment asks for. */
import { SfunnelError } from "../errors.ts";
import type { Direction } from "../rules/types.ts";
import type { Attachment } from "../runtime/attachment.ts";
import { Funnel } from "../runtime/funnel.ts";
import { isReadable } from "../runtime/link-type.ts";
import { findOriginals } from "../runtime/original.ts";
import { listPlaces, noSuchDevice, type Place } from "../runtime/place.ts";
import { clean } from "./clean.ts";
import { assertLoadable, describe, diagnose } from "./diagnose.ts";
import { type AttachSettings, type Environment, readEnvironment } from "./env.ts";
import { complain, counted, print, stepsTo, type Tell, withoutOperation } from "./output.ts";
import { retry, throwIfStopped } from "./retry.ts";
import { readRulesFile } from "./rules-file.ts";

/** Everything is checked before anything is attached, and all interfaces get it or none. */
export async function run(environment: Environment, signal: AbortSignal): Promise<void> {
  const settings = readEnvironment(environment, readRulesFile);
  const tell = stepsTo(settings.debug);
  if (settings.task === "clean") {
    const { netns, name, directions } = settings;
    const devices = settings.devices ?? devicesBut(await listPlaces(netns));
    await clean({ devices, netns, name, directions, tell });
    return;
  }
  checkRulesets(settings);
  const { devices, netns } = settings;
  tell(`interfaces ${devices?.join(" ") ?? "all but lo"}, namespace ${netns || "own"}`);
  await listPlaces(netns);
  await using funnel = await load(settings, tell);
  const places = await retry({ ...settings, signal }, () => findAll(settings));
  const attachments = await attachAll(funnel, places, settings, signal, tell);
  for (const attachment of attachments) print(summary(attachment, funnel));
  await warnOfOriginals(places, settings);
}

/** Throws at the first error; warnings go to stderr. */
function checkRulesets({ rulesets }: AttachSettings): void {
  const diagnoses = rulesets.map(diagnose);
  for (const diagnosis of diagnoses) assertLoadable(diagnosis);
  for (const { source, diagnostics } of diagnoses) {
    for (const diagnostic of diagnostics) complain(describe(source, diagnostic, "warning: "));
  }
}

async function load({ rulesets, debug }: AttachSettings, tell: Tell): Promise<Funnel> {
  const textOf = (direction: Direction) =>
    rulesets.find(({ directions }) => directions.includes(direction))?.text ?? "";
  const lists = { ingress: textOf("ingress"), egress: textOf("egress") };
  const funnel = await Funnel.load(lists, { trace: debug });
  const { ingress, egress } = funnel.rules;
  tell("each packet is traced to trace_pipe of tracefs, usually /sys/kernel/tracing");
  tell(`loaded, ingress ${counted(ingress.length, "rule")}, egress ${egress.length}`);
  return funnel;
}

function devicesBut(places: readonly Place[]): string[] {
  return places.map(({ device }) => device).filter((device) => device !== "lo");
}

/** Throws DeviceError where one is missing. */
async function findAll({ devices, netns }: AttachSettings): Promise<Place[]> {
  const present = await listPlaces(netns);
  const wanted = devices ?? devicesBut(present.filter(isReadable));
  const leftOut = devices ? [] : present.filter((place) => !isReadable(place));
  if (wanted.length === 0) {
    const where = netns === "" ? "this network namespace" : `network namespace "${netns}"`;
    throw new SfunnelError("SFUNNEL_DEVICE", `no interface but lo in ${where}`, {
      operation: "attach",
    });
  }
  for (const { device } of leftOut) {
    complain(`warning: ${device} is left out: its packets begin with no Ethernet or IP header`);
  }
  const names = present.map(({ device }) => device);
  return wanted.map((name) => {
    const place = present.find(({ device }) => device === name);
    if (place === undefined) throw noSuchDevice(name, netns, names);
    return place;
  });
}

async function attachAll(
  funnel: Funnel,
  places: readonly Place[],
  settings: AttachSettings,
  signal: AbortSignal,
  tell: Tell,
): Promise<Attachment[]> {
  const attached: Attachment[] = [];
  let device = "";
  try {
    for (const place of places) {
      ({ device } = place);
      attached.push(
        await retry({ ...settings, signal }, () => attach(funnel, place, settings, tell)),
      );
    }
    throwIfStopped(signal);
    return attached;
  } catch (error) {
    throw await takeBack(attached, device, error);
  }
}

async function attach(
  funnel: Funnel,
  place: Place,
  { directions, netns, name }: AttachSettings,
  tell: Tell,
): Promise<Attachment> {
  const attachment = await funnel.attach(place.device, {
    direction: directions.length === 2 ? "both" : (directions[0] ?? "ingress"),
    lifetime: "device",
    name,
    ...(netns !== "" && { netns }),
  });
  tell(`${place.device}: attached to ${attachment.directions.join(" and ")}`);
  return attachment;
}

/** Detaches what this run has attached, and says so in the error. */
async function takeBack(
  attached: readonly Attachment[],
  device: string,
  error: unknown,
): Promise<unknown> {
  const results = await Promise.allSettled(attached.map((attachment) => attachment.close()));
  const devicesThat = (status: "fulfilled" | "rejected") =>
    attached.filter((_, index) => results[index]?.status === status).map((each) => each.device);
  if (!(error instanceof SfunnelError)) return error;
  const taken = devicesThat("fulfilled");
  const left = devicesThat("rejected");
  if (error.code === "SFUNNEL_ABORTED" && left.length === 0) return error;
  const words = [
    `${device}: ${withoutOperation(error)}`,
    ...(taken.length > 0 ? [`taken off again: ${taken.join(", ")}`] : []),
    ...(left.length > 0 ? [`still attached: ${left.join(", ")}`] : []),
  ];
  return new SfunnelError(error.code, words.join("; "), { operation: "run", cause: error });
}

function summary({ device, hook, name, directions }: Attachment, funnel: Funnel): string {
  const parts = directions.map((direction) => {
    const { length } = funnel.rules[direction];
    return `${direction} (${length === 0 ? "replies" : counted(length, "rule")})`;
  });
  return `${device}: attached to ${parts.join(" and ")} with ${hook} as "${name}"`;
}

/** The original returns TC_ACT_OK: on a hook where it stands, nothing behind it runs. */
async function warnOfOriginals(
  places: readonly Place[],
  { directions, netns }: AttachSettings,
): Promise<void> {
  for (const place of places) {
    for (const { direction, priority, handle, name } of await findOriginals(place, directions)) {
      const number = `0x${handle.toString(16)}`;
      complain(
        `warning: ${place.device}: a filter "${name}", as the original sfunnel makes them, is on ` +
          `${direction} (priority ${priority}, handle ${number}); it still applies its own rules ` +
          "and ends the chain for all filters behind it; remove it with: " +
          `${inNetns(netns)}tc filter del dev ${place.device} ${direction} ` +
          `prio ${priority} handle ${number} bpf`,
      );
    }
  }
}

function inNetns(netns: string): string {
  if (netns === "") return "";
  return netns.includes("/") ? `nsenter --net=${netns} ` : `ip netns exec ${netns} `;
}
