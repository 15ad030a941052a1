/** Fresh Debians, and our packages for them. */
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import type { BootedHost } from "./booted-host.js";
import { root } from "./paths.js";
import { must } from "./process.js";

export const suites = ["bookworm", "trixie"] as const;
export type Suite = (typeof suites)[number];

/** Returns the folder of a fresh Debian, which nothing writes to. */
export async function debianRoot(suite: Suite): Promise<string> {
  const command = [join(root, "tools/unpack-debian.sh"), suite];
  return (await must(command, { timeout_ms: 550_000 })).trim();
}

export interface Packages {
  readonly deb: string;
  readonly npm: string;
}

/** Builds the packages of this checkout for this machine into `folder`; returns their paths. */
export async function buildPackages(folder: string): Promise<Packages> {
  const machine = (await must(["dpkg", "--print-architecture"])).trim();
  const tool = ["node", "dist/tools/package.js", "--fast", machine, "npm"];
  const command = ["env", "-C", root, `PACKAGES=${folder}`, ...tool];
  const printed = await must(command, { timeout_ms: 300_000 });
  const [deb, npm] = [...printed.matchAll(/^(\S+\.(?:deb|tgz)) /gm)].map(([, path]) => path);
  if (deb === undefined || npm === undefined) throw new Error(`no packages: ${printed}`);
  return { deb, npm };
}

/** Gives the host a package, and returns its path there. */
export function carry(host: BootedHost, path: string, name = "ilm.deb"): string {
  const there = `/root/${name}`;
  copyFileSync(path, host.path(there));
  return there;
}

/** Lists every file of the host but what changes by itself. */
export async function filesOf(host: BootedHost): Promise<string[]> {
  const own = ["/proc", "/sys", "/dev", "/run", "/tmp", "/root", "/var/log", "/var/cache"];
  const pruned = own.flatMap((path) => ["-path", path, "-prune", "-o"]);
  const listed = await host.must(["find", "/", ...pruned, "-print"]);
  // The lists of what is installed are dpkg's.
  return listed.split("\n").filter((path) => !/^\/var\/lib\/(dpkg|systemd)\//.test(path));
}
