// Plays kubectl for the documents: the manifests that are applied exist.
import { existsSync } from "node:fs";
import { join } from "node:path";

const [command, option, path = ""] = process.argv.slice(2);
const needed = { "-f": path, "-k": join(path, "kustomization.yaml") }[option];
if (!["apply", "delete"].includes(command) || !needed || !existsSync(needed)) {
  console.error(
    `kubectl: expected apply or delete, and -f and a file or -k and a folder that exists, found: ${path}`,
  );
  process.exit(1);
}
