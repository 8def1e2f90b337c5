/** What is attached where, with its rules and what they have counted. */
import { type InspectedAttachment, inspect } from "../runtime/inspect.ts";
import { type InspectedSegmenter, inspectSegmenter } from "../runtime/inspect-segmenter.ts";
import { print, printJson, table } from "./output.ts";

export interface ShowOptions {
  /** Empty: all. */
  readonly devices: readonly string[];
  readonly netns: string;
  readonly json: boolean;
  /** Outcomes as well as rules. */
  readonly outcomes: boolean;
}

export async function show({ devices, netns, json, outcomes }: ShowOptions): Promise<void> {
  const attachments = await inspect({ netns, ...(devices.length > 0 && { devices }) });
  const segmenter = outcomes ? await inspectSegmenter(netns) : undefined;
  if (json) {
    printJson({
      attachments: attachments.map((each) => toJson(each, outcomes)),
      ...(outcomes && { segmenter: segmenter ?? null }),
    });
    return;
  }
  if (attachments.length === 0) {
    print("nothing of sfunnel is attached here");
    return;
  }
  const sections = byProgram(attachments).map((group) => section(group, outcomes));
  if (segmenter) sections.push(...lostIn(segmenter));
  print(sections.join("\n\n"));
}

/** What is lost there is the same for all that is attached in the namespace. */
function lostIn(segmenter: InspectedSegmenter): string[] {
  const happened = Object.entries(segmenter).filter(([, count]) => count > 0);
  return happened.length === 0 ? [] : [table([["segmenter", "packets"], ...happened])];
}

/** `"default"`, or words for a program that does not know the device. */
export function nameIn({ name }: InspectedAttachment): string {
  return name === undefined ? "one without a name" : `"${name}"`;
}

/** The document of --json: fields are added to it, never changed. */
function toJson(attachment: InspectedAttachment, withOutcomes: boolean) {
  const { device, ifindex, direction, hook, name, programId, funnelId, filter } = attachment;
  const { repliesOnly, rules, outcomes, flows } = attachment;
  return {
    ...{ device, ifindex, direction, hook, name: name ?? null, programId, funnelId },
    ...{ filter: filter ?? null, repliesOnly },
    rules: rules?.map(({ text, packets, bytes }) => ({ rule: text, packets, bytes })) ?? null,
    ...(withOutcomes && { outcomes: outcomes ?? null, flows: flows ?? null }),
  };
}

/** One program counts for all devices that it is attached to, so it is shown once. */
function byProgram(attachments: readonly InspectedAttachment[]): InspectedAttachment[][] {
  const groups = new Map<string, InspectedAttachment[]>();
  for (const attachment of attachments) {
    const { programId, name, hook, repliesOnly } = attachment;
    const key = JSON.stringify([programId, name, hook, repliesOnly]);
    groups.set(key, [...(groups.get(key) ?? []), attachment]);
  }
  return [...groups.values()];
}

function section(group: readonly InspectedAttachment[], withOutcomes: boolean): string {
  const [first] = group;
  if (first === undefined) return "";
  const devices = group.map(({ device }) => device).join(", ");
  const { direction, hook, programId } = first;
  return [
    `${devices} ${direction}: ${nameIn(first)} (${hook}, program ${programId})`,
    rulesOf(first),
    ...(withOutcomes ? [outcomesOf(first), ...flowsOf(first)] : []),
  ].join("\n");
}

function rulesOf({ repliesOnly, rules }: InspectedAttachment): string {
  if (repliesOnly) return "  replies to flows of the other direction";
  if (rules === undefined) return "  rules of another version of sfunnel";
  if (rules.length === 0) return "  no rules";
  return table([
    ["rule", "packets", "bytes"],
    ...rules.map(({ text, packets, bytes }) => [text, packets, bytes]),
  ]);
}

/** Those that have happened. */
function outcomesOf({ outcomes }: InspectedAttachment): string {
  const happened = Object.entries(outcomes ?? {}).filter(([, { packets }]) => packets > 0);
  if (happened.length === 0) return "  no packets yet";
  return table([
    ["outcome", "packets", "bytes"],
    ...happened.map(([name, { packets, bytes }]) => [name, packets, bytes]),
  ]);
}

/** The flows of both directions, which share their table. */
function flowsOf({ flows }: InspectedAttachment): string[] {
  const happened = Object.entries(flows ?? {}).filter(([, count]) => count > 0);
  return happened.length === 0 ? [] : [table([["flows", "count"], ...happened])];
}
