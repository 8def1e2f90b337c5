// npm run setup: from a bare Debian to a built checkout. Uses nothing but Node itself, because
// nothing else is there yet. Each step says what it does, and is skipped when it is done.
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Debian packages, and what each is for. */
const PACKAGES = {
  clang: "compiles the BPF program",
  "clang-format": "checks the format of C and C++",
  bpftool: "reads the program's BTF",
  "libbpf-dev": "the addon links to libbpf",
  "g++": "compiles the addon",
  make: "node-gyp",
  python3: "node-gyp; ends of flows, in tests",
  iproute2: "tests and the demo make namespaces with it",
  iptables: "kube-proxy's rules and NAT, in the demo and in tests",
  nftables: "a SYN proxy, in tests",
  conntrack: "the demo makes the node forget connections",
  ethtool: "tests and the bench look at and switch offloads with it",
  iperf3: "tests and the bench send bulk traffic with it",
  tcpdump: "tests look at what is on the wire",
  pmacct: "nfacctd, the collector of examples/nfacctd, in its test",
  bird2: "routers that speak BGP to it",
  "qemu-system-x86": "tests try network cards and older kernels",
  "busybox-static": "the first program of those machines; asks for pages, in tests",
  softflowd: "exports NetFlow and IPFIX to the collector of examples/, in tests",
  "xz-utils": "unpacks their kernels",
  "util-linux": "tests drop capabilities with setpriv, the demo makes namespaces with unshare",
};

function run(command, args, options = {}) {
  execFileSync(command, args, { cwd: root, stdio: "inherit", ...options });
}

function missingPackages() {
  return Object.keys(PACKAGES).filter((name) => {
    const query = spawnSync("dpkg-query", ["--status", name], { encoding: "utf8" });
    return !/^Status: install ok installed$/m.test(query.stdout ?? "");
  });
}

function installPackages() {
  if (spawnSync("dpkg-query", ["--version"]).error) {
    console.log(
      `setup: this is not Debian; see that these are installed: ${Object.keys(PACKAGES).join(", ")}`,
    );
    return;
  }
  const missing = missingPackages();
  if (missing.length === 0) {
    console.log("setup: system packages are installed");
    return;
  }
  for (const name of missing) console.log(`setup: installing ${name} (${PACKAGES[name]})`);
  if (process.getuid() !== 0) {
    console.error(
      `setup: run as root, or install them yourself: apt-get install ${missing.join(" ")}`,
    );
    process.exit(1);
  }
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  run("apt-get", ["update", "-qq"], { env });
  startingNoServices(() => {
    run("apt-get", ["install", "-qq", "-y", "--no-install-recommends", ...missing], { env });
  });
}

/** Debian asks this program whether a package that it installs may start its services. */
const POLICY = "/usr/sbin/policy-rc.d";

/**
 * Says no (101) as long as this process lives, which its number and the time of its start tell. If it was
 * killed in the middle, whoever asks next takes the program away.
 */
export function whileWeLive(path) {
  const started = readFileSync("/proc/self/stat", "utf8")
    .replace(/^.*\) /s, "")
    .split(" ")[19];
  return `#!/bin/sh
grep -qs " ${started} " /proc/${process.pid}/stat && exit 101
rm -f "${path}"
`;
}

/** Routing daemons and collectors are for tests, which start them in namespaces of their own. */
function startingNoServices(install) {
  if (existsSync(POLICY)) {
    install();
    return;
  }
  writeFileSync(POLICY, whileWeLive(POLICY), { mode: 0o755 });
  try {
    install();
  } finally {
    rmSync(POLICY, { force: true });
  }
}

function installNodeModules() {
  const lock = createHash("sha256")
    .update(readFileSync(join(root, "package-lock.json")))
    .digest("hex");
  const stamp = join(root, "node_modules/.sfunnel-lock");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === lock) {
    console.log("setup: node_modules is up to date");
    return;
  }
  console.log("setup: npm ci");
  run("npm", ["ci", "--ignore-scripts", "--loglevel=error"]);
  writeFileSync(stamp, lock);
}

export async function setup() {
  installPackages();
  installNodeModules();
  const { build } = await import("./build.mjs");
  build();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await setup();
