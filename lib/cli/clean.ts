/** Removes what sfunnel attached or made, and nothing else: no foreign filter, no qdisc. */
import type { Direction } from "../rules/types.ts";
import { type InspectedAttachment, inspect, removeAttachment } from "../runtime/inspect.ts";
import { cleanSegmenter } from "../runtime/segmenter.ts";
import { print, type Tell } from "./output.ts";
import { nameIn } from "./show.ts";

export interface CleanOptions {
  /** Undefined: all. */
  readonly devices: readonly string[] | undefined;
  readonly netns: string;
  /** Undefined: whatever the name. */
  readonly name: string | undefined;
  readonly directions: readonly Direction[];
  readonly tell: Tell;
}

export async function clean(options: CleanOptions): Promise<void> {
  const { devices, netns, name, directions, tell } = options;
  const found = await inspect({ netns, ...(devices && { devices }) });
  tell(`found ${found.length} of sfunnel's own`);
  const isMeant = (each: InspectedAttachment) =>
    directions.includes(each.direction) && (name === undefined || each.name === name);
  const meant = found.filter((each) => !each.repliesOnly && isMeant(each));
  const companions = found.filter((each) => {
    if (!each.repliesOnly) return false;
    const principals = found.filter((other) => servedBy(each, other));
    // One whose principal has gone is nobody's.
    return principals.length === 0
      ? isMeant({ ...each, direction: each.direction === "ingress" ? "egress" : "ingress" })
      : principals.every((principal) => meant.includes(principal));
  });
  for (const attachment of [...meant, ...companions]) {
    await removeAttachment(attachment);
    const { device, direction, hook, repliesOnly } = attachment;
    const what = `${nameIn(attachment)}${repliesOnly ? " for replies" : ""}`;
    print(`${device}: removed ${what} from ${direction} (${hook})`);
  }
  const segmenter = await cleanSegmenter(netns);
  if (segmenter) tell("removed the segmenter, which nobody needs any more");
  if (meant.length + companions.length > 0) return;
  print(segmenter ? "removed a segmenter that was left behind" : "nothing of sfunnel to remove");
}

/** Whether the one sees to the replies of the other. */
function servedBy(companion: InspectedAttachment, other: InspectedAttachment): boolean {
  const { funnelId, ifindex } = companion;
  return !other.repliesOnly && other.funnelId === funnelId && other.ifindex === ifindex;
}
