/**
 * What is to be adopted: the facts of a host, turned into services and a list of what stays as it
 * is. Pure.
 */
import { isLoopback, type Family } from "../model/address.js";
import type { LeftKind } from "../model/adopt.js";
import { portsContain } from "../model/ports.js";
import type { Listener } from "../model/listener.js";
import { isAccountName } from "../model/owner.js";
import type { Facts, Found, KnownService } from "./facts.js";
import { hostsOwn, receiverPorts, speaksFirst } from "./known.js";
import {
  isNamed,
  isOf,
  nameFor,
  ownerOf,
  ownerText,
  type AdoptedOwner,
  type AdoptedPort,
  type AdoptedService,
  type HeldPort,
  type Left,
  type Plan,
  type Restart,
} from "./service.js";
import { HOLD } from "./text.js";

export interface PlanOptions {
  /** The services or units that are asked for; empty for all. */
  readonly names: readonly string[];
  /** Commands that restart what systemd cannot, by the service's name. */
  readonly restarts: ReadonlyMap<string, string>;
  /** The services or units that are to get a socket unit. */
  readonly socketUnits: readonly string[];
}

export function makePlan(facts: Facts, options: PlanOptions): Plan {
  const { names } = options;
  const left: Left[] = [];
  const wanted: { found: Found; owner: AdoptedOwner }[] = [];
  const own = new Set(facts.known.flatMap(({ addresses }) => addresses));
  for (const found of facts.found) {
    // What is at home was adopted before.
    if (own.has(found.listener.address)) continue;
    const judged = judge(found, facts);
    if ("reason" in judged) left.push({ found, ...judged });
    else wanted.push({ found, owner: judged });
  }
  const groups = new Map<string, { owner: AdoptedOwner; all: Found[] }>();
  for (const { found, owner } of wanted) {
    const key = ownerText(owner);
    if (isAtHome(owner, facts)) {
      const reason = "its daemon is adopted already, and stays on every address with this port";
      left.push({ found, kind: "unpublished", reason });
      continue;
    }
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { owner, all: [found] });
    else group.all.push(found);
  }
  dropShared(groups, facts, left);
  const namesTaken = new Set([HOLD, ...facts.known.map(({ name }) => name)]);
  const services: AdoptedService[] = [];
  for (const { owner, all } of groups.values()) {
    const known = facts.known.find((one) => ownerText(ownerOf(one)) === ownerText(owner));
    const name = known?.name ?? freeName(owner, namesTaken);
    namesTaken.add(name);
    services.push(serviceOf({ name, owner, all, facts, options }));
  }
  for (const one of facts.known) {
    if (services.some(({ name }) => name === one.name)) continue;
    services.push(knownService(one, facts, options));
  }
  const isAsked = ({ name, owner }: AdoptedService): boolean =>
    names.length === 0 || names.some((asked) => isNamed(asked, name, owner));
  const asked = services.filter(isAsked);
  for (const { owner, all } of groups.values()) {
    if (asked.some((one) => ownerText(one.owner) === ownerText(owner))) continue;
    left.push(
      ...all.map((found): Left => ({
        found,
        kind: "not-asked",
        reason: "was not asked for by its name",
      })),
    );
  }
  return {
    services: asked.toSorted(
      (a, b) => Number(a.isSsh) - Number(b.isSsh) || a.name.localeCompare(b.name),
    ),
    left: left.toSorted((a, b) => compareFound(a.found, b.found)),
  };
}

/** Reports whether an owner is in the file, and listens on its own addresses. */
function isAtHome(owner: AdoptedOwner, facts: Facts): boolean {
  const known = facts.known.find((one) => ownerText(ownerOf(one)) === ownerText(owner));
  return facts.found.some(
    (found) =>
      isOf(found, owner, facts) && known?.addresses.includes(found.listener.address) === true,
  );
}

function compareFound(a: Found, b: Found): number {
  return (
    a.listener.port - b.listener.port ||
    a.listener.protocol.localeCompare(b.listener.protocol) ||
    a.listener.address.localeCompare(b.listener.address)
  );
}

type Refused = Omit<Left, "found">;

/** Returns the owner of what is to be adopted, or why it is left alone. */
function judge(found: Found, facts: Facts): AdoptedOwner | Refused {
  const { listener, holder, unit } = found;
  const { address, port, protocol } = listener;
  if (listener.inode === 0 || holder === null) {
    return refuse(
      "kernel",
      "no process of this host has it: it is the kernel's, or in a container",
    );
  }
  if (holder.pid === facts.self) return refuse("system", "it belongs to this command");
  if (listener.device !== 0) {
    return refuse("device", `it is bound to the interface ${listener.deviceName}`);
  }
  if (!listener.wildcard) {
    return isLoopback(address)
      ? refuse("loopback", "only this host itself reaches it")
      : refuse("address", "it listens on an address of its own, and is reached there as it is");
  }
  const container = containerOf(found);
  if (container !== null) return refuse("container", container);
  if (protocol === "udp") {
    const receives = receiverPorts.get(port);
    if (receives !== undefined) return refuse("group", receives);
    const speaks = speaksFirst(holder.command, port);
    if (speaks !== null) return refuse("speaks-first", speaks);
  }
  if (isAssigned(port, facts)) {
    return protocol === "udp"
      ? refuse("client", "the kernel assigns this port to clients, and that is probably one")
      : refuse("assigned", "the kernel assigns this port to programs that ask for any");
  }
  if (unit !== null && hostsOwn.test(unit)) {
    return refuse("system", `${unit} is a part of the system itself`);
  }
  if (unit !== null && !unit.endsWith(".scope")) return { unit };
  if (unit === null && holder.pid === 1) {
    return refuse("system", "the first process of the host has it itself");
  }
  return byUser(found, facts);
}

function refuse(kind: LeftKind, reason: string): Refused {
  return { kind, reason };
}

function isAssigned(port: number, { ephemeral }: Facts): boolean {
  if (ephemeral === null) return false;
  return portsContain([ephemeral.range], port) && !portsContain(ephemeral.reserved, port);
}

const containerPrograms =
  /^(?:docker-proxy|rootlessport|rootlesskit|slirp4netns|pasta(?:\.avx2)?|conmon)$/;
const containerGroups = /\/(?:docker|libpod|crio|cri-containerd|machine|lxc)(?:[-/.])/;

function containerOf({ holder }: Found): string | null {
  if (holder === null) return null;
  if (containerPrograms.test(holder.command)) return "it forwards a port of a container";
  return containerGroups.test(holder.cgroup) ? "its process is in a container" : null;
}

/** A service by its user, where nobody else has the same user. */
function byUser({ listener, unit }: Found, facts: Facts): AdoptedOwner | Refused {
  const { uid } = listener.identity;
  const where = unit === null ? "in no unit" : `in ${unit}, which ends with its login`;
  if (uid === 0) {
    return refuse("session", `root started it ${where}: make a unit of it, and adopt that`);
  }
  const user = facts.userName(uid);
  if (user === "nobody" || !isAccountName(user)) {
    return refuse("user", `it is ${where}, and the user ${user} is nobody in particular`);
  }
  const others = facts.found.some(
    (one) => one.listener.identity.uid === uid && one.unit !== null && !one.unit.endsWith(".scope"),
  );
  return others
    ? refuse("user", `it is ${where}, and the user ${user} also runs units that listen`)
    : { user };
}

/** Drops owners of whom one would lose what it has, were the other one's ports published. */
function dropShared(
  groups: Map<string, { owner: AdoptedOwner; all: Found[] }>,
  facts: Facts,
  left: Left[],
): void {
  const dropped = new Map<string, string>();
  const keyOf = ({ protocol, port }: Listener): string => `${protocol} ${port}`;
  const byPort = new Map<string, Set<string>>();
  for (const [key, { all }] of groups) {
    for (const { listener } of all) {
      const at = byPort.get(keyOf(listener)) ?? new Set();
      byPort.set(keyOf(listener), at.add(key));
    }
  }
  for (const [port, owners] of byPort) {
    if (owners.size < 2) continue;
    for (const owner of owners) {
      const others = [...owners].filter((one) => one !== owner);
      dropped.set(owner, `it shares ${port} with the ${others.join(" and the ")}`);
    }
  }
  for (const found of facts.found) {
    const { listener } = found;
    if (listener.wildcard || listener.identity.uid === 0) continue;
    const isHosts = isLoopback(listener.address);
    if (isHosts && listener.port < facts.firstUnprivileged) continue;
    for (const key of byPort.get(keyOf(listener)) ?? []) {
      const group = groups.get(key);
      if (group === undefined || isOf(found, group.owner, facts)) continue;
      dropped.set(
        key,
        `another user's ${found.holder?.command ?? "process"} listens on ${listener.address} with the same port (${keyOf(listener)})`,
      );
    }
  }
  for (const [key, reason] of dropped) {
    const group = groups.get(key);
    groups.delete(key);
    for (const found of group?.all ?? []) left.push({ found, kind: "shared", reason });
  }
}

/** Returns a name that no other service has. */
function freeName(owner: AdoptedOwner, taken: ReadonlySet<string>): string {
  const name = nameFor(owner);
  if (!taken.has(name)) return name;
  for (let number = 2; ; number += 1) {
    if (!taken.has(`${name}-${number}`)) return `${name}-${number}`;
  }
}

interface Gathered {
  readonly name: string;
  readonly owner: AdoptedOwner;
  readonly all: readonly Found[];
  readonly facts: Facts;
  readonly options: PlanOptions;
}

function serviceOf({ name, owner, all, facts, options }: Gathered): AdoptedService {
  const ports = new Map<string, AdoptedPort>();
  for (const { listener } of all) {
    const { protocol, port } = listener;
    const key = `${protocol} ${port}`;
    const before = ports.get(key)?.families ?? [];
    const families = united(before, familiesOf(listener));
    ports.set(key, { protocol, port, families });
  }
  const mine = facts.found.filter((found) => isOf(found, owner, facts));
  return {
    name,
    owner,
    ports: [...ports.values()].toSorted(comparePorts),
    held: heldOf(
      mine.filter((found) => !all.includes(found)),
      facts,
    ),
    restart: restartOf(name, owner, mine, facts, options),
    isSsh: mine.some(({ holder, socketUnit }) => isSshd(holder?.command, socketUnit)),
    mptcp: all.some(({ listener }) => listener.kind === "mptcp"),
    reuseport: all.some(({ listener }) => listener.reuseport),
    place: "wildcard",
    command: all.find(({ holder }) => holder?.pid !== 1)?.holder?.command ?? name,
  };
}

function isSshd(command: string | undefined, socketUnit: string | null): boolean {
  return command === "sshd" || /^sshd?\.socket$/.test(socketUnit ?? "");
}

function comparePorts(a: AdoptedPort, b: AdoptedPort): number {
  return a.port - b.port || a.protocol.localeCompare(b.protocol);
}

function united(...lists: readonly (readonly Family[])[]): Family[] {
  return [...new Set(lists.flat())].toSorted((a, b) => a - b);
}

/** Returns the families of the clients that a listener serves. */
function familiesOf({ family, v6only, address }: Listener): Family[] {
  if (family === 4) return [4];
  // One on a v4-mapped address takes IPv6 only through ilm.
  if (address !== "::" && !address.includes(":")) return [4];
  return v6only || address !== "::" ? [6] : [4, 6];
}

function heldOf(others: readonly Found[], facts: Facts): HeldPort[] {
  const held = new Map<string, HeldPort>();
  for (const { listener } of others) {
    const { protocol, port, address, wildcard } = listener;
    const mayChange = isAssigned(port, facts);
    // A client's socket is not missed.
    if (listener.device !== 0 || (protocol === "udp" && mayChange)) continue;
    const at = wildcard ? null : address;
    const key = `${protocol} ${at ?? "*"} ${port}`;
    const before = held.get(key)?.families ?? [];
    const families = united(before, familiesOf(listener));
    held.set(key, { protocol, port, address: at, families, mayChange });
  }
  return [...held.values()];
}

function restartOf(
  name: string,
  owner: AdoptedOwner,
  mine: readonly Found[],
  { units, ownSockets }: Facts,
  { restarts, socketUnits }: PlanOptions,
): Restart {
  for (const [asked, command] of restarts) {
    if (isNamed(asked, name, owner)) return { kind: "command", command };
  }
  if (!("unit" in owner) || units.size === 0) return { kind: "unknown" };
  // To restart all that a user runs is not for us to do.
  if (/^user@[0-9]+\.service$/.test(owner.unit)) return { kind: "unknown" };
  const sockets = [...new Set(mine.flatMap(({ socketUnit }) => socketUnit ?? []))].toSorted();
  const socket = owner.unit.replace(/\.service$/, ".socket");
  if (ownSockets.has(socket)) return { kind: "from-socket", unit: owner.unit, socket };
  if (sockets.length === 0) {
    const isAsked = socketUnits.some((asked) => isNamed(asked, name, owner));
    return isAsked
      ? { kind: "to-socket", unit: owner.unit, socket }
      : { kind: "unit", unit: owner.unit };
  }
  const services = sockets
    .flatMap((socket) =>
      units.get(socket)?.accepts === true ? [] : (units.get(socket)?.triggers ?? []),
    )
    .filter((service) => units.get(service)?.active === true);
  return { kind: "sockets", sockets, services: [...new Set(services)].toSorted() };
}

/** A service of the file whose daemon listens on no wildcard address at the moment. */
function knownService(known: KnownService, facts: Facts, options: PlanOptions): AdoptedService {
  const owner = ownerOf(known);
  const mine = facts.found.filter((found) => isOf(found, owner, facts));
  const isHome = ({ listener }: Found): boolean => known.addresses.includes(listener.address);
  const home = mine.filter(isHome);
  const ports = known.publish.map((text): AdoptedPort => {
    const [, port = "", protocol = "tcp"] = /^([0-9]+)(?:\/(tcp|udp))?$/.exec(text) ?? [];
    const there = home.filter(
      ({ listener }) => listener.protocol === protocol && listener.port === Number(port),
    );
    return {
      protocol: protocol === "udp" ? "udp" : "tcp",
      port: Number(port),
      families: united(there.flatMap(({ listener }) => takenAtHome(listener))),
    };
  });
  return {
    name: known.name,
    owner,
    ports,
    held: heldOf(
      mine.filter((found) => !isHome(found)),
      facts,
    ),
    restart: restartOf(known.name, owner, mine, facts, options),
    isSsh:
      mine.some(({ holder, socketUnit }) => isSshd(holder?.command, socketUnit)) ||
      ("unit" in owner && /^sshd?\.service$/.test(owner.unit)),
    mptcp: known.mptcpOff,
    reuseport: home.some(({ listener }) => listener.reuseport),
    place: home.length > 0 ? "private" : "nowhere",
    command: home.find(({ holder }) => holder?.pid !== 1)?.holder?.command ?? known.name,
  };
}

/** At a service's own address, a dual-stack socket is bound to the IPv4 one. */
function takenAtHome({ family, v6only, address }: Listener): Family[] {
  if (family === 4) return [4];
  if (address.includes(":")) return [6];
  return v6only ? [4] : [4, 6];
}
