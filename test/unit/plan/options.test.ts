import { describe, expect, it } from "vitest";
import { OptionError } from "../../../lib/errors.ts";
import { type PlanOptions, plan } from "../../../lib/plan/index.ts";

const service = { address: "203.0.113.1", port: 179, protocol: "tcp" };
const flows = [{ protocol: "udp", port: 2055 }];

/** What is thrown for options as a program in JavaScript may give them. */
function refusal(options: unknown): OptionError {
  try {
    plan(options as PlanOptions);
  } catch (error) {
    if (error instanceof OptionError) return error;
    throw error;
  }
  throw new Error("not refused");
}

const udp = { ...service, protocol: "udp" };
const translated = { protocol: "tcp", port: 8080, mode: "translate" };

describe("options of plan", () => {
  // options, option that the error names, message
  it.each<[unknown, string, string]>([
    [undefined, "options", "plan: options: expected an object, found undefined"],
    [[], "options", "plan: options: expected an object, found an array"],
    [
      { service, flows, klient: "host" },
      "klient",
      'there is no option "klient" (did you mean "client"?)',
    ],
    [{ flows }, "service", "plan: service: expected { address, port, protocol }, found nothing"],
    [
      { service: "tcp", flows },
      "options",
      'plan: service: options: expected an object, found "tcp"',
    ],
    [
      { service: { ...service, protokol: "tcp" }, flows },
      "protokol",
      'plan: service: there is no option "protokol" (did you mean "protocol"?)',
    ],
    [
      { service: { ...service, protocol: "TCP" }, flows },
      "service.protocol",
      'plan: service.protocol: expected "tcp" or "udp", found "TCP" (did you mean "tcp"?)',
    ],
    [
      { service: { ...service, port: "179" }, flows },
      "service.port",
      'plan: service.port: expected a port (1 to 65535), found "179"',
    ],
    [
      { service: { ...service, address: undefined }, flows },
      "service.address",
      'plan: service.address: expected an address of the service, such as "203.0.113.1", found nothing',
    ],
    [
      { service: { ...service, address: ["203.0.113.1", "203.0.113.256"] }, flows },
      "service.address",
      '"203.0.113.256" (a number of an IPv4 address is 255 at most)',
    ],
    [
      { service: { ...service, address: "203.0.113.0/24" }, flows },
      "service.address",
      'expected one address, or an array of such, found "203.0.113.0/24" (not a prefix)',
    ],
    [{ service: { ...service, address: [] }, flows }, "service.address", "at least one address"],
    [{ service }, "flows", "plan: flows: expected an array of { protocol, port }, found nothing"],
    [{ service, flows: [] }, "flows", "plan: flows: expected at least one flow"],
    [{ service, flows: new Array(1) }, "flows[0]", "flows[0]: expected { protocol, port }"],
    [
      { service, flows: [{ ...flows[0], prot: "udp" }] },
      "prot",
      'plan: flows[0]: there is no option "prot" (did you mean "port"?)',
    ],
    [
      { service, flows: [{ port: 1 }] },
      "flows[0].protocol",
      'expected "tcp" or "udp", found nothing',
    ],
    [{ service, flows: [{ protocol: "udp" }] }, "flows[0].port", "found nothing"],
    [{ service, flows: [{ protocol: "udp", port: 0 }] }, "flows[0].port", "found 0"],
    [{ service, flows: [{ protocol: "udp", port: [] }] }, "flows[0].port", "matches nothing"],
    [{ service, flows: [{ protocol: "udp", port: "9-8" }] }, "flows[0].port", "write 8-9"],
    [
      { service, flows: [{ ...translated, mode: "translated" }] },
      "flows[0].mode",
      '(did you mean "translate"?)',
    ],
    [
      { service, flows: [{ ...translated, protocol: "udp" }] },
      "flows[0].mode",
      "only TCP can be translated, and only over TCP",
    ],
    [{ service: udp, flows: [translated] }, "flows[0].mode", "only TCP can be translated"],
    [{ service: udp, flows, tcp: "translate" }, "tcp", "only TCP can be translated"],
    [{ service, flows, tcp: "encaps" }, "tcp", '"translate" or "encap", found "encaps" (did you'],
    [
      { service, flows: [...flows, { protocol: "udp", port: "2000-3000" }] },
      "flows[1].port",
      "plan: flows[1].port: udp port 2055 stands in two flows",
    ],
    [{ service, flows, client: "gatway" }, "client", 'found "gatway" (did you mean "gateway"?)'],
    [
      { service, flows, sport: "540" },
      "sport",
      'expected a port (1 to 65535), or { first, last, every }, found "540"',
    ],
    [{ service, flows, sport: { first: 540, last: 571, evry: 4 } }, "evry", 'mean "every"?'],
    [{ service, flows, sport: { first: 541, last: 540 } }, "sport", "write 540-541"],
    [{ service, flows, sport: { first: 540, last: 541, every: 4 } }, "sport.every", "8 seconds"],
    [
      { service: udp, flows, sport: { first: 540, last: 571, every: 4 } },
      "sport.every",
      "only carriers of TCP move",
    ],
    [
      {
        ...{ service, flows: [...flows, { ...translated, mode: "encap" }] },
        sport: { first: 65500, last: 65519 },
      },
      "sport",
      "carriers of udp and tcp need 40 ports from 65500 on (65496 is the highest here)",
    ],
    [
      { service, flows: [...flows, { ...translated, mode: "encap" }], sport: 65535 },
      "sport",
      "carriers of udp and tcp need two ports from 65535 on",
    ],
  ])("%j: %s", (options, option, message) => {
    const error = refusal(options);
    expect(error).toMatchObject({ option, operation: expect.stringMatching(/^plan/) });
    expect(error.message).toContain(message);
  });

  it("may name a port once for each protocol, and a highest source port that suffices", () => {
    const both = [...flows, { protocol: "tcp", port: 2055 }];
    expect(() => plan({ service, flows: both, sport: 65535 } as PlanOptions)).not.toThrow();
  });
});
