import { describe, expect, it } from "vitest";
import {
  formatPorts,
  isPort,
  normalisePorts,
  parsePort,
  portsInclude,
} from "../../../lib/rules/index.ts";

const range = (first: number, last = first) => ({ first, last });

describe("ports", () => {
  it("accepts whole numbers from 1 to 65535", () => {
    expect([1, 65535].every(isPort)).toBe(true);
    expect([0, 65536, -1, 1.5, Number.NaN, "80", 80n, null].some(isPort)).toBe(false);
  });

  it("reads plain decimal text only", () => {
    expect(parsePort("1")).toBe(1);
    expect(parsePort("65535")).toBe(65535);
    for (const text of ["", "0", "080", "65536", "99999", "100000", "1e3", "+1", "-1", "0x50"]) {
      expect(parsePort(text), text).toBeUndefined();
    }
  });

  it.each([
    [
      [range(443), range(80)],
      [range(80), range(443)],
    ],
    [[range(80), range(80)], [range(80)]],
    [[range(80), range(81)], [range(80, 81)]],
    [
      [range(80), range(82)],
      [range(80), range(82)],
    ],
    [[range(10, 20), range(15, 30), range(25)], [range(10, 30)]],
    [[range(1, 65535), range(80)], [range(1, 65535)]],
    [[range(10, 50), range(20, 30), range(40, 60)], [range(10, 60)]],
  ])("sorts and merges %j", (written, normal) => {
    const before = structuredClone(written);
    expect(normalisePorts(written)).toEqual(normal);
    expect(written).toEqual(before);
  });

  it("formats and searches", () => {
    expect(formatPorts([range(80)])).toBe("80");
    expect(formatPorts([range(80, 90)])).toBe("80-90");
    expect(formatPorts([range(80), range(443, 444)])).toBe("{ 80, 443-444 }");
    expect(portsInclude([range(80), range(443, 444)], 444)).toBe(true);
    expect(portsInclude([range(80), range(443, 444)], 81)).toBe(false);
  });
});
