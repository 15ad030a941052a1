/**
 * The hand-over at ingress on the namespace's interfaces. One small program is attached to each; it calls the ingress program
 * of the generation in force, which one map update changes for all of them.
 */
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { AttachType, type BpfMap, BpfObject, attach, openLink } from "../kernel/bpf.js";
import { errnoOf } from "../kernel/ffi.js";
import { interfaces } from "../kernel/interfaces.js";
import { objectPath, removeFolder } from "./paths.js";

const ENODEV = 19;
const EINVAL = 22;
const EEXIST = 17;
/** No interface has it: indexes are positive ints. */
const NO_INTERFACE = 0x7fffffff;

function withProgram<T>(
  map: BpfMap | null,
  use: (program: ReturnType<BpfObject["program"]>) => T,
): T {
  const object = new BpfObject(objectPath("ingress"));
  try {
    if (map !== null) object.reuse("ingress", map);
    object.load();
    const program = object.program("ilm_ingress");
    try {
      return use(program);
    } finally {
      program.close();
    }
  } finally {
    object.close();
  }
}

/** Does this kernel have tcx (6.6)? It then says that there is no such interface, and else that there is no such hook. */
export function ingressIsPossible(): boolean {
  return withProgram(null, (program) => {
    try {
      attach(program, NO_INTERFACE, AttachType.tcxIngress).close();
      return true;
    } catch (error) {
      if (errnoOf(error) === ENODEV) return true;
      if (errnoOf(error) === EINVAL) return false;
      throw error;
    }
  });
}

function pinned(folder: string): Map<number, string> {
  const found = new Map<number, string>();
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  for (const name of readdirSync(folder)) {
    const index = Number(/^interface-(\d+)$/.exec(name)?.[1]);
    if (Number.isInteger(index)) found.set(index, join(folder, name));
  }
  return found;
}

/**
 * Attaches to every interface that has nothing of ours yet, and forgets those that went. `map`: the registry's `ingress`.
 * Returns the names of those that were attached now.
 */
export function attachInterfaces(folder: string, map: BpfMap): string[] {
  const present = interfaces();
  const known = pinned(folder);
  for (const [index, path] of known) {
    const link = openLink(path);
    // An interface that went leaves a link without one, also when another has its number by now.
    const lives = link?.info().interfaceIndex === index && present.has(index);
    link?.close();
    if (lives) continue;
    rmSync(path, { force: true });
    known.delete(index);
  }
  const missing = [...present].filter(([index]) => !known.has(index));
  if (missing.length === 0) return [];
  return withProgram(map, (program) =>
    missing.flatMap(([index, name]) => {
      try {
        const link = attach(program, index, AttachType.tcxIngress);
        link.pin(join(folder, `interface-${index}`));
        link.close();
        return [name];
      } catch (error) {
        // It went meanwhile, or somebody else was as quick.
        if (errnoOf(error) === ENODEV || errnoOf(error) === EEXIST) return [];
        throw error;
      }
    }),
  );
}

export function detachInterfaces(folder: string): void {
  removeFolder(folder);
}
