/** The frames that tcpdump sees on a device, read from the stream that it writes. */
import type { ChildProcessByStdio } from "node:child_process";
import type { Readable } from "node:stream";

/** Sizes of the pcap file format's headers. */
const FILE_HEADER = 24;
const RECORD_HEADER = 16;
const MAGIC_LITTLE_ENDIAN = 0xa1b2c3d4;

export class Capture {
  readonly #child: ChildProcessByStdio<null, Readable, Readable>;
  readonly #frames: Uint8Array[] = [];
  readonly #closed: Promise<void>;
  #pending = Buffer.alloc(0);
  #stderr = "";
  #hasClosed = false;
  #started = false;
  /** Looks again at what it waits for. */
  #check: () => void = () => {};

  constructor(child: ChildProcessByStdio<null, Readable, Readable>) {
    this.#child = child;
    child.stdout.on("data", (data: Buffer) => {
      this.#pending = Buffer.concat([this.#pending, data]);
      this.#read();
      this.#check();
    });
    child.stderr.on("data", (data) => {
      this.#stderr += data;
      this.#check();
    });
    this.#closed = new Promise((resolve) => {
      child.on("close", () => {
        this.#hasClosed = true;
        this.#check();
        resolve();
      });
    });
  }

  /** Whole Ethernet frames, in the order in which they passed. */
  get frames(): readonly Uint8Array[] {
    return this.#frames;
  }

  /** Returns when no frame passes unseen any more. */
  async ready(): Promise<void> {
    await this.#until(() => this.#stderr.includes("listening on"));
  }

  /** Waits for frames of which `condition` holds. The test's time-out bounds it. */
  async until(condition: (frames: readonly Uint8Array[]) => boolean): Promise<void> {
    await this.#until(() => condition(this.#frames));
  }

  /** Waits until there are at least `count` frames. */
  async atLeast(count: number): Promise<void> {
    await this.until((frames) => frames.length >= count);
  }

  /** Ends the capture and gives its frames; what tcpdump has not read by now is not waited for. */
  async stop(): Promise<readonly Uint8Array[]> {
    this.#child.kill("SIGINT");
    await this.#closed;
    if (!/^0 packets dropped by kernel$/m.test(this.#stderr)) {
      throw new Error(`capture: ${this.#stderr}`);
    }
    return this.#frames;
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }

  /** Ends it in any case, whatever it has seen. */
  async gone(): Promise<void> {
    this.kill();
    await this.#closed;
  }

  #until(condition: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#check = () => {
        if (condition()) resolve();
        else if (this.#hasClosed) reject(new Error(`tcpdump ended: ${this.#stderr}`));
        else return;
        this.#check = () => {};
      };
      this.#check();
    });
  }

  #read(): void {
    if (!this.#started) {
      if (this.#pending.length < FILE_HEADER) return;
      if (this.#pending.readUInt32LE(0) !== MAGIC_LITTLE_ENDIAN) {
        throw new Error("capture: not a little-endian pcap stream");
      }
      this.#pending = this.#pending.subarray(FILE_HEADER);
      this.#started = true;
    }
    while (this.#pending.length >= RECORD_HEADER) {
      const captured = this.#pending.readUInt32LE(8);
      const end = RECORD_HEADER + captured;
      if (this.#pending.length < end) return;
      this.#frames.push(new Uint8Array(this.#pending.subarray(RECORD_HEADER, end)));
      this.#pending = this.#pending.subarray(end);
    }
  }
}
