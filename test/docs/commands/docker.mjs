// Plays docker for the documents: `docker run` becomes a run of the command with the variables
// that the container would have, `docker build` checks that its file is there.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { parseArgs } from "node:util";

const RULES_FILE = "/etc/sfunnel/ruleset";

function fail(message) {
  console.error(`docker: ${message}`);
  process.exit(1);
}

const options = {
  "cap-add": { type: "string", multiple: true },
  env: { type: "string", short: "e", multiple: true },
  file: { type: "string", short: "f" },
  name: { type: "string" },
  network: { type: "string" },
  privileged: { type: "boolean" },
  rm: { type: "boolean" },
  tag: { type: "string", short: "t" },
  volume: { type: "string", short: "v", multiple: true },
};

/** Docker takes no options behind the image: what is there belongs to the command. */
function split(words) {
  let index = 0;
  while (index < words.length && words[index].startsWith("-")) {
    const [name, value] = words[index].replace(/^--?/, "").split("=", 2);
    const known = options[name] ?? Object.values(options).find(({ short }) => short === name);
    if (!known) fail(`a document may not use the option ${words[index]}`);
    index += known.type === "string" && value === undefined ? 2 : 1;
  }
  return [words.slice(0, index), words.slice(index)];
}

const [command, ...words] = process.argv.slice(2);
const [written, [image, ...rest]] = split(words);
const { values } = parseArgs({ args: written, options });

if (command === "build") {
  if (!existsSync(values.file ?? "Dockerfile")) fail(`no file ${values.file ?? "Dockerfile"}`);
  process.exit(0);
}
if (command !== "run") fail(`a document may not say "docker ${command}"`);
if (!/(^|\/)sfunnel([:@]|$)/.test(image ?? "")) fail(`"${image}" is no image of ours`);
if (values.network !== "host") fail("without --network=host it would see its own eth0 only");
const capabilities = values["cap-add"] ?? [];
if (!values.privileged && !["BPF", "NET_ADMIN"].every((name) => capabilities.includes(name))) {
  fail("without --privileged it needs --cap-add BPF and --cap-add NET_ADMIN");
}

const env = { PATH: process.env.PATH };
for (const variable of values.env ?? []) {
  const [name, value] = variable.split(/=(.*)/s);
  env[name] = value ?? process.env[name] ?? fail(`the variable ${name} is not set`);
}
for (const volume of values.volume ?? []) {
  const [source, target] = volume.split(":");
  if (target !== RULES_FILE) fail(`nothing of ours is at ${target}`);
  env.SFUNNEL_RULESET ??= readFileSync(source, "utf8");
}
const { status, signal, error } = spawnSync("sfunnel", rest, { env, stdio: "inherit" });
if (error) fail(error.message);
process.exit(signal ? 1 : status);
