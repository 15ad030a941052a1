/** Where things are pinned. Names hold no dots: the BPF file system keeps those for itself (kernel/bpf/inode.c, bpf_lookup). */
import { existsSync, readdirSync, rmSync, rmdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const FOLDER = "ilm";

/** The built BPF objects, beside the built TypeScript: dist/src/dataplane -> dist/bpf. */
const objectFolder = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "bpf");

export type ObjectName =
  | "lookup"
  | "steer"
  | "ingress"
  | "hook"
  | "egress"
  | "registry"
  | "reply"
  | "listing";

export function objectPath(name: ObjectName): string {
  return join(objectFolder, `${name}.bpf.o`);
}

export class PinPaths {
  readonly bpffs: string;
  readonly parent: string;
  readonly base: string;
  /** The one link that says which generation is in force. */
  readonly lookupLink: string;

  constructor(bpffs: string, netnsInode: number) {
    this.bpffs = bpffs;
    this.parent = join(bpffs, FOLDER);
    this.base = join(this.parent, String(netnsInode));
    this.lookupLink = join(this.base, "lookup");
  }

  /** Links on interfaces: they call what this registry's map says. */
  interfaces(registry: number): string {
    return join(this.registry(registry), "interfaces");
  }

  generation(number: number): string {
    return join(this.base, `generation-${number}`);
  }

  registry(number: number): string {
    return join(this.base, `registry-${number}`);
  }

  /** What is being built; renamed when it is complete, removed when it is found. */
  staging(kind: "generation" | "registry"): string {
    return join(this.base, `staging-${kind}`);
  }

  /** Numbers of the generations or registries that are pinned. */
  numbers(kind: "generation" | "registry"): number[] {
    if (!existsSync(this.base)) return [];
    return readdirSync(this.base)
      .map((name) => new RegExp(`^${kind}-(\\d+)$`).exec(name)?.[1])
      .filter((number) => number !== undefined)
      .map(Number);
  }
}

export function removeIfEmpty(path: string): void {
  if (existsSync(path) && readdirSync(path).length === 0) rmdirSync(path);
}

export function removeFolder(path: string): void {
  rmSync(path, { recursive: true, force: true });
}
