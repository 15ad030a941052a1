/** What BPF objects the kernel holds, as bpftool lists them, and what is in the BPF file system. */
import { existsSync, readdirSync } from "node:fs";
import { pinRoot } from "./paths.js";
import { eventually, run } from "./process.js";

export interface KernelState {
  readonly programs: readonly string[];
  readonly maps: readonly string[];
  readonly links: readonly string[];
  /** Every path under ilm's folder. */
  readonly pins: readonly string[];
}

interface BpfObject {
  readonly id: number;
  readonly type?: string;
  readonly name?: string;
  /** Of links. */
  readonly prog_id?: number;
  readonly netns_ino?: number;
  readonly attach_type?: string;
}

/** bpftool goes through ids, and gives up when one goes away under its eyes. */
async function show(kind: "prog" | "map" | "link"): Promise<readonly BpfObject[]> {
  return await eventually(`bpftool ${kind} show`, async () => {
    const result = await run(["bpftool", kind, "show", "-j"]);
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

async function list(kind: "prog" | "map" | "link"): Promise<readonly string[]> {
  const objects = await show(kind);
  return objects.map(({ id, type, name }) => `${kind} ${id} ${type ?? ""} ${name ?? ""}`);
}

export async function kernelState(): Promise<KernelState> {
  return {
    programs: await list("prog"),
    maps: await list("map"),
    links: await list("link"),
    pins: pinnedPaths(),
  };
}

export function pinnedPaths(): readonly string[] {
  return existsSync(pinRoot)
    ? readdirSync(pinRoot, { recursive: true, encoding: "utf8" }).sort()
    : [];
}

/** Names of the folders under ilm's folder that belong to one namespace, staged ones too. */
export function pinFoldersOf(inode: number): readonly string[] {
  return existsSync(pinRoot)
    ? readdirSync(pinRoot).filter((name) => name.includes(String(inode)))
    : [];
}
