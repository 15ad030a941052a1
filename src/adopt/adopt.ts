/** Adopts what listens on this host, or takes that back. */
import { randomBytes } from "node:crypto";
import { activeIfReadable } from "../control/active.js";
import { loadDesired } from "../control/desired.js";
import { readMachineId } from "../config/machine-id.js";
import { ownIpv4, ownIpv6, ulaOfMachine } from "../config/own-address.js";
import type { Performed, PerformOptions } from "../control/perform.js";
import { refuseBesidePending } from "../dataplane/beside-pending.js";
import type { DataPlane } from "../dataplane/types.js";
import { IlmError } from "../errors.js";
import { addressFromBytes, type Prefix } from "../model/address.js";
import type { Change } from "../rules/change.js";
import type { OwnAddresses } from "./daemons.js";
import type { Facts } from "./facts.js";
import { readAdoptFile, removeAdoptFile, writeAdoptFile, type AdoptFile } from "./file.js";
import { openHold } from "./hold.js";
import { lookAtHost, ownFamilies } from "./look.js";
import { Mover, writtenOf, type Moved, type SpareLeft, type Way } from "./move.js";
import { makePlan } from "./plan.js";
import { isNamed, type AdoptedService, type Plan } from "./service.js";
import { refuseOthersSocketUnit } from "./socket-unit.js";
import { sparePort } from "./ssh.js";
import {
  configurationText,
  HOLD,
  publishedText,
  type Configuration,
  type HoldAddresses,
  type WrittenService,
} from "./text.js";
import { areSameSources, listSources } from "../model/sources.js";

export interface AdoptOptions {
  /** False: nothing is to be moved, so a name may also be that of what is left alone. */
  readonly changes: boolean;
  readonly way: Way;
  readonly file: string;
  readonly names: readonly string[];
  readonly restarts: ReadonlyMap<string, string>;
  readonly socketUnits: readonly string[];
  readonly drainSeconds: number;
  readonly startSeconds: number;
  readonly loginSeconds: number;
  readonly spareSshPort: number | undefined;
}

/** What is to be done, and all that was found out for it. */
export interface Prepared {
  readonly file: AdoptFile;
  readonly facts: Facts;
  readonly plan: Plan;
  readonly written: readonly WrittenService[];
  readonly ula: string | null;
  readonly hold: HoldAddresses;
  readonly sparePort: number;
  /** The addresses that a service of this name gets. */
  readonly addressesOf: (name: string) => OwnAddresses;
  /** The configuration as it is to be in the end. */
  readonly configuration: string;
}

/** Looks at the host and makes the plan; changes nothing. */
export async function prepare(dataPlane: DataPlane, options: AdoptOptions): Promise<Prepared> {
  const file = await readAdoptFile(options.file);
  refuseOthersRules(dataPlane, file.path);
  const facts = await lookAtHost(dataPlane, file.known);
  const plan = makePlan(facts, options);
  if (options.changes) refuseUnknown(plan, options);
  for (const { restart } of plan.services) {
    if (restart.kind === "to-socket") refuseOthersSocketUnit(restart.socket);
  }
  const written = writtenOf(facts);
  const { prefix, ula } = ulaOfHost(file);
  const services = servicesAfter(plan, written, options.way);
  return {
    file,
    facts,
    plan,
    written,
    ula,
    hold: holdAddresses(prefix),
    sparePort: sparePort(
      facts.found.map(({ listener }) => listener),
      options.spareSshPort,
    ),
    addressesOf: (name) => ({ 4: ownIpv4(name), 6: ownIpv6(name, prefix) }),
    configuration: configurationText({ ula, services, move: null }),
  };
}

/** Adopting replaces the rules of a file, so it keeps away from those of others. */
function refuseOthersRules(dataPlane: DataPlane, path: string): void {
  const active = dataPlane.active();
  if (active === null) return;
  const { sources, file } = active.rules;
  if (!areSameSources(sources, [path]) && (file.count > 0 || file.head.services.length > 0)) {
    throw new IlmError(
      "USAGE",
      `the active rules are those of ${sources.length === 0 ? "a configuration that cannot be read again" : listSources(sources)}, and not of ${path}`,
      {
        remedy:
          "Adopting writes a first configuration. To add to an existing one, copy services from `ilm adopt --dry-run` after `ilm unload`, or run it where nothing is loaded.",
      },
    );
  }
  if (active.off) {
    throw new IlmError("USAGE", "ilm is off, so what is moved would not be reached", {
      remedy: "Run `ilm on` first.",
    });
  }
}

function refuseUnknown(
  { services }: Plan,
  { names, way, restarts, socketUnits }: AdoptOptions,
): void {
  const unknown = [...names, ...restarts.keys(), ...socketUnits].filter(
    (asked) => !services.some(({ name, owner }) => isNamed(asked, name, owner)),
  );
  if (unknown.length === 0) return;
  throw new IlmError("NOT_FOUND", `nothing to ${way} is called ${unknown.join(", ")}`, {
    remedy: "`ilm adopt --dry-run` shows the services, and what is left alone and why.",
  });
}

/** Returns the services that the file has in the end, if all goes well. */
export function servicesAfter(
  { services }: Plan,
  written: readonly WrittenService[],
  way: Way,
): WrittenService[] {
  const after = new Map(written.map((one) => [one.name, one]));
  for (const service of services) {
    if (way === "undo") after.delete(service.name);
    else if (isMovable(service) && service.place === "wildcard") {
      const { name, owner, ports, mptcp } = service;
      after.set(name, { name, owner, publish: publishedText(ports), mptcpOff: mptcp });
    }
  }
  return [...after.values()];
}

function isMovable({ restart }: AdoptedService): boolean {
  return restart.kind !== "unknown";
}

/** The /48 of the host's own addresses; `ula` is it where the file has to say it. */
function ulaOfHost({ ula }: AdoptFile): { prefix: Prefix; ula: string | null } {
  if (ula !== null) return { prefix: ula, ula };
  const machineId = readMachineId();
  if (machineId !== null) return { prefix: ulaOfMachine(machineId), ula: null };
  const bytes = new Uint8Array(16);
  bytes[0] = 0xfd;
  bytes.set(randomBytes(5), 1);
  const prefix = `${addressFromBytes(bytes)}/48` as Prefix;
  return { prefix, ula: prefix };
}

function holdAddresses(prefix: Prefix): HoldAddresses {
  const families = ownFamilies();
  return {
    4: ownIpv4(HOLD),
    ...(families.includes(6) && { 6: ownIpv6(HOLD, prefix) }),
  };
}

/** How changes are made, and who is told. */
export interface Means {
  performChange(dataPlane: DataPlane, change: Change, options?: PerformOptions): Promise<Performed>;
  say(text: string): void;
  isEnding(): boolean;
}

export interface Adopted {
  readonly moved: readonly Moved[];
  readonly spareLeft: SpareLeft | null;
  /** The services that the file has now. */
  readonly services: readonly WrittenService[];
  /** True when nothing was left to say, so that the rules are unloaded and the file is gone. */
  readonly unloaded: boolean;
}

/** Carries the plan out. */
export async function carryOut(
  dataPlane: DataPlane,
  prepared: Prepared,
  options: AdoptOptions,
  means: Means,
): Promise<Adopted> {
  const { file, plan, written, ula, hold: addresses, sparePort: port } = prepared;
  const { path } = file;
  // The file is written before the first change is made.
  const active = activeIfReadable(dataPlane);
  if (active !== null) refuseBesidePending(active.generation, active.pending);
  // Before the rules lead there, so that the sockets are known to them at once. Only one command
  // at a time can have them.
  const hold = openHold(addresses);
  const activate = async (configuration: Configuration): Promise<void> => {
    await writeAdoptFile(path, configurationText(configuration));
    const { sources, given, file: part } = await loadDesired({ paths: [path], mappings: [] });
    await means.performChange(dataPlane, { kind: "apply", sources, given, file: part });
  };
  try {
    const mover = new Mover(
      {
        activate,
        look: () => lookAtHost(dataPlane, file.known),
        listeners: () => dataPlane.listeners(),
        addressesOf: (name) =>
          dataPlane.active()?.rules.file.head.services.find((one) => one.name === name)
            ?.addresses ?? [],
        say: (text) => {
          means.say(text);
        },
        isEnding: () => means.isEnding(),
      },
      { ...options, sparePort: port, hold: addresses, ula },
      written,
    );
    const moved = await mover.moveAll(plan.services);
    const isEmpty = mover.written.length === 0 && file.exists;
    const unloaded = options.way === "undo" && isEmpty && (await leave(dataPlane, path, means));
    return { moved, spareLeft: mover.spareLeft, services: mover.written, unloaded };
  } finally {
    hold.close();
  }
}

/**
 * Removes the file and the rules, unless mappings were added at run time. A daemon that follows the
 * file ends with it.
 */
async function leave(dataPlane: DataPlane, path: string, means: Means): Promise<boolean> {
  const runtime = dataPlane.active()?.rules.runtime ?? [];
  if (runtime.length > 0) return false;
  await means.performChange(dataPlane, { kind: "unload" });
  removeAdoptFile(path);
  return true;
}
