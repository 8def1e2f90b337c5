/** Kernels of Debian, fetched when they are first asked for and kept in build/. */
import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Apt } from "./apt.ts";
import { unpackedKernel } from "./image.ts";

/** Where kernels are kept, and running guests have their files. */
export function cacheFolder(): string {
  const folder = fileURLToPath(new URL("../../../build/vm/", import.meta.url));
  mkdirSync(folder, { recursive: true });
  return folder;
}

/** Releases of Debian: 5.10, 6.1, 6.12. */
export type Suite = "bullseye" | "bookworm" | "trixie";

export interface Kernel {
  /** E.g. "6.1.0-56-amd64". */
  readonly release: string;
  /** What qemu boots. */
  readonly image: string;
  /** Folder of its modules. */
  readonly modules: string;
}

/** Not the one for clouds, which is smaller, but knows no network card of old and no 9p. */
const PACKAGE = "linux-image-amd64";

/** Parts of it that guests may need; all of it is 400 MB. */
const WANTED = [
  "./boot/vmlinuz-*",
  "*/modules.builtin",
  ...["lib", "net", "drivers/net", "drivers/virtio"].map((folder) => `*/kernel/${folder}/*`),
  ...["9p", "fscache", "netfs", "overlayfs"].map((folder) => `*/kernel/fs/${folder}/*`),
];
const UNWANTED = "*/kernel/drivers/net/wireless/*";

/** A suite's kernel: the newest one when it was fetched. */
export function debianKernel(suite: Suite): Kernel {
  const folder = join(cacheFolder(), suite);
  if (!existsSync(folder)) fetchKernel(suite, folder);
  const release = readFileSync(join(folder, "release"), "utf8");
  return { release, image: join(folder, "image"), modules: join(folder, "modules") };
}

function fetchKernel(suite: Suite, folder: string): void {
  const work = mkdtempSync(join(cacheFolder(), "fetch-"));
  try {
    const apt = new Apt(join(work, "apt"), suite);
    apt.update();
    const unpacked = join(work, "unpacked");
    unpack(apt.download(apt.dependency(PACKAGE)), unpacked);
    const kept = join(work, "kept");
    keep(unpacked, kept);
    moveInto(kept, folder);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function unpack(deb: string, folder: string): void {
  mkdirSync(folder);
  const wanted = WANTED.map((pattern) => `'${pattern}'`).join(" ");
  const tar = `tar --extract --directory="$2" --wildcards --exclude='${UNWANTED}' ${wanted}`;
  // tar complains of patterns that match nothing: not every kernel has every folder.
  const script = `dpkg-deb --fsys-tarfile "$1" | ${tar} 2>/dev/null || test -d "$2/boot"`;
  execFileSync("sh", ["-c", script, "sh", deb, folder], { stdio: ["ignore", "ignore", "pipe"] });
}

/** Makes of the package's files what {@link debianKernel} reads. */
function keep(unpacked: string, folder: string): void {
  mkdirSync(folder);
  const [packed = ""] = readdirSync(join(unpacked, "boot"));
  const release = packed.replace("vmlinuz-", "");
  // Since trixie, packages have no /lib.
  const lib = existsSync(join(unpacked, "usr")) ? "usr/lib" : "lib";
  const image = readFileSync(join(unpacked, "boot", packed));
  writeFileSync(join(folder, "release"), release);
  writeFileSync(join(folder, "image"), unpackedKernel(image) ?? image);
  renameSync(join(unpacked, lib, "modules", release), join(folder, "modules"));
}

/** Whole or not at all; test files that run side by side may both have fetched it. */
function moveInto(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch (error) {
    if (!existsSync(to)) throw error;
  }
}
