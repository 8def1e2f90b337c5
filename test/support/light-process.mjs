// A process that attaches programs without insides (test/fixtures/light.bpf.c) as a Funnel does,
// with the package as it is built: node light-process.mjs TASK-AS-JSON, of { how, device, options }.
// Prints "ready" when they stand, then: hold (until it is killed, or stdin ends), close, exit.
import { readFileSync } from "node:fs";
import { binding } from "../../dist/native/binding.js";
import { Attachment } from "../../dist/runtime/attachment.js";
import { hookAll } from "../../dist/runtime/hook.js";
import { resolveAttachOptions } from "../../dist/runtime/options.js";
import { findPlace } from "../../dist/runtime/place.js";
import { RouteMtus } from "../../dist/runtime/route-mtus.js";
import { withSegmenter } from "../../dist/runtime/segmenter.js";

const { how, device, options = {} } = JSON.parse(process.argv[2]);
const file = new URL("../../build/fixtures/light.bpf.o", import.meta.url);
const object = await binding().load(readFileSync(file), {});
const resolved = resolveAttachOptions(options);
const place = await findPlace(device, resolved.netns);
const hooked = await withSegmenter(
  ...[object, place, resolved.lifetime],
  () => hookAll(object, place, ["ingress", "egress"], resolved),
  () => {},
);
const attachment = new Attachment(hooked, resolved, new RouteMtus(object));
process.stdout.write("ready\n");
if (how === "hold") {
  process.stdin.resume();
  setTimeout(() => process.exit(1), 30_000).unref();
} else if (how === "close") {
  await attachment.close();
  object.close();
} else {
  process.exit(0);
}
