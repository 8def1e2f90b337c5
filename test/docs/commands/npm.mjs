// Plays npm for the documents: what is run exists, what is installed is this package.
import { readFileSync } from "node:fs";

const { name, scripts } = JSON.parse(
  readFileSync(new URL("../../../package.json", import.meta.url), "utf8"),
);
const [command, ...words] = process.argv.slice(2);

function fail(message) {
  console.error(`npm: ${message}`);
  process.exit(1);
}

function run(script) {
  if (!Object.hasOwn(scripts, script ?? "")) fail(`package.json has no script "${script}"`);
}

switch (command) {
  case "test":
    run("test");
    break;
  case "run":
    run(words[0]);
    break;
  case "install":
    if (words.join(" ") !== name) fail(`this package is "${name}", not "${words.join(" ")}"`);
    break;
  default:
    fail(`a document may not say "npm ${command}"`);
}
