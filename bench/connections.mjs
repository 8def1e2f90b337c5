// Connections from the client of a path to its server: connect, one byte, close.
import { run } from "../demo/host.mjs";
import { sender } from "./compile.mjs";
import { DEVICE } from "./path.mjs";
import { undisturbed } from "./rounds.mjs";

const MILLISECONDS = 150;

/** Source addresses, a new one for each run: connection-rate.c says why. */
const SOURCES = "10.2.0.0/16";
const sourceOf = (run) => `10.2.${(run >> 8) & 0xff}.${run & 0xff}`;

/** More than the server closes in a minute, for which the kernel remembers each of them. */
const REMEMBERED = 2_000_000;

/** Connections over a path, all different from each other. */
export class Connections {
  #path;
  #signal;
  #runs = 0;

  static async prepare(path, signal) {
    const { client, server } = path;
    await client.run("ip", ["route", "add", "local", SOURCES, "dev", DEVICE]);
    await server.run("ip", ["route", "add", SOURCES, "via", "10.0.0.1"]);
    const remember = `echo ${REMEMBERED} > /proc/sys/net/ipv4/tcp_max_tw_buckets`;
    await server.run("sh", ["-e", "-c", remember]);
    const connections = new Connections();
    connections.#path = path;
    connections.#signal = signal;
    return connections;
  }

  /**
   * One round.
   *
   * @returns {Promise<{ connections: number, seconds: number }>}
   */
  make(port) {
    const { client, server, address } = this.#path;
    return undisturbed(async () => {
      const source = sourceOf(this.#runs++);
      const words = [client.netns, server.netns, source, address, port, MILLISECONDS];
      const options = { signal: this.#signal };
      return JSON.parse(await run(sender("connection-rate"), words.map(String), options));
    });
  }
}
