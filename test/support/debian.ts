/** Fresh Debians, and our packages for them. */
import { copyFileSync, cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { BootedHost } from "./booted-host.js";
import { root } from "./paths.js";
import { must } from "./process.js";
import type { Release } from "./releases.js";

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

/**
 * Makes a package of an older release out of ours: it has the older program and a unit with another
 * watchdog, and all else as ours.
 * Its version is 0.0.FORMAT-1, which is less than ours.
 */
export async function packageOf(release: Release, ours: string, folder: string): Promise<string> {
  const unpacked = join(folder, `older-${release.format}`);
  const older = `${unpacked}.deb`;
  await must(["dpkg-deb", "--raw-extract", ours, unpacked]);
  const library = join(unpacked, "usr/lib/ilm");
  const built = dirname(dirname(release.command));
  const first = readFileSync(join(library, "bin/ilm"), "utf8").split("\n", 1)[0] ?? "";
  for (const name of ["dist", "bin/ilm", "bin/package.json", "schema"]) {
    rmSync(join(library, name), { recursive: true, force: true });
  }
  for (const name of ["dist", "bin", "package.json"]) {
    cpSync(join(built, name), join(library, name), { recursive: true });
  }
  cpSync(join(root, "node_modules/koffi"), join(library, "node_modules/koffi"), {
    recursive: true,
  });
  const command = join(library, "bin/ilm");
  writeFileSync(command, readFileSync(command, "utf8").replace(/^#!.*$/m, first));
  const unit = join(unpacked, "usr/lib/systemd/system/ilm.service");
  writeFileSync(unit, readFileSync(unit, "utf8").replace(/^WatchdogSec=.*$/m, "WatchdogSec=3min"));
  const control = join(unpacked, "DEBIAN/control");
  const fields = readFileSync(control, "utf8");
  writeFileSync(control, fields.replace(/^Version: .*$/m, `Version: 0.0.${release.format}-1`));
  rmSync(join(unpacked, "DEBIAN/md5sums"));
  await must(["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", unpacked, older]);
  rmSync(unpacked, { recursive: true });
  return older;
}

/** Gives the host a package, and returns its path there. */
export function carry(host: BootedHost, path: string, name = "ilm.deb"): string {
  const there = `/root/${name}`;
  copyFileSync(path, host.path(there));
  return there;
}

/** Lists every file of the host but what changes by itself. */
export async function filesOf(host: Pick<BootedHost, "must">): Promise<string[]> {
  const own = ["/proc", "/sys", "/dev", "/run", "/tmp", "/root", "/var/log", "/var/cache"];
  const pruned = own.flatMap((path) => ["-path", path, "-prune", "-o"]);
  const listed = await host.must(["find", "/", ...pruned, "-print"]);
  // The lists of what is installed are dpkg's and apt's.
  return listed.split("\n").filter((path) => !/^\/var\/lib\/(apt|dpkg|systemd)\//.test(path));
}
