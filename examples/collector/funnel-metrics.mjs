// What `stats()` of a Funnel says, for prom-client.
import { Counter, Gauge } from "prom-client";
import { formatRules } from "sfunnel";

/** Those of `stats()` that are no counters: they go down as well. */
const GAUGES = ["capacity", "entries", "begun", "dropped"];

const snake = (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** A function that brings the metrics of a registry up to what `stats()` has given. */
export function funnelMetrics(registry) {
  /** What each counter has. A counter that went down would count as one that began anew. */
  const counted = new Map();

  function metric(Kind, name, help, labelNames = []) {
    return (
      registry.getSingleMetric(name) ?? new Kind({ name, help, labelNames, registers: [registry] })
    );
  }

  function count(name, help, value, labels = {}) {
    const key = `${name} ${Object.values(labels).join(" ")}`;
    const before = counted.get(key) ?? 0;
    const now = Math.max(before, value);
    counted.set(key, now);
    metric(Counter, name, help, Object.keys(labels)).inc(labels, now - before);
  }

  function countBoth(prefix, help, { packets, bytes }, labels) {
    count(`${prefix}packets_total`, `Packets ${help}`, packets, labels);
    count(`${prefix}bytes_total`, `Bytes of packets ${help}`, bytes, labels);
  }

  return ({ ingress, egress, flows, connections, segmenter }) => {
    for (const [direction, { outcomes, rules }] of Object.entries({ ingress, egress })) {
      for (const [outcome, counter] of Object.entries(outcomes)) {
        countBoth("sfunnel_", "by what became of them", counter, { direction, outcome });
      }
      for (const { rule, ...counter } of rules) {
        const labels = { direction, rule: formatRules([rule]).trim() };
        countBoth("sfunnel_rule_", "that a rule matched", counter, labels);
      }
    }
    for (const [table, values] of Object.entries({ flows, connections, segmenter })) {
      for (const [name, value] of Object.entries(values)) {
        const help = `stats().${table}.${name}`;
        if (!GAUGES.includes(name)) count(`sfunnel_${table}_${snake(name)}_total`, help, value);
        else metric(Gauge, `sfunnel_${table}_${snake(name)}`, help).set(value ?? Number.NaN);
      }
    }
  };
}
