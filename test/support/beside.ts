/** Small programs of the tests beside the one under test, on the same hooks. */
import { binding, type NativeAttachment, type NativeObject } from "../../lib/native/binding.ts";
import type { Direction } from "../../lib/rules/types.ts";
import type { Host } from "./lab.ts";
import { EGRESS, fixture, INGRESS, must } from "./native.ts";

/** Which hook of which device, and whether packets come to it before the others that are there. */
export interface Stand {
  readonly host: Host;
  readonly device: string;
  readonly direction: Direction;
  readonly ahead: boolean;
}

/** A fixture on hooks, until it is disposed of. */
export class Beside implements AsyncDisposable {
  readonly #object: NativeObject;
  /** An attachment that nobody holds is collected, and goes. */
  readonly #attachments: NativeAttachment[] = [];

  private constructor(object: NativeObject) {
    this.#object = object;
  }

  static async load(name: string): Promise<Beside> {
    return new Beside(must(await binding().load(fixture(name), {})));
  }

  async stand({ host, device, direction, ahead }: Stand): Promise<void> {
    const path = `/run/netns/${host.netns}`;
    const { ifindex } = must(await binding().device(path, device));
    const hook = direction === "ingress" ? INGRESS : EGRESS;
    this.#attachments.push(must(await this.#object.attachTcx(path, ifindex, hook, ahead, true, 0)));
  }

  /** All entries of an array of 32-bit words. */
  async words(map: string, count: number): Promise<readonly number[]> {
    const bytes = must(await this.#object.read(map, 0, count));
    return [...new Uint32Array(bytes.buffer, bytes.byteOffset, count)];
  }

  /** Writes the first entries of an array, so many bytes each. */
  async write(map: string, values: Uint8Array, count: number): Promise<void> {
    const keys = new Uint8Array(Uint32Array.from({ length: count }, (_, index) => index).buffer);
    must((await this.#object.update(map, keys, values, count)) ?? true);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const attachment of this.#attachments) await attachment.detach();
    this.#object.close();
  }
}

/** In what shape packets of IP came to a hook. */
export interface Shape {
  readonly packets: number;
  /** Those of which less than the headers lies in the linear part. */
  readonly nonLinear: number;
  /** Those with a VLAN tag beside the frame. */
  readonly taggedBeside: number;
  /** Those whose frame shows a VLAN tag. */
  readonly taggedInFrame: number;
  readonly superPackets: number;
  /** Bytes of the longest frame. */
  readonly longest: number;
}

/** Slots of shape.bpf.c. */
const SHAPE_SLOTS = 6;

/** Looks at all packets that come to a hook before anybody else has. */
export async function shapeOf(
  where: Omit<Stand, "ahead">,
): Promise<AsyncDisposable & { seen(): Promise<Shape> }> {
  const beside = await Beside.load("shape");
  await beside.stand({ ...where, ahead: true });
  return {
    async seen() {
      const [packets, nonLinear, taggedBeside, taggedInFrame, superPackets, longest] =
        (await beside.words("shape", SHAPE_SLOTS)) as [
          number,
          number,
          number,
          number,
          number,
          number,
        ];
      return { packets, nonLinear, taggedBeside, taggedInFrame, superPackets, longest };
    },
    [Symbol.asyncDispose]: () => beside[Symbol.asyncDispose](),
  };
}

/** A VLAN tag, e.g. of type 0x8100. */
export interface Tag {
  readonly type: number;
  /** 12 bits. */
  readonly id: number;
}

/**
 * In the place of VLAN devices, one on the other: until it is disposed of, what leaves a device gets
 * these tags before any program sees it, and what arrives loses them once all have seen it.
 */
export async function tagging(
  host: Host,
  device: string,
  outermostFirst: readonly Tag[],
): Promise<AsyncDisposable> {
  const beside = await Beside.load("tags");
  const words = [...outermostFirst].reverse().flatMap(({ type, id }) => [type, id]);
  await beside.write("tags", new Uint8Array(Uint16Array.from(words).buffer), outermostFirst.length);
  await beside.stand({ host, device, direction: "egress", ahead: true });
  await beside.stand({ host, device, direction: "ingress", ahead: false });
  return beside;
}
