// Plays kubectl for the documents: the manifests that are applied exist.
import { existsSync } from "node:fs";

const [command, option, path] = process.argv.slice(2);
if (!["apply", "delete"].includes(command) || option !== "-f" || !existsSync(path ?? "")) {
  console.error(`kubectl: expected apply or delete, -f and a file that exists, found: ${path}`);
  process.exit(1);
}
