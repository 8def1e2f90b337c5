import { readFileSync } from "node:fs";
import { afterEach, describe, expect, test, vi } from "vitest";
import { KernelError } from "../../../lib/errors.ts";
import { egressInTheWay, errorOf, NEEDS } from "../../../lib/native/failure.ts";

vi.mock("node:fs", async (original) => ({
  ...(await original<typeof import("node:fs")>()),
  readFileSync: vi.fn(),
}));

const EPERM = 1;
const EACCES = 13;

const BITS = { CAP_NET_ADMIN: 12n, CAP_SYS_ADMIN: 21n, CAP_BPF: 39n };

/** What /proc/self/status says from here on. */
function having(...capabilities: (keyof typeof BITS)[]): void {
  const mask = capabilities.reduce((sum, name) => sum | (1n << BITS[name]), 0n);
  vi.mocked(readFileSync).mockReturnValue(`Name:\tnode\nCapEff:\t${mask.toString(16)}\n`);
}

describe("errorOf", () => {
  afterEach(() => {
    vi.mocked(readFileSync).mockReset();
  });

  test.each([
    [[], "CAP_BPF and CAP_NET_ADMIN missing"],
    [["CAP_BPF"], "CAP_NET_ADMIN missing"],
    [["CAP_NET_ADMIN"], "CAP_BPF missing"],
    [["CAP_SYS_ADMIN"], "CAP_NET_ADMIN missing"],
  ] as const)("with %o a load that is not permitted says: %s", (has, message) => {
    having(...has);
    const error = errorOf({ errno: EPERM, step: "load" }, "load", NEEDS.load ?? []);
    expect(error).toMatchObject({ code: "SFUNNEL_PERMISSION", errno: "EPERM", operation: "load" });
    expect(error.message).toContain(`load: not permitted (load): ${message}`);
  });

  test("blames the capability that entering a namespace takes, whatever else is done there", () => {
    having("CAP_NET_ADMIN");
    const failure = { errno: EPERM, step: "enter network namespace" };
    expect(errorOf(failure, "attach", NEEDS.attach ?? []).message).toContain(
      "CAP_SYS_ADMIN missing",
    );
  });

  test("does not call a capability missing that is there", () => {
    having("CAP_NET_ADMIN");
    const error = errorOf({ errno: EPERM, step: "attach tcx" }, "attach", NEEDS.attach ?? []);
    expect(error.code).toBe("SFUNNEL_PERMISSION");
    expect(error.message).not.toContain("missing");
    expect(error.hint).toMatch(/user namespace.*seccomp/);
  });

  test("blames the capability where the verifier is stricter for want of it", () => {
    having("CAP_NET_ADMIN");
    const failure = { errno: EACCES, step: "load", log: "pointer comparison prohibited" };
    const error = errorOf(failure, "load", NEEDS.load ?? []);
    expect(error.code).toBe("SFUNNEL_PERMISSION");
    expect(error.message).toContain("CAP_BPF");
  });

  test("keeps the verifier's words where it is the program", () => {
    having("CAP_NET_ADMIN", "CAP_SYS_ADMIN");
    const failure = { errno: EACCES, step: "load", log: "R1 is not allowed" };
    const error = errorOf(failure, "load", NEEDS.load ?? []);
    expect(error).toBeInstanceOf(KernelError);
    expect(error).toMatchObject({ code: "SFUNNEL_KERNEL", verifierLog: "R1 is not allowed" });
    expect(error.message).toContain("Linux 5.10");
    expect(error.message).not.toContain("R1");
  });

  test.each([
    [9, "SFUNNEL_CLOSED", "EBADF"],
    [19, "SFUNNEL_DEVICE", "ENODEV"],
    [34, "SFUNNEL_LIMIT", "ERANGE"],
    [12, "SFUNNEL_LIMIT", "ENOMEM"],
    [16, "SFUNNEL_SYSTEM", "EBUSY"],
    [17, "SFUNNEL_SYSTEM", "EEXIST"],
    [4000, "SFUNNEL_SYSTEM", "errno 4000"],
  ])("gives errno %d the code %s and its name, %s", (errno, code, name) => {
    const error = errorOf({ errno, step: "attach tcx" }, "attach", []);
    expect(error).toMatchObject({ code, errno: name });
    expect(error.message).toContain("attach: attach tcx: ");
  });

  test("a qdisc in the way is called by its name, with ways out", () => {
    const error = egressInTheWay("eth0");
    expect(error.message).toMatch(/^attach: eth0 has a qdisc "ingress"/);
    expect(error.hint).toMatch(/hook "tcx".*tc filter show dev eth0 ingress/);
  });
});
