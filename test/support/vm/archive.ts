/** An initial file system for a kernel: a cpio archive in the format "newc". */
import { dirname } from "node:path";

const MAGIC = "070701";
const FOLDER = 0o040000;
const FILE = 0o100000;
const LINK = 0o120000;
const END = "TRAILER!!!";

/** Headers and contents begin at multiples of it. */
const ALIGNMENT = 4;

export class Archive {
  readonly #parts: Uint8Array[] = [];
  readonly #paths = new Set<string>(["/"]);

  /** Adds a file and the folders that it lies in. What is there already stays. */
  file(path: string, content: Uint8Array | string, mode = 0o644): void {
    this.#add(path, FILE | mode, typeof content === "string" ? Buffer.from(content) : content);
  }

  link(path: string, target: string): void {
    this.#add(path, LINK | 0o777, Buffer.from(target));
  }

  folder(path: string): void {
    this.#add(path, FOLDER | 0o755, new Uint8Array());
  }

  bytes(): Uint8Array {
    return Buffer.concat([...this.#parts, ...entry(END, 0, new Uint8Array())]);
  }

  #add(path: string, mode: number, content: Uint8Array): void {
    if (this.#paths.has(path)) return;
    this.folder(dirname(path));
    this.#paths.add(path);
    this.#parts.push(...entry(path.slice(1), mode, content));
  }
}

function entry(name: string, mode: number, content: Uint8Array): Uint8Array[] {
  // With one link each, inode numbers do not matter and may all be 0.
  const [inode, links, size, nameSize] = [0, 1, content.length, name.length + 1];
  const fields = [inode, mode, 0, 0, links, 0, size, 0, 0, 0, 0, nameSize, 0];
  const header = fields.map((field) => field.toString(16).padStart(8, "0")).join("");
  const start = Buffer.from(`${MAGIC}${header}${name}\0`);
  return [start, padding(start.length), content, padding(content.length)];
}

function padding(length: number): Uint8Array {
  return new Uint8Array((ALIGNMENT - (length % ALIGNMENT)) % ALIGNMENT);
}
