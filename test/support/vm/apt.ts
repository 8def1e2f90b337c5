/**
 * apt for another release of Debian than the machine's own: with the mirror that the machine
 * gets its packages from, but with sources, lists and a cache of its own in one folder. It checks
 * signatures and sums as ever; nothing of the machine's changes.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";

export class Apt {
  readonly #options: readonly string[];
  readonly #folder: string;

  /** `folder` is empty, and of no use to anything else. */
  constructor(folder: string, suite: string) {
    this.#folder = folder;
    for (const each of ["sources", "lists/partial", "archives/partial"]) {
      mkdirSync(join(folder, each), { recursive: true });
    }
    writeFileSync(join(folder, "status"), "");
    writeFileSync(
      join(folder, "sources/vm.sources"),
      [
        "Types: deb",
        `URIs: ${mirror()}`,
        `Suites: ${suite}`,
        "Components: main",
        ...(existsSync(KEYRING) ? [`Signed-By: ${KEYRING}`] : []),
        "",
      ].join("\n"),
    );
    const settings = {
      "Dir::State": folder,
      "Dir::State::status": join(folder, "status"),
      "Dir::Cache": folder,
      "Dir::Etc::sourcelist": "/dev/null",
      "Dir::Etc::sourceparts": join(folder, "sources"),
      "Acquire::Languages": "none",
      // Its own user could not write to a folder of ours.
      "APT::Sandbox::User": "root",
    };
    this.#options = Object.entries(settings).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
  }

  update(): void {
    this.#run("apt-get", "-qq", "update");
  }

  /** What a package that holds nothing itself depends on. */
  dependency(name: string): string {
    const [, found] = /^ *Depends: (\S+)$/m.exec(this.#run("apt-cache", "depends", name)) ?? [];
    if (found === undefined) throw new Error(`apt: ${name} depends on nothing`);
    return found;
  }

  /** Fetches a package; the path of its file. */
  download(name: string): string {
    this.#run("apt-get", "-qq", "download", name);
    const file = readdirSync(this.#folder).find((each) => each.endsWith(".deb"));
    return join(this.#folder, file ?? "");
  }

  #run(command: string, ...args: string[]): string {
    return execFileSync(command, [...this.#options, ...args], {
      cwd: this.#folder,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
    });
  }
}

/** Where the machine gets its own release from. */
function mirror(): string {
  const [, suite] = /^VERSION_CODENAME=(.*)$/m.exec(readFileSync("/etc/os-release", "utf8")) ?? [];
  // Without what only downloaded lists would tell: there may be none.
  const format = ["--no-release-info", "--format", "$(RELEASE) $(COMPONENT) $(REPO_URI)"];
  const lines = execFileSync("apt-get", ["indextargets", ...format], { encoding: "utf8" });
  const found = lines.split("\n").find((line) => line.startsWith(`${suite} main `));
  if (found === undefined) throw new Error(`apt: no source for ${suite} main`);
  return found.split(" ")[2] ?? "";
}
