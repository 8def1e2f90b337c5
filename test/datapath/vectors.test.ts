/** Frames in and out that the original sfunnel made: the wire format, byte for byte. */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Funnel } from "../../lib/index.ts";
import { hex } from "../support/packet.ts";

interface Vector {
  readonly name: string;
  readonly ruleset: string;
  readonly input: string;
  readonly output: string;
}

const vectors = JSON.parse(
  readFileSync(new URL("../vectors/encap.json", import.meta.url), "utf8"),
) as Vector[];

describe("vectors of the original, in the kernel", () => {
  let funnel: Funnel;
  beforeAll(async () => {
    funnel = await Funnel.load({});
  });
  afterAll(() => funnel.close());

  it("has them all", () => expect(vectors).toHaveLength(120));

  it.each(vectors)("$name", async ({ ruleset, input, output }) => {
    const direction = ruleset.includes("unfunnel") ? "ingress" : "egress";
    await funnel.replace({ [direction]: ruleset });
    const result = await funnel.testRun(Buffer.from(input, "hex"), { direction });
    expect(hex(result.frame)).toBe(output);
    expect(result).toMatchObject({
      verdict: "pass",
      outcome: direction === "ingress" ? "unfunneled" : "funneled",
      rule: 0,
    });
  });
});
