/** What was refused or reported, in words. Pure. */
import type { Mapping, Owner, Service } from "../model/mapping.js";
import { formatEndpoint } from "../model/endpoint.js";
import type { RefusedAttempt } from "../model/refusal.js";
import { describeOwned, describePermitted } from "./stranger.js";
import { printable } from "./text.js";

/** Who tried, as far as it is known. */
export interface Tried {
  readonly command: string | null;
  readonly pid: number | null;
  readonly user: string | null;
  readonly unit: string | null;
}

/** What the address and port belong to. */
export interface Belonging {
  /** The service of the address. */
  readonly service?: Service | undefined;
  /** The mapping that decides there. */
  readonly mapping?: Mapping | undefined;
  /** The services, for those that the mapping leads to. */
  readonly services: readonly Service[];
}

/** What systemd calls the process in which it opens a socket unit's sockets (src/core/socket.c). */
const SOCKET_UNIT_OPENER = "(sd-listen)";

/**
 * Describes who tried: `python3 (pid 812, user tester, unit legacy.service)`, or `systemd, for a
 * socket unit (pid 812, user root)`.
 */
export function describeTried({ command, pid, user, unit }: Tried): string {
  const details = [
    ...(pid === null ? [] : [`pid ${pid}`]),
    ...(user === null ? [] : [`user ${printable(user)}`]),
    ...(unit === null ? [] : [`unit ${printable(unit)}`]),
  ];
  const name =
    command === null || command === ""
      ? "a process"
      : command === SOCKET_UNIT_OPENER
        ? "systemd, for a socket unit"
        : printable(command);
  return details.length === 0 ? name : `${name} (${details.join(", ")})`;
}

/** Formats what it was about: `tcp 203.0.113.1:6000`. */
export function describeAttempted({ protocol, address, port }: RefusedAttempt): string {
  return `${protocol} ${formatEndpoint(address, port)}`;
}

function ownedOf(services: readonly Service[], address: string) {
  const service = services.find(({ addresses }) => addresses.some((one) => one === address));
  const owner: Owner | undefined = service?.owner;
  return service === undefined || owner === undefined ? undefined : { service, owner };
}

/** Says why, as a clause that follows a colon. */
export function describeReason(
  { reason, address }: Pick<RefusedAttempt, "reason" | "address">,
  { mapping, services }: Belonging,
): string {
  const owned = ownedOf(services, address);
  const ofMapping =
    mapping === undefined
      ? "a mapping covers it and does not permit it"
      : `mapping ${printable(mapping.name)} covers it, and permits only ${describePermitted(mapping, (at) => ownedOf(services, at))}`;
  switch (reason) {
    case "address":
      return owned === undefined
        ? "the address belongs to a service"
        : `the address belongs to ${describeOwned(owned)}`;
    case "mapped":
      return ofMapping;
    case "lookup":
      return owned === undefined || mapping !== undefined
        ? `only a stranger listens there: ${ofMapping}`
        : `only a stranger listens there: the address belongs to ${describeOwned(owned)}`;
    case "wildcard":
      return "its policy for binds to every address (`wildcard`) is deny";
    case "reported":
      return "its policy for binds to every address (`wildcard`) is report";
  }
}

/** Describes what happened as a clause: `python3 (pid 812) was not allowed to bind to ...`. */
export function describeRefused(attempt: RefusedAttempt, who: Tried, to: Belonging): string {
  const what = describeAttempted(attempt);
  const why = describeReason(attempt, to);
  switch (attempt.reason) {
    case "lookup":
      return `a packet to ${what} reached nobody: ${why}`;
    case "reported":
      return `${describeTried(who)} bound to ${what}: ${why}`;
    case "address":
    case "mapped":
    case "wildcard":
      return `${describeTried(who)} was not allowed to bind to ${what}: ${why}`;
  }
}

/** Returns what to do about it, in imperative sentences. */
export function remedyForRefused(attempt: RefusedAttempt, { service, mapping }: Belonging): string {
  const ofMapping = `\`listeners\` of ${mapping === undefined ? "the mapping" : `mapping ${printable(mapping.name)}`}`;
  switch (attempt.reason) {
    case "address":
      if (attempt.command === SOCKET_UNIT_OPENER) {
        return `Give the socket unit an address of its own; \`systemctl --failed\` names it. If it is for ${printable(service?.name ?? "the service")}, name it as the service's \`unit\`: \`Service=\` of a socket unit does not count.`;
      }
      if (attempt.pid === 1) {
        return `Give the socket unit that systemd opens there an address of its own. If it is for ${printable(service?.name ?? "the service")}, write \`user\` in the place of the service's \`unit\`: this systemd opens sockets outside of the socket unit's cgroup, as it does where cgroup v2 is not the only hierarchy (systemd.unified_cgroup_hierarchy=1).`;
      }
      return `Give it an address of its own. If it is ${printable(service?.name ?? "the service")}, correct \`unit\`, \`user\` or \`group\` of the service, or start it as they say.`;
    case "mapped":
      return `Let it bind to another address or port, or name its unit, user or group in ${ofMapping}.`;
    case "lookup":
      return `Run \`ilm explain ${attempt.protocol} ${formatEndpoint(attempt.address, attempt.port)}\`, which says who listens there; stop it, or permit it (${service === undefined ? ofMapping : "the owner of the service"}).`;
    case "wildcard":
      return "Let it bind to an address of its own, or set `wildcard: allow` for its service, unit or user.";
    case "reported":
      return "Let it bind to an address of its own before its policy becomes deny, or set `wildcard: allow` for its service, unit or user.";
  }
}
