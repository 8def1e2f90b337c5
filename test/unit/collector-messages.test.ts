/** What the collector of examples/ makes of messages: right ones, odd ones, and what is none. */
import { describe, expect, it } from "vitest";
import { seededRandom } from "../support/random.ts";

interface Decoded {
  readonly protocol: string;
  readonly records: readonly Readonly<Record<string, number>>[];
  readonly undecoded: number;
}

/** Imported by address, since it is plain JavaScript and says nothing of its types. */
const { Decoder } = (await import(
  new URL("../../examples/collector/messages.mjs", import.meta.url).href
)) as { Decoder: new () => { decode(bytes: Uint8Array, exporter: string): Decoded } };

const EXPORTER = "192.0.2.1";

const u16 = (...numbers: number[]) =>
  Buffer.concat(
    numbers.map((number) => {
      const octets = Buffer.alloc(2);
      octets.writeUInt16BE(number);
      return octets;
    }),
  );

const u32 = (number: number) => {
  const octets = Buffer.alloc(4);
  octets.writeUInt32BE(number);
  return octets;
};

const set = (id: number, ...body: readonly Uint8Array[]) => {
  const octets = Buffer.concat(body);
  return Buffer.concat([u16(id, 4 + octets.length), octets]);
};

const netflow9 = (domain: number, ...sets: readonly Uint8Array[]) =>
  Buffer.concat([u16(9, sets.length), Buffer.alloc(12), u32(domain), ...sets]);

const ipfix = (domain: number, ...sets: readonly Uint8Array[]) => {
  const body = Buffer.concat(sets);
  return Buffer.concat([u16(10, 16 + body.length), Buffer.alloc(8), u32(domain), body]);
};

/** Octets in four, the protocol in one, packets in four octets. */
const FIELDS = u16(1, 4, 4, 1, 2, 4);
const record = (octets: number, packets: number) =>
  Buffer.concat([u32(octets), Buffer.of(17), u32(packets)]);

const PROTOCOLS = [
  ["netflow9", netflow9, 0],
  ["ipfix", ipfix, 2],
] as const;

describe.each(PROTOCOLS)("%s", (protocol, message, templates) => {
  const template = set(templates, u16(256, 3), FIELDS);
  const data = set(256, record(1000, 10), record(70000, 1));

  it("gives the records of a template that came before, in whatever message", () => {
    const decoder = new Decoder();
    const records = [
      { octets: 1000, packets: 10 },
      { octets: 70000, packets: 1 },
    ];
    expect(decoder.decode(message(1, data), EXPORTER)).toEqual({
      ...{ protocol, records: [], undecoded: 1 },
    });
    expect(decoder.decode(message(1, template, data), EXPORTER)).toEqual({
      ...{ protocol, records, undecoded: 0 },
    });
    expect(decoder.decode(message(1, data, data), EXPORTER)).toEqual({
      ...{ protocol, records: [...records, ...records], undecoded: 0 },
    });
  });

  it("takes a template for its exporter, domain and protocol alone", () => {
    const decoder = new Decoder();
    decoder.decode(message(1, template), EXPORTER);
    expect(decoder.decode(message(1, data), "192.0.2.2")).toMatchObject({ undecoded: 1 });
    expect(decoder.decode(message(2, data), EXPORTER)).toMatchObject({ undecoded: 1 });
    const other = message === ipfix ? netflow9 : ipfix;
    expect(decoder.decode(other(1, data), EXPORTER)).toMatchObject({ undecoded: 1 });
  });

  it("takes a later template of the same id instead, and several of one set", () => {
    const decoder = new Decoder();
    const two = set(templates, u16(256, 1, 1, 2), u16(257, 1, 2, 8));
    const one = set(256, u16(5, 6));
    const other = set(257, u32(0), u32(7));
    decoder.decode(message(1, template), EXPORTER);
    expect(decoder.decode(message(1, two, one, other), EXPORTER).records).toEqual([
      ...[{ octets: 5 }, { octets: 6 }, { packets: 7 }],
    ]);
  });

  it("passes over padding, options and sets of the future", () => {
    const optionsTemplate =
      message === ipfix
        ? set(3, u16(300, 2, 1, 149, 4, 2, 4), Buffer.alloc(2))
        : set(1, u16(300, 4, 4, 1, 4, 2, 4), Buffer.alloc(2));
    const options = set(300, u32(1), u32(2));
    const padded = set(256, record(1, 2), Buffer.alloc(3));
    const sets = [optionsTemplate, options, set(200, u32(0)), template, padded];
    expect(new Decoder().decode(message(1, ...sets), EXPORTER)).toEqual({
      ...{ protocol, records: [{ octets: 1, packets: 2 }], undecoded: 0 },
    });
  });

  it("has no records of a template without octets", () => {
    const decoder = new Decoder();
    for (const empty of [u16(256, 0), u16(256, 1, 1, 0)]) {
      const sets = [set(templates, empty), data];
      expect(decoder.decode(message(1, ...sets), EXPORTER)).toMatchObject({
        ...{ records: [], undecoded: 1 },
      });
    }
  });

  it("throws for what breaks off", () => {
    const whole = message(1, template, data);
    const ends = [whole.length - data.length - template.length, whole.length - data.length];
    for (let length = 0; length < whole.length; length++) {
      const decode = () => new Decoder().decode(whole.subarray(0, length), EXPORTER);
      if (ends.includes(length)) expect(decode().records).toEqual([]);
      else expect(decode).toThrow(Error);
    }
  });

  it("throws for a set shorter than its head, and for a template of too many fields", () => {
    for (const length of [0, 3]) {
      const short = message(1, u16(256, length));
      expect(() => new Decoder().decode(short, EXPORTER)).toThrow(Error);
    }
    const fields = Array.from({ length: 501 }, () => u16(1, 4));
    const large = message(1, set(templates, u16(256, fields.length), ...fields));
    expect(() => new Decoder().decode(large, EXPORTER)).toThrow("too many fields");
  });

  it("comes to an end whatever it is given", () => {
    const random = seededRandom(1);
    const decoder = new Decoder();
    const whole = message(1, template, data, set(templates, u16(257, 2, 1, 65535, 2, 4)));
    let refused = 0;
    for (let round = 0; round < 2000; round++) {
      const damaged = Buffer.from(whole);
      for (let times = random.below(4); times >= 0; times--) {
        damaged[random.below(damaged.length)] = random.below(256);
      }
      try {
        const { records } = decoder.decode(damaged, EXPORTER);
        expect(records.length).toBeLessThan(damaged.length);
      } catch (error) {
        expect(error).toBeInstanceOf(Error);
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(0);
    expect(refused).toBeLessThan(2000);
  });

  it("forgets the oldest of a thousand templates", () => {
    const decoder = new Decoder();
    decoder.decode(message(1, template), EXPORTER);
    for (let domain = 2; domain <= 1000; domain++) {
      decoder.decode(message(domain, template), EXPORTER);
    }
    expect(decoder.decode(message(1, data), EXPORTER).undecoded).toBe(0);
    decoder.decode(message(1001, template), EXPORTER);
    expect(decoder.decode(message(1, data), EXPORTER).undecoded).toBe(1);
    expect(decoder.decode(message(2, data), EXPORTER).undecoded).toBe(0);
  });
});

describe("ipfix alone", () => {
  it("has lengths before values, numbers of companies, and counters of any size", () => {
    const fields = Buffer.concat([u16(0x8001, 4), u32(29305), u16(82, 65535, 1, 8, 2, 3)]);
    const rest = Buffer.concat([u32(0), u32(2048), Buffer.of(0, 1, 2)]);
    const long = Buffer.concat([Buffer.of(255), u16(300), Buffer.alloc(300, 1)]);
    const sets = [
      set(2, u16(256, 4), fields),
      set(256, u32(9), Buffer.of(2, 65, 66), rest, u32(9), long, rest),
    ];
    const counted = { octets: 2048, packets: 258 };
    expect(new Decoder().decode(ipfix(1, ...sets), EXPORTER).records).toEqual([counted, counted]);
    const cut = [sets[0] as Buffer, set(256, u32(9), Buffer.of(200, 65, 66), rest)];
    expect(() => new Decoder().decode(ipfix(1, ...cut), EXPORTER)).toThrow("breaks off");
  });
});

it("knows no other versions", () => {
  for (const version of [0, 5, 8, 11, 0x0a00]) {
    const bytes = Buffer.concat([u16(version), Buffer.alloc(40)]);
    expect(() => new Decoder().decode(bytes, EXPORTER)).toThrow(Error);
  }
});
