/** Where the built BPF objects are. */
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The folder beside the built TypeScript: dist/src/dataplane -> dist/bpf. */
const folder = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "bpf");

export type ObjectName = "lookup" | "lookup-kfunc" | "steer" | "hook" | "registry" | "listing";

export function objectPath(name: ObjectName): string {
  return join(folder, `${name}.bpf.o`);
}
