/**
 * What the privileged suites need of the machine, looked at once per run. What is missing is handed
 * to every suite as one sentence, and the suite fails with it: a machine that cannot run BPF must
 * not look like a machine that passed.
 */
import { accessSync, constants, existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import type { TestProject } from "vitest/node";
import { sweepLeftovers } from "./leftovers.js";
import { fetchNodes, type Nodes } from "./nodes.js";
import { builtRoot, hostsTree, ilmCommand } from "./paths.js";
import { run } from "./process.js";

declare module "vitest" {
  interface ProvidedContext {
    /** Why the privileged suites cannot run here; empty when they can. */
    obstacle: string;
    /** What the suites start the product with. */
    nodes: Nodes;
  }
}

/** Program -> Debian package that has it. */
const programs: Readonly<Record<string, string>> = {
  ip: "iproute2",
  ss: "iproute2",
  nsenter: "util-linux",
  unshare: "util-linux",
  flock: "util-linux",
  setpriv: "util-linux",
  bpftool: "bpftool",
  python3: "python3",
  nginx: "nginx-light",
  apache2: "apache2-bin",
  "redis-server": "redis-server",
  "redis-cli": "redis-tools",
  haproxy: "haproxy",
  sshd: "openssh-server",
  ssh: "openssh-client",
  "ssh-keygen": "openssh-client",
  dnsmasq: "dnsmasq-base",
  dig: "bind9-dnsutils",
  curl: "curl",
  pgrep: "procps",
  "systemd-socket-activate": "systemd",
  "systemd-nspawn": "systemd-container",
  nc: "netcat-openbsd",
  ethtool: "ethtool",
  unbound: "unbound",
  knotd: "knot",
  named: "bind9",
  kdig: "knot-dnsutils",
  pg_ctlcluster: "postgresql",
  chronyd: "chrony",
  ntpdig: "ntpsec-ntpdig",
  "in.tftpd": "tftpd-hpa",
  gtlsserver: "ngtcp2-server",
  gtlsclient: "ngtcp2-client",
  openssl: "openssl",
  nft: "nftables",
  "iptables-nft": "iptables",
  findmnt: "util-linux",
  taskset: "util-linux",
  xz: "xz-utils",
};

const searchPath = [
  ...new Set([...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/sbin"]),
];

function isInstalled(program: string): boolean {
  return searchPath.some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch (error) {
      if (error instanceof Error) {
        return false;
      }
      throw error;
    }
  });
}

/** The first thing that is missing, as a sentence with its remedy; empty when nothing is. */
async function findObstacle(): Promise<string> {
  if (process.getuid?.() !== 0) {
    return "The privileged suites need root: run them through sudo.";
  }
  const missing = Object.keys(programs).filter((program) => !isInstalled(program));
  if (missing.length > 0) {
    const packages = [...new Set(missing.map((program) => programs[program]))].join(" ");
    return `The privileged suites need ${missing.join(", ")}: apt-get install ${packages}`;
  }
  if (!existsSync(ilmCommand) || !existsSync(join(builtRoot, "src/main.js"))) {
    return "The privileged suites drive the built command line, and it is not built: make build";
  }
  if (!existsSync(join(hostsTree, "wanted"))) {
    return `The suites of hosts run Docker, ufw and others from ${hostsTree}, and nothing is there: tools/unpack-hosts.sh`;
  }
  if (!existsSync("/sys/kernel/btf/vmlinux")) {
    return "The privileged suites need a kernel with BTF, and /sys/kernel/btf/vmlinux is not there.";
  }
  const bpf = await run(["bpftool", "prog", "show"]);
  if (bpf.status !== 0) {
    return `The privileged suites need the bpf system call, and it is refused here: ${bpf.stderr.trim()}`;
  }
  const probe = `ilm${process.pid}-probe`;
  const netns = await run(["ip", "netns", "add", probe]);
  if (netns.status !== 0) {
    return `The privileged suites need network namespaces, and none can be made here: ${netns.stderr.trim()}`;
  }
  await run(["ip", "netns", "del", probe]);
  return "";
}

export async function setup(project: TestProject): Promise<void> {
  process.env["PATH"] = searchPath.join(delimiter);
  const obstacle = await findObstacle();
  project.provide("obstacle", obstacle);
  project.provide("nodes", obstacle === "" ? fetchNodes() : []);
  if (obstacle === "") {
    await sweepLeftovers();
  }
}
