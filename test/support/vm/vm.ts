/**
 * A machine of its own, emulated by qemu in software, with a kernel of Debian and the files of the
 * machine that it runs on, which it can not change. It runs one script of the checkout, by Node.
 * The script talks with the test in lines of JSON, as programs of a Lab do; what the kernel and
 * the script have to complain is on stderr.
 *
 *     using vm = new Vm({ kernel: debianKernel("bookworm"), modules: ["veth"], script: "test/..." });
 *     await vm.guest.event("done");
 */
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Endpoint } from "../endpoint.ts";
import { Archive } from "./archive.ts";
import { cacheFolder, type Kernel } from "./kernel.ts";
import { modulesFor } from "./modules.ts";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const init = fileURLToPath(new URL("init.sh", import.meta.url));

/** Milliseconds. However a test ends, its machines end by then. */
const LIMIT = 150_000;
const MEMORY = "1G";

/** Why there are no machines here; undefined where there are. */
export const vmSkipReason =
  process.platform !== "linux" || process.arch !== "x64"
    ? "its guest runs this machine's programs on a kernel for x86-64"
    : undefined;

/** The title of a suite, which says why it is skipped where it is. */
export function vmTitled(title: string): string {
  return vmSkipReason === undefined ? title : `${title} (skipped: ${vmSkipReason})`;
}

/** Ends with the process that has started it, also if that is killed. */
const QEMU = 'exec setpriv --pdeathsig KILL -- qemu-system-x86_64 "$@" 3>&2';

/** Errors alone on the console, and a panic ends qemu. */
const BOOT = "console=ttyS0 quiet panic=-1 mitigations=off";

/** What init.sh needs: to see the machine's files, and to put a layer above them. */
const FILE_MODULES = ["virtio_pci", "9pnet_virtio", "9p", "overlay"];
const COMMANDS = ["sh", "chroot", "dd", "insmod", "mkdir", "mount", "poweroff", "stty"];

export interface VmOptions {
  readonly kernel: Kernel;
  /** Modules to load; what they need comes with them. */
  readonly modules: readonly string[];
  /** A path in the checkout. */
  readonly script: string;
  /** The script's argument, as JSON. */
  readonly options?: unknown;
  /** Milliseconds until it is ended. */
  readonly limit?: number;
  /** More arguments of qemu: devices. What it writes to the folder, {@link Vm.read} reads. */
  readonly devices?: (folder: string) => readonly string[];
}

export class Vm implements Disposable {
  /** The script. It has ended well when it exits with 0. */
  readonly guest: Endpoint;
  readonly #folder = mkdtempSync(join(cacheFolder(), "run-"));

  constructor(options: VmOptions) {
    try {
      const qemu = spawn("sh", ["-c", QEMU, "sh", ...this.#arguments(options)], {
        stdio: ["pipe", "pipe", "pipe"],
        timeout: options.limit ?? LIMIT,
        killSignal: "SIGKILL",
      });
      this.guest = new Endpoint(qemu);
    } catch (error) {
      rmSync(this.#folder, { recursive: true });
      throw error;
    }
  }

  #arguments(options: VmOptions): string[] {
    const { kernel, devices } = options;
    const initrd = join(this.#folder, "initrd");
    writeFileSync(initrd, initialFiles(options));
    return [
      ...["-machine", "q35", "-accel", "tcg", "-cpu", "max", "-m", MEMORY],
      ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
      // Node's pipes are sockets.
      ...["-chardev", "socket,id=console,fd=3", "-serial", "chardev:console"],
      ...["-chardev", "stdio,id=lines,signal=off", "-serial", "chardev:lines"],
      ...["-device", "isa-debug-exit,iobase=0x501"],
      "-virtfs",
      "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap",
      ...["-kernel", kernel.image, "-initrd", initrd],
      ...["-append", BOOT],
      ...(devices?.(this.#folder) ?? []),
    ];
  }

  /** A file that qemu has written. */
  read(name: string): Buffer {
    return readFileSync(join(this.#folder, name));
  }

  [Symbol.dispose](): void {
    this.guest.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** What the kernel starts with, until it sees the machine's files. */
function initialFiles({ kernel, modules, script, options = {} }: VmOptions): Uint8Array {
  const archive = new Archive();
  archive.file("/init", readFileSync(init), 0o755);
  archive.file("/bin/busybox", readFileSync(pathOf("busybox")), 0o755);
  for (const command of COMMANDS) archive.link(`/bin/${command}`, "busybox");
  const lines = [process.execPath, root, script, JSON.stringify(options), ""];
  archive.file("/guest", lines.join("\n"));
  const all = modulesFor(kernel.modules, [...FILE_MODULES, ...modules]);
  for (const { name, content } of all) archive.file(`/modules/${name}.ko`, content);
  archive.file("/modules/order", all.map(({ name }) => `${name}\n`).join(""));
  return archive.bytes();
}

function pathOf(command: string): string {
  return execFileSync("sh", ["-c", 'command -v "$1"', "sh", command], { encoding: "utf8" }).trim();
}
