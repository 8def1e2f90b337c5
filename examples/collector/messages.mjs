// Messages of NetFlow v9 (RFC 3954) and IPFIX (RFC 7011), as far as a collector needs them that counts:
// the octets and packets of each flow record. ELEMENTS says what else is to be read of them.
import { Parser } from "binary-parser";

const NETFLOW9 = 9;
const IPFIX = 10;
const PROTOCOLS = { [NETFLOW9]: "netflow9", [IPFIX]: "ipfix" };

/** Ids of sets: data has the id of its template. */
const SETS = {
  [NETFLOW9]: { templates: 0, optionsTemplates: 1 },
  [IPFIX]: { templates: 2, optionsTemplates: 3 },
};
const LOWEST_DATA_SET = 256;

/** Information elements of both protocols, by their numbers. */
const ELEMENTS = { 1: "octets", 2: "packets" };

/** A length in an IPFIX template: it stands before each value. */
const VARIABLE_LENGTH = 65535;

/** Anybody may send us templates, so that neither their number nor their size may be without bounds. */
const MOST_TEMPLATES = 1000;
const MOST_FIELDS = 500;

const big = () => new Parser().endianness("big");

const set = big()
  .uint16("id")
  .uint16("length", { assert: (length) => length >= 4 })
  .buffer("body", {
    length() {
      return this.length - 4;
    },
  });

const message = big()
  .uint16("version")
  .choice({
    tag: "version",
    choices: { [NETFLOW9]: new Parser().seek(14), [IPFIX]: new Parser().seek(10) },
  })
  .uint32("domain")
  .array("sets", { type: set, readUntil: "eof" });

const field = {
  [NETFLOW9]: big().uint16("element").uint16("length"),
  [IPFIX]: big()
    .bit1("isEnterprise")
    .bit15("element")
    .uint16("length")
    .choice({
      tag: "isEnterprise",
      choices: { 0: new Parser(), 1: big().uint32("enterprise") },
    }),
};

const template = (type) =>
  big().uint16("id").uint16("count").array("fields", { type, length: "count" });

/** Their scope is fields as well; it is counted in octets in the one protocol, in fields in the other. */
const optionsTemplate = {
  [NETFLOW9]: big()
    .uint16("id")
    .uint16("scope")
    .uint16("rest")
    .array("fields", {
      type: field[NETFLOW9],
      length() {
        return (this.scope + this.rest) / 4;
      },
    }),
  [IPFIX]: big()
    .uint16("id")
    .uint16("count")
    .uint16("scope")
    .array("fields", { type: field[IPFIX], length: "count" }),
};

/** What is left behind the last one, less than four octets, is padding. */
const listOf = (type) => big().array("list", { type, readUntil: (_, rest) => rest.length < 4 });

const TEMPLATES = {
  [NETFLOW9]: listOf(template(field[NETFLOW9])),
  [IPFIX]: listOf(template(field[IPFIX])),
};
const OPTIONS_TEMPLATES = {
  [NETFLOW9]: listOf(optionsTemplate[NETFLOW9]),
  [IPFIX]: listOf(optionsTemplate[IPFIX]),
};

/** A number of any length, as exporters may choose it. */
const numberIn = (octets) => Number(`0x${octets.toString("hex")}`);

function take(body, at, length) {
  if (at + length > body.length) throw new Error("a record breaks off");
  return body.subarray(at, at + length);
}

/** One record of a data set, and where the next one begins. */
function readRecord(body, at, fields) {
  const record = {};
  for (const { element, enterprise, length } of fields) {
    let size = length;
    if (size === VARIABLE_LENGTH) {
      size = take(body, at++, 1).readUInt8();
      if (size === 255) {
        size = take(body, at, 2).readUInt16BE();
        at += 2;
      }
    }
    const value = take(body, at, size);
    at += size;
    const name = enterprise === undefined ? ELEMENTS[element] : undefined;
    if (name && size > 0) record[name] = numberIn(value);
  }
  return { record, next: at };
}

function readRecords(body, { fields, shortest }) {
  const records = [];
  // What is shorter than any record is padding.
  for (let at = 0; at + shortest <= body.length; ) {
    const { record, next } = readRecord(body, at, fields);
    records.push(record);
    at = next;
  }
  return records;
}

function shortestRecord(fields) {
  const lengths = fields.map(({ length }) => (length === VARIABLE_LENGTH ? 1 : length));
  return lengths.reduce((sum, length) => sum + length, 0);
}

/** Decodes the messages of all exporters, and remembers their templates. */
export class Decoder {
  /** The oldest first. */
  #templates = new Map();

  /**
   * `{ protocol, records, undecoded }`, where `undecoded` counts data sets without a template.
   * Throws an Error for what is no message of either protocol.
   */
  decode(bytes, exporter) {
    const { version, domain, sets } = message.parse(bytes);
    const records = [];
    let undecoded = 0;
    for (const { id, length, body } of sets) {
      if (body.length < length - 4) throw new Error("a set breaks off");
      if (id === SETS[version].templates) {
        this.#learn(TEMPLATES[version].parse(body), { version, exporter, domain });
      } else if (id === SETS[version].optionsTemplates) {
        const isOptions = true;
        this.#learn(OPTIONS_TEMPLATES[version].parse(body), {
          ...{ version, exporter, domain, isOptions },
        });
      } else if (id >= LOWEST_DATA_SET) {
        const known = this.#templates.get(`${version} ${exporter} ${domain} ${id}`);
        // Without octets, a record would have no end.
        if (!known?.shortest) undecoded++;
        else if (!known.isOptions) records.push(...readRecords(body, known));
      }
    }
    return { protocol: PROTOCOLS[version], records, undecoded };
  }

  #learn({ list }, { version, exporter, domain, isOptions = false }) {
    for (const { id, fields } of list) {
      if (fields.length > MOST_FIELDS) throw new Error("a template has too many fields");
      const key = `${version} ${exporter} ${domain} ${id}`;
      this.#templates.delete(key);
      this.#templates.set(key, { fields, isOptions, shortest: shortestRecord(fields) });
      if (this.#templates.size > MOST_TEMPLATES) {
        const [oldest] = this.#templates.keys();
        this.#templates.delete(oldest);
      }
    }
  }
}
