/** Sockets with options that those of Node have not. */
import { fileURLToPath } from "node:url";
import { type Endpoint, type Host, type Lab, onOneCpu } from "./lab.ts";
import { PYTHON } from "./python.ts";

const socketsPath = fileURLToPath(new URL("./sockets.py", import.meta.url));

/** Starts a role of sockets.py; all of them run on one CPU, so that nothing overtakes by chance. */
export function sockets(
  lab: Lab,
  host: Host,
  role: string,
  options: Readonly<Record<string, unknown>>,
): Endpoint {
  const command = onOneCpu(PYTHON, "-I", socketsPath, role, JSON.stringify(options));
  return lab.spawn(host, ...command);
}
