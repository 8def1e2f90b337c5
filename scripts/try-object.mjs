// Loads a compiled object of the BPF program and runs the vectors of the wire format through it:
// node scripts/try-object.mjs OBJECT. Prints one line of JSON: whether the verifier took it, how many
// instructions it looked at for each program, how many vectors came out right. Wants a built checkout.
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { parseRules } from "../dist/index.js";
import { simulate } from "../dist/model/index.js";
import { binding, isFailure } from "../dist/native/binding.js";
import { RuleTables } from "../dist/runtime/tables.js";
import { testRun } from "../dist/runtime/test-run.js";

const VECTORS = new URL("../test/vectors/encap.json", import.meta.url);

/** What the verifier looked at, by program in the order in which they were loaded (Linux 5.16). */
function verifiedInstructions() {
  return readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      if (!readlinkSync(`/proc/self/fd/${fd}`).includes("bpf-prog")) return [];
      const info = readFileSync(`/proc/self/fdinfo/${fd}`, "utf8");
      return [Number(/^verified_insns:\s*(\d+)$/m.exec(info)?.[1])];
    } catch {
      return []; // The descriptor that listed them.
    }
  });
}

const ETHERNET_LENGTH = 14;
const IPV6_LENGTH = 40;

/** The ones' complement sum of big-endian words, folded. */
function sumOf(bytes) {
  let sum = 0;
  for (const [index, byte] of bytes.entries()) sum += index % 2 === 0 ? byte << 8 : byte;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return sum;
}

/** The same flow and payload over IPv6: other addresses, so another checksum of what shows. */
function overIpv6(frame) {
  const start = ETHERNET_LENGTH + (frame[ETHERNET_LENGTH] & 15) * 4;
  const transport = frame.subarray(start, ETHERNET_LENGTH + frame.readUInt16BE(16));
  const protocol = frame[23];
  const addresses = [frame.subarray(26, 30), frame.subarray(30, 34)].flatMap((address) => [
    ...[0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0],
    ...address,
  ]);
  const length = [transport.length >> 8, transport.length & 0xff];
  const field = protocol === 6 ? 16 : 6;
  if (protocol === 6 || transport.readUInt16BE(field) !== 0) {
    transport.writeUInt16BE(0, field);
    const sum = sumOf([...addresses, ...length, 0, protocol, ...transport]);
    transport.writeUInt16BE(~sum & 0xffff || 0xffff, field);
  }
  const header = [0x60, 0, 0, 0, ...length, protocol, 64, ...addresses];
  if (header.length !== IPV6_LENGTH) throw new Error("not an IPv6 header");
  return Buffer.from([...frame.subarray(0, 12), 0x86, 0xdd, ...header, ...transport]);
}

/**
 * The original's frames, and the same flows over IPv6, of which the model says what is to become: how
 * many there are, and the names of those that come out otherwise.
 */
async function runVectors(object) {
  const vectors = JSON.parse(readFileSync(VECTORS, "utf8"));
  const tables = new RuleTables(object, binding().cpuNumbers);
  const wrong = [];
  for (const { name, ruleset, input, output } of vectors) {
    const direction = ruleset.includes("unfunnel") ? "ingress" : "egress";
    // The second rule is the first for any address.
    const text = `${ruleset}; ${ruleset.replace(/(ip )?[sd]addr \S+ /g, "")}`;
    const lists = { ingress: [], egress: [], [direction]: parseRules(text) };
    await tables.replace(lists, "try the object");
    const frame = Buffer.from(input, "hex");
    const frame6 = overIpv6(Buffer.from(frame));
    const model6 = simulate(lists, frame6, { direction });
    for (const [title, given, expected, outcome] of [
      [name, frame, output],
      [`${name} over IPv6`, frame6, Buffer.from(model6.frame).toString("hex"), model6.outcome],
    ]) {
      const made = await testRun(object, given, direction);
      const isRight = Buffer.from(made.frame).toString("hex") === expected;
      const isFunnels = /funneled$/.test(outcome ?? made.outcome) && /funneled$/.test(made.outcome);
      if (!isRight || !isFunnels) wrong.push(`${title}: ${made.outcome}`);
    }
  }
  return { count: 2 * vectors.length, wrong };
}

async function tryObject(path) {
  const object = await binding().load(readFileSync(path), {});
  if (isFailure(object)) {
    const { step, errno, log = "" } = object;
    return { loaded: false, step, errno, log: log.trim().split("\n").slice(-8).join("\n") };
  }
  const instructions = verifiedInstructions();
  const vectors = await runVectors(object);
  object.close();
  return { loaded: true, instructions, vectors };
}

console.log(JSON.stringify(await tryObject(process.argv[2])));
