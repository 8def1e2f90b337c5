/** Plans: the rules of both sides from what is wanted. Pure: no addon, no root, any platform. */
export { plan } from "./plan.ts";
export type {
  CarrierPorts,
  Plan,
  PlanClient,
  PlanFlow,
  PlannedFlow,
  PlanOptions,
  PlanService,
  PlanSide,
  PlanWarning,
  PlanWarningCode,
  TcpMode,
} from "./types.ts";
