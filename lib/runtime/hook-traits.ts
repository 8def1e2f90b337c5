/** What the program has to know of hooks before the first packet comes by. */
import { HookTrait } from "../compile/abi.gen.ts";
import { isWithoutEthernet } from "./link-type.ts";
import type { Hooked } from "./registry.ts";
import { type HookTraits, hookNumber } from "./tables.ts";

/** Where a program stands or will stand, and how it was asked for. */
export type Hooking = Pick<Hooked, "place" | "direction" | "options">;

/** Beyond what a packet under a carrier may have anyway. */
const LARGEST_MTU = 0xffff;

/**
 * Of the same hook twice, the later one counts. `tellsMtu`: the program cannot ask for the MTUs of
 * interfaces itself.
 */
export function traitsOf(hooks: readonly Hooking[], tellsMtu: boolean): HookTraits {
  const traits = new Map<number, number>();
  for (const { place, direction, options } of hooks) {
    const asked = options.direction === "both" || options.direction === direction;
    const mtu = tellsMtu ? Math.min(place.mtu, LARGEST_MTU) : 0;
    const bits =
      (asked ? 0 : HookTrait.HOOK_REPLIES_ONLY) |
      (isWithoutEthernet(place) ? HookTrait.HOOK_WITHOUT_ETHERNET : 0) |
      (mtu << HookTrait.HOOK_MTU_SHIFT);
    const hook = hookNumber(place.ifindex, direction);
    if (bits === 0) traits.delete(hook);
    else traits.set(hook, bits);
  }
  return traits;
}
