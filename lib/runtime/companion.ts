/** Names of attachments, and of their companions. */
import { Limit } from "../compile/abi.gen.ts";

/**
 * An attachment for one direction has a companion at the opposite hook, which asks no rules and
 * only sees to the replies. Under a name of its own it does not get in the way of an attachment
 * of the same name for that direction.
 */
const COMPANION_SUFFIX = " (replies)";

/** The longest name of an attachment, in bytes: with the suffix it fits into the map. */
export const LONGEST_NAME = Limit.NAME_LENGTH - 1 - COMPANION_SUFFIX.length;

/** Name of the companion of an attachment. */
export function companionOf(name: string): string {
  return name + COMPANION_SUFFIX;
}

/** Name of the attachment that this is, or is the companion of. */
export function principalOf(name: string): { readonly name: string; readonly companion: boolean } {
  const companion = name.endsWith(COMPANION_SUFFIX);
  return { name: companion ? name.slice(0, -COMPANION_SUFFIX.length) : name, companion };
}
