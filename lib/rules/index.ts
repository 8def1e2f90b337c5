/** Rules: their data, their text form, their builders. Pure: no addon, no root, any platform. */

export {
  addressBits,
  addressBytes,
  familyOf,
  formatAddress,
  formatPrefix,
  maskAddress,
  type ParsedAddress,
  type ParsedPrefix,
  parseAddress,
  parsePrefix,
  prefixBytes,
} from "./address.ts";
export {
  type AddressesInput,
  type CarrierSourceInput,
  type CommentInput,
  type FunnelEncapInput,
  type FunnelTranslateInput,
  type MatchInput,
  type Not,
  type PortsInput,
  type TcpFlow,
  tcp,
  type UdpFlow,
  type UnfunnelDecapInput,
  type UnfunnelTranslateInput,
  udp,
} from "./builders.ts";
export { LONGEST_EVERY, SYN_SENT_SECONDS } from "./carrier-source.ts";
export {
  checkRules,
  formatDiagnostic,
  type RuleDiagnostic,
  type RuleWarningCode,
} from "./check.ts";
export { formatRule, formatRules } from "./format.ts";
export { nearestWord } from "./nearest.ts";
export { checkOptionNames } from "./options.ts";
export { parseRules } from "./parse.ts";
export {
  formatPortRange,
  formatPorts,
  HIGHEST_PORT,
  isPort,
  LOWEST_PORT,
  normalisePorts,
  parsePort,
  portsInclude,
} from "./ports.ts";
export {
  RuleError,
  type RuleErrorReason,
  type RulePlace,
  type RuleProblem,
} from "./rule-error.ts";
export type {
  Accept,
  Action,
  AddressMatch,
  CarrierSourcePort,
  Direction,
  Drop,
  Family,
  FunnelEncap,
  FunnelTranslate,
  Match,
  PortMatch,
  PortRange,
  Prefix,
  Rule,
  Ruleset,
  Transport,
  UnfunnelDecap,
  UnfunnelTranslate,
} from "./types.ts";
export { normaliseRule, normaliseRules, validateRules } from "./validate.ts";
