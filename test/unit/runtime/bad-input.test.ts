/** Each mistake gets one clear message: what was expected, where, what to do. Nothing stays. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import {
  type AttachOptions,
  Funnel,
  type FunnelRuleset,
  KernelError,
  OptionError,
  SfunnelError,
  type TestRunOptions,
} from "../../../lib/index.ts";
import { binding } from "../../../lib/native/binding.ts";
import { errorOf, NEEDS } from "../../../lib/native/failure.ts";
import { companionOf, LONGEST_NAME } from "../../../lib/runtime/companion.ts";
import { borrowFunnel, CLIENT_RULES, closeFunnels, NOTHING, on } from "../../support/funnels.ts";
import { fixture, mustFail, openDescriptors, skipReason, titled } from "../../support/native.ts";
import { makeNetns, type TestNetns } from "../../support/netns.ts";

/** The error that it throws or rejects with, which is one of ours and on one line. */
async function errorFrom(work: () => unknown): Promise<SfunnelError> {
  try {
    await work();
  } catch (error) {
    expect(error).toBeInstanceOf(SfunnelError);
    const ours = error as SfunnelError;
    expect(ours.message).not.toContain("\n");
    expect(ours.message.length).toBeLessThan(400);
    return ours;
  }
  throw new Error("no error");
}

const anything = <Type>(value: unknown): Type => value as Type;

describe.skipIf(skipReason !== undefined)(titled("bad input"), () => {
  let netns: TestNetns;
  let folder: string;
  let file: string;
  let funnel: Funnel;
  let before: string[];

  beforeAll(async () => {
    netns = makeNetns();
    folder = mkdtempSync(join(tmpdir(), "sfunnel-"));
    file = join(folder, "file");
    writeFileSync(file, "");
    funnel = await borrowFunnel();
    before = openDescriptors();
  });

  afterEach(async () => {
    expect(await on(netns)).toEqual(NOTHING);
    expect(openDescriptors()).toEqual(before);
  });

  afterAll(async () => {
    await closeFunnels();
    netns.delete();
    rmSync(folder, { recursive: true });
  });

  describe("attach", () => {
    test("to an interface that is not there lists those that are", async () => {
      const error = await errorFrom(() => funnel.attach("eth7", { netns: netns.name }));
      expect(error).toMatchObject({ code: "SFUNNEL_DEVICE", device: "eth7" });
      expect(error.message).toBe(
        `attach: no interface "eth7" in network namespace "${netns.name}" (there are: lo, veth-b, veth-a)`,
      );
      const here = await errorFrom(() => funnel.attach("no-such-device"));
      expect(here.message).toMatch(
        /^attach: no interface "no-such-device" in this network namespace \(there are: .*\blo\b/,
      );
    });

    test("in a namespace that is not there", async () => {
      const error = await errorFrom(() => funnel.attach("lo", { netns: "no-such-namespace" }));
      expect(error).toMatchObject({ code: "SFUNNEL_NETNS", netns: "no-such-namespace" });
      expect(error.message).toBe(
        'attach: network namespace "no-such-namespace": there is none (/run/netns/no-such-namespace does not exist; list them with: ip netns)',
      );
      for (const path of ["/no/such/path", "/proc/self/ns/net/below", "./no-such-path"]) {
        const gone = await errorFrom(() => funnel.attach("lo", { netns: path }));
        expect(gone).toMatchObject({ code: "SFUNNEL_NETNS", netns: path });
        expect(gone.message).toContain(`${path} does not exist`);
      }
    });

    test("in a path that is no network namespace", async () => {
      const paths = [file, folder, "/proc/self/ns/mnt", "/proc/self/ns/pid", "/dev/null", "/"];
      for (const path of paths) {
        const error = await errorFrom(() => funnel.attach("lo", { netns: path }));
        expect(error).toMatchObject({ code: "SFUNNEL_NETNS", netns: path });
        expect(error.message).toBe(
          `attach: network namespace "${path}": this is no network namespace (give a name that ip netns lists, or a path such as /proc/PID/ns/net)`,
        );
      }
    });

    test.each([
      ["dirrection", "direction"],
      ["Netns", "netns"],
      ["hok", "hook"],
      ["ordre", "order"],
      ["life_time", "lifetime"],
      ["nmae", "name"],
      ["signl", "signal"],
    ])("with the misspelt option %s suggests %s", async (written, meant) => {
      const options = anything<AttachOptions>({ netns: netns.name, [written]: "x" });
      const error = await errorFrom(() => funnel.attach(netns.device, options));
      expect(error).toBeInstanceOf(OptionError);
      expect(error).toMatchObject({ code: "SFUNNEL_OPTION", option: written });
      expect(error.message).toBe(
        `attach: there is no option "${written}" (did you mean "${meant}"?)`,
      );
    });

    test("with an option that is like none lists them all", async () => {
      const options = anything<AttachOptions>({ priority: 7 });
      const error = await errorFrom(() => funnel.attach(netns.device, options));
      for (const name of ["direction", "netns", "hook", "order", "lifetime", "name", "signal"]) {
        expect(error.message).toContain(name);
      }
    });

    test.each([
      [
        { direction: "egres" },
        'must be "ingress" or "egress" or "both", found "egres" (did you mean "egress"?)',
      ],
      [{ direction: 1 }, 'must be "ingress" or "egress" or "both", found 1'],
      [{ hook: "TCX" }, 'must be "auto" or "tcx" or "clsact", found "TCX" (did you mean "tcx"?)'],
      [{ hook: null }, "found null"],
      [{ order: 1n }, 'must be "first" or "last", found 1n'],
      [{ lifetime: {} }, 'must be "process" or "device", found an object'],
      [{ name: "" }, 'must be a non-empty string, found ""'],
      [{ name: 7 }, "must be a non-empty string, found 7"],
      [{ name: "a\0b" }, "must be a non-empty string, found"],
      [
        { name: "x".repeat(LONGEST_NAME + 1) },
        `at most ${LONGEST_NAME} bytes, found ${LONGEST_NAME + 1}`,
      ],
      [
        { name: "ä".repeat(LONGEST_NAME) },
        `at most ${LONGEST_NAME} bytes, found ${2 * LONGEST_NAME}`,
      ],
      [{ name: companionOf("a") }, "must not end like the names that sfunnel makes itself"],
      [{ netns: "" }, "must be a non-empty string"],
      [{ netns: 4_026_531_840 }, "must be a non-empty string, found 4026531840"],
      [{ signal: {} }, "must be an AbortSignal, found an object"],
    ])("with the option %o", async (bad, words) => {
      const [[option] = [""]] = Object.entries(bad);
      const options = anything<AttachOptions>({ netns: netns.name, ...bad });
      const error = await errorFrom(() => funnel.attach(netns.device, options));
      expect(error).toMatchObject({ code: "SFUNNEL_OPTION", option });
      expect(error.message).toContain(`attach: option "${option}" `);
      expect(error.message).toContain(words);
    });

    test.each([null, "veth-a", 7, [], () => {}])("with options that are none: %o", async (bad) => {
      const error = await errorFrom(() => funnel.attach(netns.device, anything(bad)));
      expect(error).toMatchObject({ code: "SFUNNEL_OPTION", option: "options" });
      expect(error.message).toContain("attach: options: expected an object");
    });

    test.each([undefined, null, 7, 7n, {}, "", "a b", "a/b", "x".repeat(16), "eth0\n"])(
      "to what is no name of an interface: %o",
      async (device) => {
        const error = await errorFrom(() => funnel.attach(anything(device)));
        expect(error).toMatchObject({ code: "SFUNNEL_OPTION", option: "device" });
        expect(error.message).toMatch(
          /^attach: expected the name of an interface \(1 to 15 characters\), found .*ip link/,
        );
      },
    );

    test("with a signal that has fired, or fires on the way", async () => {
      const reason = new Error("enough");
      const options = (signal: AbortSignal) => ({ netns: netns.name, signal });
      const aborted = await errorFrom(() =>
        funnel.attach(netns.device, options(AbortSignal.abort(reason))),
      );
      expect(aborted).toMatchObject({ code: "SFUNNEL_ABORTED", cause: reason });
      expect(aborted.message).toBe("attach: aborted");
      // At different points of the calls that it makes.
      for (let turns = 0; turns < 12; turns++) {
        const controller = new AbortController();
        const attach = funnel.attach(netns.device, options(controller.signal));
        attach.catch(() => undefined);
        for (let turn = 0; turn < turns; turn++) await new Promise(setImmediate);
        controller.abort(reason);
        const ended = await attach.catch((error: unknown) => error);
        if (ended instanceof SfunnelError) expect(ended.code).toBe("SFUNNEL_ABORTED");
        else await (ended as Awaited<typeof attach>).close();
        expect(await on(netns)).toEqual(NOTHING);
      }
    });
  });

  describe("load and replace", () => {
    const calls = [
      ["load", (ruleset: FunnelRuleset) => Funnel.load(ruleset)],
      ["replace", (ruleset: FunnelRuleset) => funnel.replace(ruleset)],
    ] as const;

    test.each(calls)("%s: a misspelt direction is suggested", async (operation, call) => {
      const error = await errorFrom(() => call(anything({ ingres: [] })));
      expect(error).toMatchObject({ code: "SFUNNEL_OPTION", option: "ingres" });
      expect(error.message).toBe(
        `${operation}: there is no option "ingres" (did you mean "ingress"?)`,
      );
    });

    test.each(calls)("%s: what is no ruleset", async (operation, call) => {
      for (const bad of [undefined, null, "udp actions drop", [], 7]) {
        const error = await errorFrom(() => call(anything(bad)));
        expect(error.code).toBe("SFUNNEL_OPTION");
        expect(error.message).toContain(`${operation}: options: expected an object`);
      }
    });

    test.each(calls)("%s: a list that is none, a rule that is none", async (_, call) => {
      for (const bad of [7, {}, [7], [null], [{}], [["udp actions drop"]]]) {
        const error = await errorFrom(() => call(anything({ egress: bad })));
        expect(error.code).toMatch(/^SFUNNEL_(RULE|OPTION)$/);
        expect(error.message).toMatch(/rule/);
      }
    });

    test.each(calls)("%s: a bad rule in text, with its place and a caret", async (_, call) => {
      try {
        await call({ egress: "udp dport 2055 actions accept\nudp dport 0 actions drop" });
      } catch (error) {
        expect(error).toMatchObject({ code: "SFUNNEL_RULE", line: 2, column: 11 });
        expect((error as Error).message).toContain("^");
        return;
      }
      throw new Error("no error");
    });

    test.each([
      [{ flow: 1000 }, 'load: there is no option "flow" (did you mean "flows"?)'],
      [
        { flows: 127 },
        'load: option "flows" must be a whole number from 128 to 16777216, found 127',
      ],
      [{ flows: 1000n }, "found 1000n"],
      [{ flows: "1000" }, 'found "1000"'],
      [null, "load: options: expected an object, found null"],
    ])("load with the options %o", async (options, words) => {
      const error = await errorFrom(() => Funnel.load(CLIENT_RULES, anything(options)));
      expect(error.code).toBe("SFUNNEL_OPTION");
      expect(error.message).toContain(words);
    });

    test("the rules that were in force stay when a replace is refused", async () => {
      const { rules } = funnel;
      await errorFrom(() => funnel.replace(anything({ egress: 7 })));
      expect(funnel.rules).toEqual(rules);
    });
  });

  describe("testRun", () => {
    const egress = { direction: "egress" } as const;

    /** A frame of a type, with nothing in it. */
    function frame(length: number, type = 0x0800): Uint8Array {
      const bytes = new Uint8Array(length);
      bytes.set([type >> 8, type & 0xff].slice(0, Math.max(0, length - 12)), 12);
      return bytes;
    }

    test.each([0, 1, 13])("of %i bytes", async (length) => {
      const error = await errorFrom(() => funnel.testRun(new Uint8Array(length), egress));
      expect(error.code).toBe("SFUNNEL_FRAME");
      expect(error.message).toBe(
        `testRun: expected at least 14 bytes (an Ethernet header), got ${length}`,
      );
    });

    test.each([14, 15, 33])("of %i bytes of IPv4", async (length) => {
      const error = await errorFrom(() => funnel.testRun(frame(length), egress));
      expect(error.code).toBe("SFUNNEL_FRAME");
      expect(error.message).toBe(
        `testRun: expected at least 34 bytes (Ethernet and IPv4 headers), got ${length}`,
      );
    });

    test.each([14, 53])("of %i bytes of IPv6", async (length) => {
      const error = await errorFrom(() => funnel.testRun(frame(length, 0x86dd), egress));
      expect(error.message).toBe(
        `testRun: expected at least 54 bytes (Ethernet and IPv6 headers), got ${length}`,
      );
    });

    test.each([4096, 65_549, 2 ** 21])(
      "of %i bytes, more than the kernel takes",
      async (length) => {
        const error = await errorFrom(() => funnel.testRun(frame(length), egress));
        expect(error.code).toBe("SFUNNEL_FRAME");
        expect(error.message).toContain("testRun: expected at most some 3700 bytes");
        expect(error.message).toContain(`got ${length} bytes`);
      },
    );

    test.each([undefined, null, "0800", [8, 0], new ArrayBuffer(60), new Uint16Array(30)])(
      "of what are no bytes: %o",
      async (bad) => {
        const error = await errorFrom(() => funnel.testRun(anything(bad), egress));
        expect(error).toMatchObject({ code: "SFUNNEL_OPTION", option: "frame" });
        expect(error.message).toContain("testRun: expected the frame as a Uint8Array");
      },
    );

    test.each([
      [undefined, "testRun: options: expected an object, found undefined"],
      [{}, 'testRun: option "direction" is missing (give { direction: "ingress" }'],
      [{ direction: "both" }, 'must be "ingress" or "egress", found "both"'],
      [{ direction: "ingres" }, '(did you mean "ingress"?)'],
      [{ dir: "ingress" }, 'testRun: there is no option "dir"'],
      [{ ...egress, devise: "lo" }, 'no option "devise" (did you mean "device"?)'],
      [{ ...egress, nets: "x" }, 'no option "nets" (did you mean "netns"?)'],
      [{ ...egress, device: "lo", netns: "" }, 'option "netns" must be a non-empty string'],
      [{ ...egress, device: "lo", netns: 7 }, "must be a non-empty string, found 7"],
    ])("with options %o", async (options, words) => {
      const error = await errorFrom(() => funnel.testRun(frame(60), anything(options)));
      expect(error.code).toBe("SFUNNEL_OPTION");
      expect(error.message).toContain("testRun: ");
      expect(error.message).toContain(words);
    });

    test("with an option that is like none lists them all", async () => {
      const options = anything<TestRunOptions>({ ...egress, mtu: 1500 });
      const error = await errorFrom(() => funnel.testRun(frame(60), options));
      expect(error).toMatchObject({ code: "SFUNNEL_OPTION", option: "mtu" });
      for (const name of ["direction", "device", "netns"]) expect(error.message).toContain(name);
    });

    test.each([null, 7, {}, "", "a b", "a/b", "x".repeat(16)])(
      "on what is no name of an interface: %o",
      async (device) => {
        const options = anything<TestRunOptions>({ ...egress, device });
        const error = await errorFrom(() => funnel.testRun(frame(60), options));
        expect(error).toMatchObject({ code: "SFUNNEL_OPTION", option: "device" });
        expect(error.message).toMatch(
          /^testRun: expected the name of an interface \(1 to 15 characters\), found .*ip link/,
        );
      },
    );

    test("on an interface of our own", async () => {
      for (const device of ["sfunnel.seg", "sfunnel.ret"]) {
        const error = await errorFrom(() => funnel.testRun(frame(60), { ...egress, device }));
        expect(error).toMatchObject({ code: "SFUNNEL_OPTION", option: "device" });
        expect(error.message).toMatch(/^testRun: sfunnel.... is a part of sfunnel itself /);
      }
    });

    test("on an interface that is not there lists those that are", async () => {
      const run = (device: string, place: { netns?: string }) =>
        errorFrom(() => funnel.testRun(frame(60), { ...egress, device, ...place }));
      const error = await run("eth7", { netns: netns.name });
      expect(error).toMatchObject({ code: "SFUNNEL_DEVICE", device: "eth7" });
      expect(error.message).toMatch(/^testRun: no interface "eth7" in network namespace /);
      expect(error.message).toContain(
        `no interface "eth7" in network namespace "${netns.name}" (there are: lo, veth-b, veth-a)`,
      );
      const here = await run("no-such-device", {});
      expect(here).toMatchObject({ code: "SFUNNEL_DEVICE", device: "no-such-device" });
      expect(here.message).toContain('no interface "no-such-device" in this network namespace');
    });

    test("in a namespace that is not there", async () => {
      for (const name of ["no-such-namespace", "/no/such/path"]) {
        const options = { ...egress, device: "lo", netns: name };
        const error = await errorFrom(() => funnel.testRun(frame(60), options));
        expect(error).toMatchObject({ code: "SFUNNEL_NETNS", netns: name });
        expect(error.message).toContain("does not exist");
      }
    });
  });

  test("a Funnel and an Attachment that are closed", async () => {
    const closed = await Funnel.load(CLIENT_RULES);
    const attachment = await closed.attach(netns.device, { netns: netns.name });
    const closing = closed.close();
    const calls: readonly [string, () => unknown][] = [
      ["attach", () => closed.attach(netns.device, { netns: netns.name })],
      ["replace", () => closed.replace(CLIENT_RULES)],
      ["stats", () => closed.stats()],
      ["testRun", () => closed.testRun(new Uint8Array(60), { direction: "egress" })],
    ];
    // From the moment of the call on, and for ever.
    for (const wait of [false, true]) {
      if (wait) await closing;
      for (const [operation, call] of calls) {
        const error = await errorFrom(call);
        expect(error).toMatchObject({ code: "SFUNNEL_CLOSED", operation });
        expect(error.message).toBe(
          `${operation}: this Funnel is closed (make a new Funnel, or close it later)`,
        );
      }
    }
    await closed.close();
    await attachment.close();
    expect(attachment.attached).toBe(false);
    await new Promise((resolve) => setImmediate(resolve));
  });

  test("a program that the kernel refuses: its words are a field, not the message", async () => {
    const failure = mustFail(await binding().load(fixture("refused"), {}));
    const error = errorOf(failure, "load", NEEDS.load ?? []);
    expect(error).toBeInstanceOf(KernelError);
    expect(error).toMatchObject({ code: "SFUNNEL_KERNEL", errno: "EACCES", operation: "load" });
    expect(error.message).toMatch(
      /^load: the kernel refused the program \(load: EACCES\) \(sfunnel needs Linux 5\.10/,
    );
    expect((error as KernelError).verifierLog).toContain("invalid access to packet");
  });
});
