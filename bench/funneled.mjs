// The funnels of a path: one that funnels a flow, and one on the server's side that undoes it.
import { setTimeout } from "node:timers/promises";
import { Funnel } from "sfunnel";
import { DEVICE } from "./path.mjs";

/** Rules that push a carrier in front of the flow to `port` and pop it again. */
export function carrierRules(transport, port) {
  return {
    near: `${transport} dport ${port} actions funnel tcp dport 179 sport 540`,
    far: `tcp dport 179 actions unfunnel ${transport} allow ${port}`,
  };
}

/** Rules that give connections to `port` the service port instead, and put it back. */
export function translateRules(port, servicePort) {
  return {
    near: `tcp dport ${port} actions funnel translate tcp dport ${servicePort}`,
    far: `tcp dport ${servicePort} actions unfunnel translate tcp allow ${port}`,
  };
}

/** What becomes of the packets of a flow on either side: of one that the rules are about, */
const FUNNELED = { near: "funneled", far: "unfunneled" };
/** and of another one. */
const PASSED = { near: "no_match", far: "no_match" };

/** Attaching and detaching leaves the kernel something to do, which would be measured too. */
const SETTLE_MS = 300;

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

/** Attached and detached when that changes, not for each round. */
export class FunneledPath {
  #near;
  #far;
  #place;
  #server;
  #attachments = [];

  /**
   * @param {{ near: string, far: string }} rules of the near and of the far side, as above
   * @param {{ host: import("../demo/host.mjs").Host, device: string,
   *   direction: "ingress" | "egress" }} place of the near side
   */
  static async load(rules, place, server) {
    const funnels = new FunneledPath();
    funnels.#place = place;
    funnels.#server = server;
    funnels.#near = await Funnel.load({ [place.direction]: rules.near });
    try {
      funnels.#far = await Funnel.load({ ingress: rules.far });
    } catch (error) {
      await funnels.close();
      throw error;
    }
    return funnels;
  }

  /**
   * Does the work with the path funneled.
   *
   * `least` says of the result how many packets or bytes must have been funneled on the near side
   * and unfunneled on the far one, at the least. Throws if they have not: something else was
   * measured.
   */
  during(work, least) {
    return this.#attached(work, least, FUNNELED);
  }

  /** The same of work that no rule is about, so that both sides must have let it pass. */
  passing(work, least) {
    return this.#attached(work, least, PASSED);
  }

  /** Does the work with the path as it is without us. Throws if a packet has met us all the same. */
  async without(work) {
    await this.#detach();
    const before = await this.#stats();
    const result = await work();
    const after = await this.#stats();
    for (const side of ["near", "far"]) {
      const [was, is] = [before, after].map((stats) => summary(stats[side]));
      if (is !== was) throw new Error(`on the ${side} side of the plain path: ${was}; then: ${is}`);
    }
    return result;
  }

  async #attached(work, least, outcomes) {
    await this.#attach();
    const before = await this.#stats();
    const result = await this.#explained(work);
    const after = await this.#stats();
    const { unit, ...wanted } = least(result);
    for (const side of ["near", "far"]) {
      const outcome = outcomes[side];
      const count = counted(after[side], outcome, unit) - counted(before[side], outcome, unit);
      if (count < wanted[side]) {
        const found = summary(after[side]);
        throw new Error(
          `of ${wanted[side]} ${unit} ${count} were ${outcome}; since the start: ${found}`,
        );
      }
    }
    return result;
  }

  async #explained(work) {
    try {
      return await work();
    } catch (cause) {
      const { near, far } = await this.#stats();
      const seen = `near side: ${summary(near)}\nfar side: ${summary(far)}`;
      throw new Error(`${cause.message ?? cause}\n${seen}`, { cause });
    }
  }

  async #attach() {
    if (this.#attachments.length > 0) return;
    const { host, device } = this.#place;
    this.#attachments.push(await this.#near.attach(device, { netns: host.netns }));
    this.#attachments.push(await this.#far.attach(DEVICE, { netns: this.#server.netns }));
    await setTimeout(SETTLE_MS);
  }

  async #detach() {
    if (this.#attachments.length === 0) return;
    for (const attachment of this.#attachments) await attachment.close();
    this.#attachments = [];
    await setTimeout(SETTLE_MS);
  }

  async #stats() {
    return { near: await this.#near.stats(), far: await this.#far.stats() };
  }

  /** Detaches too. */
  async close() {
    await this.#near.close();
    await this.#far?.close();
  }
}
