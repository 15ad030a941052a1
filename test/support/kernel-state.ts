/** What BPF objects the kernel holds, as bpftool lists them, and what is in the BPF file system. */
import { existsSync, readdirSync } from "node:fs";
import { pinRoot } from "./paths.js";
import { eventually, must, run } from "./process.js";

/** Ids of what the kernel holds for one network namespace. Ids are not used twice. */
export interface KernelObjects {
  readonly prog: readonly number[];
  readonly map: readonly number[];
  readonly link: readonly number[];
}

type Kind = keyof KernelObjects;

interface BpfObject {
  readonly id: number;
  /** Paths in mounted BPF file systems. */
  readonly pinned?: readonly string[];
  /** The maps of a program. */
  readonly map_ids?: readonly number[];
  /** The program of a link. */
  readonly prog_id?: number;
  readonly netns_ino?: number;
  readonly attach_type?: string;
}

/** bpftool goes through ids, and gives up when one goes away under its eyes. */
async function show(kind: Kind): Promise<readonly BpfObject[]> {
  return await eventually(`bpftool ${kind} show`, async () => {
    const result = await run(["bpftool", "-f", "-j", kind, "show"]);
    return result.status === 0 ? (JSON.parse(result.stdout) as readonly BpfObject[]) : null;
  });
}

/** Ids of the sk_lookup programs that are attached to a network namespace. */
export async function lookupPrograms(inode: number): Promise<readonly number[]> {
  const links = await show("link");
  return links
    .filter((link) => link.netns_ino === inode && link.attach_type === "sk_lookup")
    .flatMap((link) => link.prog_id ?? []);
}

/**
 * Id of the program that the pinned link of a network namespace runs: without a look at all that
 * the machine has.
 */
export async function pinnedProgram(inode: number): Promise<number | undefined> {
  const link = `${pinRoot}/${inode}/lookup`;
  const shown = await must(["bpftool", "-j", "link", "show", "pinned", link]);
  return (JSON.parse(shown) as BpfObject).prog_id;
}

/**
 * What is pinned for a network namespace, and what that holds: programs of links, maps of programs.
 * Nothing else lives on when the process that made it has ended, and nothing of other namespaces,
 * tests or programs is in it.
 */
export async function objectsOf(inode: number): Promise<KernelObjects> {
  const isOurs = ({ pinned = [] }: BpfObject): boolean =>
    pinned.some((path) => path.startsWith(`${pinRoot}/${inode}/`));
  const links = (await show("link")).filter(isOurs);
  const held = new Set(links.flatMap(({ prog_id }) => prog_id ?? []));
  const programs = (await show("prog")).filter((object) => isOurs(object) || held.has(object.id));
  const used = new Set(programs.flatMap(({ map_ids }) => map_ids ?? []));
  const maps = (await show("map")).filter((object) => isOurs(object) || used.has(object.id));
  const ids = (objects: readonly BpfObject[]): readonly number[] => objects.map(({ id }) => id);
  return { prog: ids(programs), map: ids(maps), link: ids(links) };
}

/** Those that the kernel still holds. */
export async function stillThere(objects: KernelObjects): Promise<KernelObjects> {
  const still = async (kind: Kind): Promise<readonly number[]> => {
    const now = new Set((await show(kind)).map(({ id }) => id));
    return objects[kind].filter((id) => now.has(id));
  };
  return { prog: await still("prog"), map: await still("map"), link: await still("link") };
}

/** Everything that is pinned for one namespace. */
export function pinnedPaths(inode: number): readonly string[] {
  return existsSync(pinRoot)
    ? readdirSync(pinRoot, { recursive: true, encoding: "utf8" })
        .filter((path) => path === String(inode) || path.startsWith(`${inode}/`))
        .sort()
    : [];
}

/** Names of the folders under ilm's folder that belong to one namespace, staged ones too. */
export function pinFoldersOf(inode: number): readonly string[] {
  return existsSync(pinRoot)
    ? readdirSync(pinRoot).filter((name) => name.includes(String(inode)))
    : [];
}
