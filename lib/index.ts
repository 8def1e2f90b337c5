export { LimitError, limits } from "./compile/limits.ts";
export { type OutcomeName, outcomeNames } from "./compile/outcomes.ts";
export {
  ClosedError,
  type ErrorCode,
  type ErrorDetails,
  KernelError,
  OptionError,
  SfunnelError,
} from "./errors.ts";
export { DeviceError, NetnsError } from "./native/failure.ts";
export * from "./plan/index.ts";
export * from "./rules/index.ts";
export { Attachment } from "./runtime/attachment.ts";
export { Funnel, type FunnelRuleset } from "./runtime/funnel.ts";
export type { AttachOptions, LoadOptions, TestRunOptions } from "./runtime/options.ts";
export type { SegmenterStats } from "./runtime/segmenter.ts";
export type {
  ConnectionStats,
  Counter,
  DirectionStats,
  FlowStats,
  RuleStats,
  Stats,
} from "./runtime/stats.ts";
export type { TestRunResult } from "./runtime/test-run.ts";
