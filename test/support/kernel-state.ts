/** What BPF objects the kernel holds, as bpftool lists them, and what is in the BPF file system. */
import { existsSync, readdirSync } from "node:fs";
import { pinRoot } from "./paths.js";
import { must } from "./process.js";

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
}

async function list(kind: "prog" | "map" | "link"): Promise<readonly string[]> {
  const objects = JSON.parse(await must(["bpftool", kind, "show", "-j"])) as readonly BpfObject[];
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
