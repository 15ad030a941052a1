/**
 * What is attached to the namespace's interfaces. At ingress, a small program calls the active
 * generation's ingress program, which one map update changes for all interfaces; at egress, a
 * program gives answers the port that was dialled.
 */
import { Errno } from "../../kernel/errno.js";
import { BpfObject } from "../../kernel/bpf/object.js";
import { type BpfProgram, programName } from "../../kernel/bpf/program.js";
import {
  AttachType,
  type KnownLinks,
  type LinkInfo,
  attach,
  attachFirst,
  chainOf,
  openLink,
} from "../../kernel/bpf/link.js";
import { errnoOf } from "../../kernel/ffi.js";
import type { Folder } from "../../kernel/folder.js";
import { interfaces } from "../../kernel/interfaces.js";
import { objectPath } from "../objects.js";
import type { Overtaken } from "../types.js";

/** An index that no interface has: the kernel assigns small numbers first. */
const NO_INTERFACE = 0x7fffffff;

export const directions = ["ingress", "egress"] as const;
export type Direction = (typeof directions)[number];
const attachTypes = {
  ingress: AttachType.tcxIngress,
  egress: AttachType.tcxEgress,
} as const satisfies Record<Direction, AttachType>;

/**
 * Reports whether this kernel has tcx (6.6). If so, it answers that there is no such interface;
 * otherwise, that there is no such hook.
 */
export function ingressIsPossible(): boolean {
  const object = new BpfObject(objectPath("hook"));
  try {
    object.load();
    const program = object.program("ilm_hook");
    try {
      attach(program, NO_INTERFACE, AttachType.tcxIngress).close();
      return true;
    } catch (error) {
      if (errnoOf(error) === Errno.ENODEV) return true;
      if (errnoOf(error) === Errno.EINVAL) return false;
      throw error;
    } finally {
      program.close();
    }
  } finally {
    object.close();
  }
}

/** Finds the links pinned for one direction among these names: interface index -> name. */
function pinned(names: readonly string[], direction: Direction): Map<number, string> {
  const found = new Map<number, string>();
  for (const name of names) {
    const index = new RegExp(`^${direction}-(\\d+)$`).exec(name)?.[1];
    if (index !== undefined) found.set(Number(index), name);
  }
  return found;
}

/**
 * Opens a link to read its state. Returns undefined when it is no longer on the interface: an
 * interface that went leaves a link without one, even if another interface has its number by now.
 */
function linkOn(folder: Folder, name: string, index: number): LinkInfo | undefined {
  const link = openLink(folder, name);
  const info = link?.info();
  link?.close();
  return isOn(info, index) ? info : undefined;
}

function isOn(info: LinkInfo | undefined, index: number): info is LinkInfo {
  return info?.interfaceIndex === index;
}

/**
 * Returns the names of the interfaces that have nothing of ours in that direction. Changes nothing.
 * `folder` is undefined when it does not exist yet.
 */
export function interfacesWithout(folder: Folder | undefined, direction: Direction): string[] {
  if (folder === undefined) return [...interfaces().values()];
  const known = pinned(folder.names(), direction);
  return [...interfaces()].flatMap(([index, name]) => {
    const pin = known.get(index);
    return pin !== undefined && linkOn(folder, pin, index) !== undefined ? [] : [name];
  });
}

/** Returns where others attached after us and run before us. Changes nothing. */
export function overtakenIn(folder: Folder, direction: Direction): Overtaken[] {
  const present = interfaces();
  return [...pinned(folder.names(), direction)].flatMap(([index, pin]) => {
    const ours = linkOn(folder, pin, index);
    const name = present.get(index);
    if (name === undefined || ours === undefined) return [];
    const chain = chainOrNone(index, direction);
    const before = chain.slice(0, Math.max(0, chain.indexOf(ours.programId)));
    if (before.length === 0) return [];
    const programs = before.map((id) => programName(id) || String(id));
    return [{ interface: name, direction, programs }];
  });
}

function chainOrNone(index: number, direction: Direction): number[] {
  try {
    return chainOf(index, attachTypes[direction]);
  } catch (error) {
    // The interface went meanwhile, or this kernel has no tcx.
    if (errnoOf(error) === Errno.ENODEV || errnoOf(error) === Errno.EINVAL) return [];
    throw error;
  }
}

/** The programs of the directions that are needed. */
export type WantedPrograms = Readonly<Partial<Record<Direction, BpfProgram>>>;

/**
 * Attaches to every interface that lacks our program in a needed direction, and forgets interfaces
 * that went. Returns where it had been detached, such as `ingress/eth0`.
 */
export function attachInterfaces(
  folder: Folder,
  wanted: WantedPrograms,
  links: KnownLinks,
): string[] {
  const present = interfaces();
  const names = folder.names();
  return directions.flatMap((direction) => {
    const program = wanted[direction];
    if (program === undefined) return [];
    return attachIn(folder, names, { direction, program, present, links }).map(
      (name) => `${direction}/${name}`,
    );
  });
}

interface InDirection {
  readonly direction: Direction;
  readonly program: BpfProgram;
  readonly present: ReadonlyMap<number, string>;
  readonly links: KnownLinks;
}

function attachIn(
  folder: Folder,
  names: readonly string[],
  { direction, program, present, links }: InDirection,
): string[] {
  const known = pinned(names, direction);
  const detached: string[] = [];
  for (const [index, name] of known) {
    if (present.has(index) && isOn(links.info(folder, names, name), index)) continue;
    const interfaceName = present.get(index);
    if (interfaceName !== undefined) detached.push(interfaceName);
    links.remove(folder, name);
    known.delete(index);
  }
  for (const [index, interfaceName] of present) {
    if (known.has(index)) continue;
    const pin = `${direction}-${index}`;
    if (links.isLost(names, pin)) detached.push(interfaceName);
    try {
      const link = attachFirst(program, index, attachTypes[direction]);
      links.pin(link, folder, pin);
      link.close();
    } catch (error) {
      // The interface went meanwhile, or another process of ours was as quick.
      if (errnoOf(error) !== Errno.ENODEV && errnoOf(error) !== Errno.EEXIST) throw error;
    }
  }
  return detached;
}

/** Returns our programs on this namespace's interfaces, whoever attached them. */
export function programsOnInterfaces(): number[] {
  const present = [...interfaces().keys()];
  return directions
    .flatMap((direction) => present.flatMap((index) => chainOrNone(index, direction)))
    .filter((id) => programName(id).startsWith("ilm_"));
}

export function detachInterfaces(folder: Folder, direction: Direction, links: KnownLinks): void {
  for (const name of pinned(folder.names(), direction).values()) links.remove(folder, name);
}
