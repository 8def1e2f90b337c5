/** HTTP in bulk between two hosts of a Lab. */
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { familyOf } from "./family.ts";
import { type Endpoint, type Host, type Lab, onOneCpu } from "./lab.ts";

const httpPath = fileURLToPath(new URL("./http.mjs", import.meta.url));

export interface Transfer {
  /** As the client sees it. */
  readonly direction: "upload" | "download";
  readonly length: number;
}

function program(lab: Lab, host: Host, role: string, options: object, pinned: boolean): Endpoint {
  const command = [process.execPath, httpPath, role, JSON.stringify(options)];
  return lab.spawn(host, ...(pinned ? onOneCpu(...command) : command));
}

/**
 * Transfers that all go on at once, each with a connection and a content of its own. Each body
 * arrives whole, byte for byte. `pinned`: both programs on one CPU, see {@link onOneCpu}.
 */
export async function expectTransfers(
  lab: Lab,
  server: Host,
  client: Host,
  address: string,
  port: number,
  transfers: readonly Transfer[],
  { pinned = false }: { readonly pinned?: boolean } = {},
): Promise<void> {
  const serving = await program(
    lab,
    server,
    "serve",
    { port, together: transfers.length, family: familyOf(address) },
    pinned,
  ).ready();
  const seeded = transfers.map((transfer, seed) => ({ ...transfer, seed }));
  const fetching = program(lab, client, "transfer", { address, port, transfers: seeded }, pinned);
  await fetching.end();
  for (const { direction, seed, length } of seeded) {
    const [sender, receiver] = direction === "upload" ? [fetching, serving] : [serving, fetching];
    const { hash } = await sender.message((said) => said.event === "sent" && said.seed === seed);
    expect(
      await receiver.message((said) => said.event === "received" && said.seed === seed),
    ).toMatchObject({ length, hash });
  }
  await serving.gone();
}
