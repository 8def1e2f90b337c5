// The funnels of a path: one that puts the flow into its carrier, one that takes it out.
import { Funnel } from "sfunnel";
import { DEVICE } from "./path.mjs";

/** What became of packets, in short, for a message. */
function summary({ egress, ingress }) {
  return Object.entries({ egress, ingress })
    .flatMap(([direction, { outcomes }]) =>
      Object.entries(outcomes)
        .filter(([, { packets }]) => packets > 0)
        .map(([outcome, { packets }]) => `${direction} ${outcome} ${packets}`),
    )
    .join(", ");
}

/** Of a rule's outcome, at whichever hook it stands. */
function counted({ egress, ingress }, outcome, unit) {
  return egress.outcomes[outcome][unit] + ingress.outcomes[outcome][unit];
}

export class FunneledPath {
  #near;
  #far;
  #place;
  #server;

  /**
   * @param {string} transport of the flow, to `port`
   * @param {{ host: import("../demo/host.mjs").Host, device: string,
   *   direction: "ingress" | "egress" }} place where the carrier is pushed
   */
  static async load(transport, port, place, server) {
    const funnels = new FunneledPath();
    funnels.#place = place;
    funnels.#server = server;
    funnels.#near = await Funnel.load({
      [place.direction]: `${transport} dport ${port} actions funnel tcp dport 179 sport 540`,
    });
    try {
      funnels.#far = await Funnel.load({
        ingress: `tcp dport 179 actions unfunnel ${transport} allow ${port}`,
      });
    } catch (error) {
      await funnels.close();
      throw error;
    }
    return funnels;
  }

  /**
   * Does the work with the path funneled.
   *
   * `least` says of the result how many packets or bytes must have got a carrier on the near side
   * and lost it on the far one, at the least. Throws if they have not: something else was measured.
   */
  async during(work, least) {
    const before = await this.#stats();
    const result = await this.#attached(work);
    const after = await this.#stats();
    const { unit, near, far } = least(result);
    for (const [side, outcome, wanted] of [
      ["near", "funneled", near],
      ["far", "unfunneled", far],
    ]) {
      const count = counted(after[side], outcome, unit) - counted(before[side], outcome, unit);
      if (count < wanted) {
        const found = summary(after[side]);
        throw new Error(`of ${wanted} ${unit} ${count} were ${outcome}; since the start: ${found}`);
      }
    }
    return result;
  }

  async #attached(work) {
    const attachments = [];
    try {
      const { host, device } = this.#place;
      attachments.push(await this.#near.attach(device, { netns: host.netns }));
      attachments.push(await this.#far.attach(DEVICE, { netns: this.#server.netns }));
      return await work();
    } catch (cause) {
      const { near, far } = await this.#stats();
      const seen = `near side: ${summary(near)}\nfar side: ${summary(far)}`;
      throw new Error(`${cause.message ?? cause}\n${seen}`, { cause });
    } finally {
      for (const attachment of attachments) await attachment.close();
    }
  }

  async #stats() {
    return { near: await this.#near.stats(), far: await this.#far.stats() };
  }

  async close() {
    await this.#near.close();
    await this.#far?.close();
  }
}
