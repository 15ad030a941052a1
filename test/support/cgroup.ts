/**
 * Folders of the cgroup v2 hierarchy, named as systemd names those of its units, for daemons of the
 * suites. All are below one of our own, whose name tells which process made it; nothing else is
 * moved, and no controller is switched on.
 */
import { existsSync, mkdirSync, readdirSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Background, eventually, must } from "./process.js";

const namePattern = /^ilm(\d+)-units\.slice$/;

async function mountPoint(): Promise<string> {
  const [path] = (await must(["findmnt", "-nrt", "cgroup2", "-o", "TARGET"])).split("\n");
  if (path === undefined || path === "") throw new Error("no cgroup v2 hierarchy is mounted");
  return path;
}

const ownSlice = `ilm${globalThis.process.pid}-units.slice`;

/** Makes the folder `path` below our own, and gives where it is in the file system. */
export async function makeCgroup(path: string): Promise<string> {
  const folder = join(await mountPoint(), ownSlice, path);
  mkdirSync(folder, { recursive: true });
  return folder;
}

/** The hierarchy's root, in the file system. */
export async function rootCgroup(): Promise<string> {
  return await mountPoint();
}

/**
 * Makes the folder `path` below our own, and puts a process of ours there; what it starts later is
 * there too.
 */
export async function putInCgroup(process: Background, path: string): Promise<string> {
  writeFileSync(join(await makeCgroup(path), "cgroup.procs"), String(process.pid));
  return join("/", ownSlice, path);
}

/** Deepest first: a folder with others in it, or with a process that is still ending, is busy. */
async function removeTree(folder: string): Promise<void> {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) await removeTree(join(folder, entry.name));
  }
  await eventually(`${folder} is empty`, () => {
    try {
      rmdirSync(folder);
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EBUSY") return null;
      throw error;
    }
  });
}

/**
 * Takes the folder `path` below our own away, and with the last one our own; the processes in it
 * have ended.
 */
export async function removeCgroup(path: string): Promise<void> {
  const own = join(await mountPoint(), ownSlice);
  const folder = join(own, path);
  if (!existsSync(folder)) return;
  await removeTree(folder);
  if (!readdirSync(own, { withFileTypes: true }).some((entry) => entry.isDirectory())) {
    rmdirSync(own);
  }
}

/** Takes our own folder away; the processes in it have ended. */
export async function removeCgroups(): Promise<void> {
  const own = join(await mountPoint(), ownSlice);
  if (existsSync(own)) await removeTree(own);
}

/** Takes away what test runs that were killed have left. */
export async function sweepCgroups(isAlive: (pid: number) => boolean): Promise<void> {
  const root = await mountPoint();
  for (const name of readdirSync(root)) {
    const maker = namePattern.exec(name)?.[1];
    if (maker !== undefined && !isAlive(Number(maker))) await removeTree(join(root, name));
  }
}
