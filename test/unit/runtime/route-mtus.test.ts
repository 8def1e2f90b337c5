import { constants } from "node:os";
import { afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { binding, type NativeObject } from "../../../lib/native/binding.ts";
import { addressBytes } from "../../../lib/rules/address.ts";
import { resolveLoadOptions } from "../../../lib/runtime/options.ts";
import { findPlace, type Place } from "../../../lib/runtime/place.ts";
import { loadProgram } from "../../../lib/runtime/program.ts";
import { type Hooked, register, unregister } from "../../../lib/runtime/registry.ts";
import { encodePrefixes, entriesOf } from "../../../lib/runtime/route-entries.ts";
import { RouteMtus } from "../../../lib/runtime/route-mtus.ts";
import { eventually } from "../../support/lab.ts";
import { must, openDescriptors, skipReason, titled } from "../../support/native.ts";
import { deleteNetns, makeNetns, type TestNetns } from "../../support/netns.ts";

/** Of the one map of an object, as the program would look it up. */
async function tableOf(object: NativeObject) {
  const { mapIds } = must(await binding().program(object.programIds()[1]));
  for (const id of mapIds) {
    if (must(await binding().lookup(id, new Uint8Array())).name === "route_mtus") {
      return async (ifindex: number, address: string): Promise<number | undefined> => {
        const destination = addressBytes(address).slice(address.includes(":") ? 0 : 12);
        const family = destination.length === 4 ? 4 : 6;
        const prefixLength = destination.length * 8;
        const host = entriesOf(ifindex, [{ family, destination, prefixLength, mtu: 1 }]);
        const { value } = must(await binding().lookup(id, encodePrefixes([...host.keys()])));
        return value && new Uint32Array(Uint8Array.from(value).buffer)[0];
      };
    }
  }
  throw new Error("no such map");
}

async function makeRouted(): Promise<{ netns: TestNetns; place: Place }> {
  const netns = makeNetns();
  netns.run("ip", "address", "add", "10.9.0.1/24", "dev", netns.device);
  return { netns, place: await findPlace(netns.device, netns.name) };
}

const route = (netns: TestNetns, ...words: string[]) =>
  netns.run("ip", "route", ...words.flatMap((text) => text.split(" ")));

describe.skipIf(skipReason !== undefined)(titled("MTUs of routes"), () => {
  let object: NativeObject;
  let told: Awaited<ReturnType<typeof tableOf>>;
  const mtus: RouteMtus[] = [];
  const places: Place[] = [];

  beforeAll(async () => {
    ({ object } = await loadProgram(resolveLoadOptions({})));
    told = await tableOf(object);
    return () => object.close();
  });

  afterEach(async () => {
    for (const one of mtus.splice(0)) {
      for (const place of places) await one.leave(place);
      one.close();
    }
    places.length = 0;
    vi.restoreAllMocks();
    deleteNetns();
  });

  function make(): RouteMtus {
    const made = new RouteMtus(object);
    mtus.push(made);
    return made;
  }

  async function makePlace(): Promise<{ netns: TestNetns; place: Place }> {
    const made = await makeRouted();
    places.push(made.place);
    return made;
  }

  test("are in the table when an interface is entered, and gone when it is left", async () => {
    const { netns, place } = await makePlace();
    const { ifindex } = place;
    route(netns, "add 10.2.0.0/16 via 10.9.0.2 mtu 1400");
    route(netns, "add 10.2.3.0/24 via 10.9.0.2");
    route(netns, "add 2001:db8:2::/48 dev veth-a mtu 1300");
    route(netns, "add 2001:db8:2:3::/64 dev veth-a");
    const routes = make();
    await routes.enter(place, "device");
    expect(await told(ifindex, "10.2.0.1")).toBe(1400);
    expect(await told(ifindex, "10.2.3.1")).toBe(0);
    expect(await told(ifindex, "10.3.0.1")).toBeUndefined();
    expect(await told(ifindex + 1, "10.2.0.1")).toBeUndefined();
    expect(await told(ifindex, "2001:db8:2::1")).toBe(1300);
    expect(await told(ifindex, "2001:db8:2:3::1")).toBe(0);
    expect(await told(ifindex, "2001:db8:3::1")).toBeUndefined();
    await routes.leave(place);
    expect(await told(ifindex, "10.2.0.1")).toBeUndefined();
    expect(await told(ifindex, "10.2.3.1")).toBeUndefined();
    expect(routes.leftOut).toBe(0);
  });

  test("follow what becomes of the routes, as long as the process lives", async () => {
    const { netns, place } = await makePlace();
    const { ifindex } = place;
    const routes = make();
    await routes.enter(place, "process");
    const becomes = async (address: string, mtu: number | undefined) => {
      await eventually(async () => (await told(ifindex, address)) === mtu);
    };
    route(netns, "add 10.2.0.0/16 via 10.9.0.2 mtu 1400");
    await becomes("10.2.3.1", 1400);
    route(netns, "add 10.2.3.0/24 via 10.9.0.2");
    await becomes("10.2.3.1", 0);
    route(netns, "change 10.2.0.0/16 via 10.9.0.2 mtu 1300");
    await becomes("10.2.0.1", 1300);
    route(netns, "change 10.2.0.0/16 via 10.9.0.2");
    await becomes("10.2.0.1", undefined);
    await becomes("10.2.3.1", undefined);
    route(netns, "add 2001:db8:2::/48 dev veth-a mtu 1300");
    await becomes("2001:db8:2::1", 1300);
    route(netns, "del 2001:db8:2::/48 dev veth-a");
    await becomes("2001:db8:2::1", undefined);
    expect(routes.failures).toBe(0);
  });

  test("are written where they differ, and nowhere else", async () => {
    const { netns, place } = await makePlace();
    route(netns, "add 10.2.0.0/16 via 10.9.0.2 mtu 1400");
    route(netns, "add 10.3.0.0/16 via 10.9.0.2 mtu 1400");
    route(netns, "add 10.4.0.0/16 via 10.9.0.2 mtu 1400");
    const routes = make();
    await routes.enter(place, "device");
    const [update, remove] = [vi.spyOn(object, "update"), vi.spyOn(object, "remove")];
    await routes.enter(place, "device");
    expect(update).not.toHaveBeenCalled();
    route(netns, "change 10.2.0.0/16 via 10.9.0.2 mtu 1300");
    route(netns, "del 10.3.0.0/16");
    await routes.enter(place, "device");
    expect(update.mock.calls.map(([map, , , count]) => [map, count])).toEqual([["route_mtus", 1]]);
    expect(remove.mock.calls.map(([map, , count]) => [map, count])).toEqual([["route_mtus", 1]]);
    expect(await told(place.ifindex, "10.2.0.1")).toBe(1300);
    expect(await told(place.ifindex, "10.3.0.1")).toBeUndefined();
    expect(await told(place.ifindex, "10.4.0.1")).toBe(1400);
  });

  test("of two namespaces with one index are the smaller ones, until one is left", async () => {
    const [one, other] = [await makePlace(), await makePlace()];
    expect(other.place.ifindex).toBe(one.place.ifindex);
    const { ifindex } = one.place;
    route(one.netns, "add 10.2.0.0/16 via 10.9.0.2 mtu 1400");
    route(other.netns, "add 10.0.0.0/8 via 10.9.0.2 mtu 1450");
    route(other.netns, "add 10.2.3.0/24 via 10.9.0.2 mtu 1300");
    route(other.netns, "add 10.2.4.0/24 via 10.9.0.2");
    const routes = make();
    await routes.enter(one.place, "device");
    await routes.enter(other.place, "device");
    expect(await told(ifindex, "10.1.0.1")).toBe(1450);
    expect(await told(ifindex, "10.2.0.1")).toBe(1400);
    expect(await told(ifindex, "10.2.3.1")).toBe(1300);
    expect(await told(ifindex, "10.2.4.1")).toBe(1400);
    await routes.leave(one.place);
    expect(await told(ifindex, "10.2.0.1")).toBe(1450);
    expect(await told(ifindex, "10.2.4.1")).toBe(0);
  });

  test("stay while the object is attached there", async () => {
    const { netns, place } = await makePlace();
    route(netns, "add 10.2.0.0/16 via 10.9.0.2 mtu 1400");
    const routes = make();
    await routes.enter(place, "process");
    const hooked = { object, place } as Hooked;
    register(hooked);
    try {
      await routes.leave(place);
      expect(await told(place.ifindex, "10.2.0.1")).toBe(1400);
    } finally {
      unregister(hooked);
    }
    await routes.leave(place);
    expect(await told(place.ifindex, "10.2.0.1")).toBeUndefined();
  });

  test("stay when all is closed, for what outlives this process, and follow nothing", async () => {
    const { netns, place } = await makePlace();
    route(netns, "add 10.2.0.0/16 via 10.9.0.2 mtu 1400");
    const before = openDescriptors();
    const routes = make();
    await routes.enter(place, "process");
    routes.close();
    routes.close();
    await routes.leave(place);
    expect(openDescriptors()).toEqual(before);
    expect(await told(place.ifindex, "10.2.0.1")).toBe(1400);
    // Not this one's any more: for the tests behind this.
    await object.remove("route_mtus", encodePrefixes([...keysOf(place, "10.2.0.0", 16)]), 1);
    expect(await told(place.ifindex, "10.2.0.1")).toBeUndefined();
  });

  test("go with the interface", async () => {
    const { netns, place } = await makePlace();
    route(netns, "add 10.2.0.0/16 via 10.9.0.2 mtu 1400");
    const before = openDescriptors();
    const routes = make();
    await routes.enter(place, "process");
    expect(openDescriptors()).not.toEqual(before);
    netns.deleteDevices();
    await eventually(async () => (await told(place.ifindex, "10.2.0.1")) === undefined);
    await eventually(() => openDescriptors().length === before.length);
    expect(routes.failures).toBe(0);
  });

  test("that cannot be entered leave nothing, and the next attempt is a new one", async () => {
    const { netns, place } = await makePlace();
    route(netns, "add 10.2.0.0/16 via 10.9.0.2 mtu 1400");
    const before = openDescriptors();
    const routes = make();
    vi.spyOn(object, "update").mockResolvedValueOnce({
      errno: constants.errno.ENOMEM,
      step: "write map",
    });
    await expect(routes.enter(place, "process")).rejects.toMatchObject({ code: "SFUNNEL_LIMIT" });
    expect(openDescriptors()).toEqual(before);
    await routes.enter(place, "process");
    expect(await told(place.ifindex, "10.2.0.1")).toBe(1400);
    const gone = { ...place, ifindex: 9999 };
    await expect(routes.enter(gone, "device")).rejects.toMatchObject({ code: "SFUNNEL_DEVICE" });
  });

  test("that could not be written are written with the next change, and counted", async () => {
    const { netns, place } = await makePlace();
    const routes = make();
    await routes.enter(place, "process");
    vi.spyOn(object, "update").mockResolvedValueOnce({
      errno: constants.errno.ENOMEM,
      step: "write map",
    });
    route(netns, "add 10.2.0.0/16 via 10.9.0.2 mtu 1400");
    await eventually(() => routes.failures === 1);
    expect(await told(place.ifindex, "10.2.0.1")).toBeUndefined();
    route(netns, "add 10.3.0.0/16 via 10.9.0.2 mtu 1300");
    await eventually(async () => (await told(place.ifindex, "10.3.0.1")) === 1300);
    expect(await told(place.ifindex, "10.2.0.1")).toBe(1400);
    expect(routes.failures).toBe(1);
  });
});

function keysOf({ ifindex }: Place, address: string, prefixLength: number): string[] {
  const destination = addressBytes(address).slice(12);
  return [...entriesOf(ifindex, [{ family: 4, destination, prefixLength, mtu: 1 }]).keys()];
}
