// Turns the BTF of the compiled program into lib/compile/abi.gen.ts, so that the layout that
// C declares in bpf/abi.h is never typed a second time.
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";

const PREFIX = "sfunnel_";

/** `bpftool btf dump` numbers types from 1. */
function readTypes(objectPath) {
  const output = execFileSync("bpftool", ["btf", "dump", "file", objectPath, "-j"], {
    maxBuffer: 64 << 20,
  });
  return new Map(JSON.parse(output).types.map((type) => [type.id, type]));
}

function strip(types, id) {
  let type = types.get(id);
  while (["TYPEDEF", "CONST", "VOLATILE"].includes(type.kind)) type = types.get(type.type_id);
  return type;
}

function sizeOf(types, id) {
  const type = strip(types, id);
  if (type.kind === "ARRAY") return type.nr_elems * sizeOf(types, type.type_id);
  return type.size;
}

function camel(name) {
  return name.toLowerCase().replace(/_(.)/g, (_, letter) => letter.toUpperCase());
}

function pascal(name) {
  const text = camel(name);
  return text[0].toUpperCase() + text.slice(1);
}

export function abiSource(objectPath) {
  const types = readTypes(objectPath);
  const structs = [];
  const enums = [];
  for (const type of types.values()) {
    if (!type.name?.startsWith(PREFIX)) continue;
    const name = type.name.slice(PREFIX.length);
    if (type.kind === "STRUCT") {
      const fields = type.members.map(
        (member) =>
          `    ${camel(member.name)}: { offset: ${member.bits_offset / 8}, size: ${sizeOf(types, member.type_id)} },`,
      );
      structs.push(
        `  ${camel(name)}: {\n    size: ${type.size},\n    fields: {\n${fields.map((f) => `  ${f}`).join("\n")}\n    },\n  },`,
      );
    } else if (type.kind === "ENUM") {
      const values = type.values.map(
        (value) => `  ${value.name.replace("SFUNNEL_", "")}: ${value.val >>> 0},`,
      );
      enums.push(`export const ${pascal(name)} = {\n${values.join("\n")}\n} as const;\n`);
    }
  }
  structs.sort();
  enums.sort();
  return `// Made by scripts/generate-abi.mjs from the BTF of bpf/sfunnel.bpf.c. Do not edit.

${enums.join("\n")}
/** Byte offsets and sizes of the structs of bpf/abi.h. */
export const layout = {
${structs.join("\n")}
} as const;
`;
}

/** Writes the file only if it would change, so that a build leaves a clean tree clean. */
export function generateAbi(objectPath, targetPath) {
  const source = abiSource(objectPath);
  let current = "";
  try {
    current = readFileSync(targetPath, "utf8");
  } catch {
    // The first build makes it.
  }
  if (current !== source) writeFileSync(targetPath, source);
}
