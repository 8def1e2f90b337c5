/** What a TCP packet shows beside its ports, and which rules are not about it. */
import type { Rule } from "../../rules/types.ts";
import { Form } from "../abi.gen.ts";

/** The form of packets that a rule passes over (enum sfunnel_form); none: `Form.PLAIN`. */
export function formPassedOver({ match, action }: Rule): number {
  if (match.transport === "udp" || action.kind === "accept" || action.kind === "drop") {
    return Form.PLAIN;
  }
  if (action.mode === "translate") return Form.CARRIER;
  return action.kind === "unfunnel" ? Form.MARKED : Form.PLAIN;
}
