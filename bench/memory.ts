/** What the kernel holds for one network namespace, as it accounts for it. */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { registryMaps } from "../src/dataplane/install/registry.js";
import { type Numbered, Pins, folderName, pinPath } from "../src/kernel/pins.js";

const MIB = 1024 * 1024;

function bpftool(...words: readonly string[]): unknown {
  return JSON.parse(execFileSync("bpftool", ["-j", ...words], { encoding: "utf8" }));
}

interface MapInfo {
  readonly id: number;
  readonly bytes_memlock: number;
}

function mapInfo(...which: readonly string[]): MapInfo {
  return bpftool("map", "show", ...which) as MapInfo;
}

/** MiB: of the active rules alone, and of the registry, which stays whatever they are. */
export function kernelMemory(netnsInode: number): { tables: number; registry: number } {
  const base = pinPath(netnsInode);
  const pins = Pins.open(netnsInode);
  const only = (kind: Numbered): string => {
    const [found, ...others] = pins?.numbers(kind) ?? [];
    if (found === undefined || others.length > 0) throw new Error(`not one ${kind} below ${base}`);
    return join(base, folderName(kind, found));
  };
  const generation = only("generation");
  const programs = only("programs");
  const registry = only("registry");
  pins?.close();
  const shared = registryMaps.map((name) => mapInfo("pinned", join(registry, name)));
  // What the programs read, and what only the control plane does; the programs read the registry
  // too.
  const ids = new Set<number>();
  for (const name of ["program", "steer", "icmp"]) {
    const path = join(programs, name);
    if (!existsSync(path)) continue;
    const { map_ids = [] } = bpftool("prog", "show", "pinned", path) as {
      map_ids?: number[];
    };
    for (const id of map_ids) ids.add(id);
  }
  for (const name of ["carried", "source", "names", "below"]) {
    ids.add(mapInfo("pinned", join(generation, name)).id);
  }
  for (const { id } of shared) ids.delete(id);
  const own = [...ids].map((id) => mapInfo("id", String(id)));
  const sum = (maps: readonly MapInfo[]): number =>
    maps.reduce((total, map) => total + map.bytes_memlock, 0) / MIB;
  return { tables: sum(own), registry: sum(shared) };
}
