/**
 * The addon as a test wants it to answer, for kernels and hosts that are not at hand. Each test file
 * that uses it puts it in the place of the real one, in a call of vi.mock of its own, because vitest
 * moves that call ahead of the file's imports.
 */
import { constants } from "node:os";
import { vi } from "vitest";
import type { NativeBinding, NativeFailure } from "../../lib/native/binding.ts";

/** A call that a test has not told what to answer, and that has no usual answer, gives undefined. */
export const kernel = {
  lockNetns: vi.fn<NativeBinding["lockNetns"]>(),
  watchLinks: vi.fn<NativeBinding["watchLinks"]>(),
  netnsInode: vi.fn<NativeBinding["netnsInode"]>(),
  makeSegmenter: vi.fn<NativeBinding["makeSegmenter"]>(),
  removeSegmenter: vi.fn<NativeBinding["removeSegmenter"]>(),
  devices: vi.fn<NativeBinding["devices"]>(),
  tcxPrograms: vi.fn<NativeBinding["tcxPrograms"]>(),
  tcxRevision: vi.fn<NativeBinding["tcxRevision"]>(),
  qdisc: vi.fn<NativeBinding["qdisc"]>(),
  program: vi.fn<NativeBinding["program"]>(),
  lookup: vi.fn<NativeBinding["lookup"]>(),
  detachTcx: vi.fn<NativeBinding["detachTcx"]>(),
  detachClsact: vi.fn<NativeBinding["detachClsact"]>(),
};

/** For beforeEach: forgets what was called and answered. There is tcx, and nothing on any hook. */
export function resetKernel(): void {
  for (const mock of Object.values(kernel)) mock.mockReset();
  kernel.netnsInode.mockResolvedValue(1n);
  kernel.tcxPrograms.mockResolvedValue([]);
  kernel.tcxRevision.mockResolvedValue(1n);
  kernel.qdisc.mockResolvedValue({ kind: "", filters: [] });
}

/** A call that fails as the addon says it, with the errno of this name. */
export function fail(name: keyof typeof constants.errno, step = "attach tcx"): NativeFailure {
  return { errno: constants.errno[name], step };
}
