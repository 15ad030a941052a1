/**
 * What is attached to the namespace's interfaces: at ingress a small program that calls the ingress program of the generation
 * in force, which one map update changes for all interfaces; at egress the one that gives answers the port that was dialled.
 */
import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { AttachType, BpfObject, type BpfProgram, attach, openLink } from "../kernel/bpf.js";
import { errnoOf } from "../kernel/ffi.js";
import { interfaces } from "../kernel/interfaces.js";
import { objectPath, removeFolder } from "./paths.js";

const EEXIST = 17;
const ENODEV = 19;
const EINVAL = 22;
/** No interface has it: the kernel gives them small numbers first. */
const NO_INTERFACE = 0x7fffffff;

export type Direction = "ingress" | "egress";
const attachTypes: Record<Direction, AttachType> = {
  ingress: AttachType.tcxIngress,
  egress: AttachType.tcxEgress,
};

/** Does this kernel have tcx (6.6)? It then says that there is no such interface, and else that there is no such hook. */
export function ingressIsPossible(): boolean {
  const object = new BpfObject(objectPath("hook"));
  try {
    object.load();
    const program = object.program("ilm_hook");
    try {
      attach(program, NO_INTERFACE, AttachType.tcxIngress).close();
      return true;
    } catch (error) {
      if (errnoOf(error) === ENODEV) return true;
      if (errnoOf(error) === EINVAL) return false;
      throw error;
    } finally {
      program.close();
    }
  } finally {
    object.close();
  }
}

/** Links pinned for one direction: interface index -> path. */
function pinned(folder: string, direction: Direction): Map<number, string> {
  const found = new Map<number, string>();
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  for (const name of readdirSync(folder)) {
    const index = new RegExp(`^${direction}-(\\d+)$`).exec(name)?.[1];
    if (index !== undefined) found.set(Number(index), join(folder, name));
  }
  return found;
}

/** An interface that went leaves a link without one, also when another has its number by now. */
function lives(path: string, index: number): boolean {
  const link = openLink(path);
  const alive = link?.info().interfaceIndex === index;
  link?.close();
  return alive;
}

/** Names of the interfaces that have nothing of ours in that direction. Changes nothing. */
export function interfacesWithout(folder: string, direction: Direction): string[] {
  const known = existsSync(folder) ? pinned(folder, direction) : new Map<number, string>();
  return [...interfaces()].flatMap(([index, name]) => {
    const path = known.get(index);
    return path !== undefined && lives(path, index) ? [] : [name];
  });
}

/** Attaches to every interface that has nothing of ours in that direction, and forgets those that went. */
export function attachInterfaces(folder: string, direction: Direction, program: BpfProgram): void {
  const present = interfaces();
  const known = pinned(folder, direction);
  for (const [index, path] of known) {
    if (present.has(index) && lives(path, index)) continue;
    rmSync(path, { force: true });
    known.delete(index);
  }
  for (const index of present.keys()) {
    if (known.has(index)) continue;
    try {
      const link = attach(program, index, attachTypes[direction]);
      link.pin(join(folder, `${direction}-${index}`));
      link.close();
    } catch (error) {
      // It went meanwhile, or somebody else of us was as quick.
      if (errnoOf(error) !== ENODEV && errnoOf(error) !== EEXIST) throw error;
    }
  }
}

export function detachInterfaces(folder: string, direction: Direction): void {
  for (const path of pinned(folder, direction).values()) removeFolder(path);
}
