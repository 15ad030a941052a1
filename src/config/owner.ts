/**
 * Whose sockets are meant: units, users and groups as they are written, and what else is written in
 * their place. Whether they exist is asked later, by the host that applies the rules.
 */
import type { Refusal } from "../model/address.js";
import {
  isAccountName,
  isIdText,
  isOwnerUnit,
  MAX_ACCOUNT_LENGTH,
  MAX_UNIT_LENGTH,
} from "../model/owner.js";
import type { Owner, WildcardPolicies, WildcardPolicy } from "../model/mapping.js";
import { quote } from "./source.js";

type Parsed<Value> = { ok: true; value: Value } | Refusal;

export type AccountKind = "user" | "group";

/** What systemd has units of (systemd.unit(5)). */
const UNIT_SUFFIX =
  /\.(?:service|socket|device|mount|automount|swap|target|path|timer|slice|scope)$/;

/** Words that stand for no unit, user or group, and that YAML 1.1 or people take for a value. */
const noName = /^(?:yes|no|on|off|true|false|null|none|any|anyone|anybody|everyone|all|\*)$/i;

function refuse(reason: string, hint: string): Refusal {
  return { ok: false, reason, hint };
}

/**
 * Parses the name of a unit. Without a suffix it is a service, as for systemctl. A `.socket` unit
 * is refused, since the service that it starts may have another name.
 */
export function parseUnit(text: string): Parsed<string> {
  if (text === "") return refuse("the unit is empty", "write its name, such as nginx.service");
  if (noName.test(text)) {
    return refuse(
      `${quote(text)} is not the name of a unit`,
      "leave unit out for any; write the suffix too when a unit has this name",
    );
  }
  const unit = UNIT_SUFFIX.test(text) ? text : `${text}.service`;
  if (unit.length > MAX_UNIT_LENGTH) {
    return refuse(
      `the unit ${quote(text)} has ${unit.length} characters`,
      `the name of a unit has at most ${MAX_UNIT_LENGTH}, with its suffix`,
    );
  }
  if (isOwnerUnit(unit)) return { ok: true, value: unit };
  return refuseUnit(text, unit);
}

function refuseUnit(text: string, unit: string): Refusal {
  const last = text.split("/").findLast((part) => part !== "") ?? "";
  if (text.includes("/")) {
    const parsed = parseUnit(last);
    return refuse(
      `the unit ${quote(text)} is a path`,
      parsed.ok ? `write ${parsed.value}` : "write the name of the unit, such as nginx.service",
    );
  }
  const [, stem = "", suffix = ""] = /^(.*)\.([a-z]+)$/s.exec(unit) ?? [];
  const service = `${stem}.service`;
  if (suffix === "socket" && isOwnerUnit(service)) {
    return refuse(
      `the unit ${text} is a socket`,
      `write ${service}: the sockets that ${text} makes count as its own`,
    );
  }
  if (suffix === "slice") {
    return refuse(
      `the unit ${quote(text)} is a slice, which holds many units`,
      "write the service or scope inside it",
    );
  }
  if (suffix !== "service" && suffix !== "scope") {
    return refuse(
      `the unit ${quote(text)} is a ${suffix}, and only services and scopes have sockets`,
      isOwnerUnit(service) ? `write ${service}, if that is what it starts` : "write the service",
    );
  }
  if (/^[^@]+@$/.test(stem)) {
    return refuse(
      `the unit ${quote(text)} is a template`,
      `write the instance too, such as ${stem}1.${suffix}`,
    );
  }
  return refuse(
    `the unit ${quote(text)} is not the name of a unit`,
    'a unit has a-z, A-Z, 0-9 and any of : _ . - @ \\ in its name, such as "nginx.service"',
  );
}

/** Returns the parser of a user or a group: a name, or the id in digits. */
export function parseAccount(kind: AccountKind): (text: string) => Parsed<string | number> {
  const example = kind === "user" ? "www-data" : "adm";
  return (text) => {
    if (isIdText(text)) return { ok: true, value: Number(text) };
    if (noName.test(text)) {
      return refuse(
        `${quote(text)} is not the name of a ${kind}`,
        `leave ${kind} out for any; for a ${kind} of this name, write the numeric id`,
      );
    }
    if (isAccountName(text)) return { ok: true, value: text };
    if (text === "") return refuse(`the ${kind} is empty`, `write its name, such as ${example}`);
    if (/^[0-9]+$/.test(text)) {
      return refuse(
        `the id ${quote(text)} does not exist`,
        `the id of a ${kind} is 0 to 4294967294, without leading zeros`,
      );
    }
    if (text.length > MAX_ACCOUNT_LENGTH) {
      return refuse(
        `the ${kind} ${quote(text)} has ${text.length} characters`,
        `a name has at most ${MAX_ACCOUNT_LENGTH}: write the numeric id`,
      );
    }
    if (/^[^:\s]+:[^:\s]+$/.test(text)) {
      const [user = "", group = ""] = text.split(":");
      return refuse(
        `the ${kind} ${quote(text)} is a user and a group`,
        `write user: ${user} and group: ${group}`,
      );
    }
    return refuse(
      `the ${kind} ${quote(text)} is not the name of a ${kind}`,
      `a name has letters, digits, "_", "-" and ".", such as ${example}; for another one, write the numeric id`,
    );
  };
}

/** Parses the user of a policy, which is a key: a name, or the id in digits. */
export function parsePolicyUser(text: string): Parsed<string> {
  const parsed = parseAccount("user")(text);
  return parsed.ok ? { ok: true, value: String(parsed.value) } : parsed;
}

/** Returns the owner that the keys of a service or of `listeners` describe, or null for none. */
export function ownerOf({ unit, user, group }: OwnerKeys): Owner | null {
  if (unit === undefined && user === undefined && group === undefined) return null;
  return {
    ...(unit !== undefined && { unit }),
    ...(user !== undefined && { user }),
    ...(group !== undefined && { group }),
  };
}

export interface OwnerKeys {
  readonly unit?: string | undefined;
  readonly user?: string | number | undefined;
  readonly group?: string | number | undefined;
}

/** The policies as they are written: one for all, or by who binds. */
export type WrittenPolicies =
  | WildcardPolicy
  | {
      readonly default?: WildcardPolicy | undefined;
      readonly units?: Readonly<Record<string, WildcardPolicy>> | undefined;
      readonly users?: Readonly<Record<string, WildcardPolicy>> | undefined;
    };

/** Notes what is wrong with the key at this path. */
type ReportKey = (path: readonly string[], reason: string, hint: string) => void;

/** Returns policies with canonical names, sorted. Returns null when it has reported a mistake. */
export function policiesOf(written: WrittenPolicies, report: ReportKey): WildcardPolicies | null {
  if (typeof written === "string") return { default: written };
  let sound = true;
  const note: ReportKey = (path, reason, hint) => {
    sound = false;
    report(path, reason, hint);
  };
  const units = named(written.units, "units", parseUnit, note);
  const users = named(written.users, "users", parsePolicyUser, note);
  const policies = {
    ...(written.default !== undefined && { default: written.default }),
    ...(units && { units }),
    ...(users && { users }),
  };
  if (sound && Object.keys(policies).length === 0) {
    note([], "this says nothing", "write default, units or users, or remove it");
  }
  return sound ? policies : null;
}

function named(
  written: Readonly<Record<string, WildcardPolicy>> | undefined,
  key: "units" | "users",
  parse: (text: string) => Parsed<string>,
  report: ReportKey,
): Readonly<Record<string, WildcardPolicy>> | undefined {
  if (written === undefined) return undefined;
  const found = new Map<string, WildcardPolicy>();
  for (const [text, policy] of Object.entries(written)) {
    const parsed = parse(text);
    if (!parsed.ok) report([key, text], parsed.reason, parsed.hint);
    else if (found.has(parsed.value)) {
      report([key, text], `${parsed.value} is in the list already`, "remove one of the two");
    } else found.set(parsed.value, policy);
  }
  const names = [...found.keys()].toSorted();
  if (Object.keys(written).length === 0) {
    report([key], `${key} has no names`, `write a name with its policy, or remove ${key}`);
  }
  return Object.fromEntries(names.map((name) => [name, found.get(name) ?? "allow"]));
}
