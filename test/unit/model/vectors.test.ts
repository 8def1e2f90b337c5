/**
 * Interoperation with the original sfunnel: frames that its program made, byte for byte.
 */

import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { simulate } from "../../../lib/model/index.ts";
import { parseRules } from "../../../lib/rules/parse.ts";
import { bytes, checksumsOf, describeFrame, hex } from "../../support/packet.ts";

interface Vector {
  readonly name: string;
  readonly ruleset: string;
  readonly input: string;
  readonly output: string;
}

const HERE = new URL("../../vectors/encap.json", import.meta.url);
/** Where the vectors come from; outside of the repository, so not there in a clone of it. */
const ORIGIN = new URL("../../../../shared/vectors/encap.json", import.meta.url);

const vectors: readonly Vector[] = JSON.parse(readFileSync(HERE, "utf8"));

describe("vectors of the original", () => {
  it("are all here", () => {
    expect(vectors).toHaveLength(120);
  });

  it.runIf(existsSync(ORIGIN))("are the ones that were handed to us", () => {
    expect(readFileSync(HERE, "utf8")).toBe(readFileSync(ORIGIN, "utf8"));
  });

  it.each(vectors.map((vector, index) => ({ ...vector, index })))("$index $name", (vector) => {
    const unfunnels = vector.name.startsWith("unfunnel");
    const direction = unfunnels ? "ingress" : "egress";
    const ruleset = { [direction]: parseRules(vector.ruleset) };

    const result = simulate(ruleset, bytes(vector.input), { direction });

    expect(describeFrame(result.frame)).toBe(describeFrame(bytes(vector.output)));
    expect(hex(result.frame)).toBe(vector.output);
    expect(result).toMatchObject({
      verdict: "pass",
      outcome: unfunnels ? "unfunneled" : "funneled",
      rule: 0,
    });
    expect(checksumsOf(result.frame).ip).toBe("right");
    expect(checksumsOf(result.frame).outer).not.toBe("wrong");
  });
});
