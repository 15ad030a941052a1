/** Units and accounts by which sockets are recognised, and the lists of them. */
import { type Listeners, type Owner, MAX_ID } from "./mapping.js";

/** The maximum length of a unit's name (systemd: UNIT_NAME_MAX, with the final NUL). */
export const MAX_UNIT_LENGTH = 255;

/** The maximum length of a user's or a group's name, as useradd and systemd have it. */
export const MAX_ACCOUNT_LENGTH = 31;

/**
 * Reports whether the text is the name of a unit whose processes may own sockets: a service or a
 * scope, with its suffix, and with its instance if it is made of a template.
 */
export function isOwnerUnit(text: string): boolean {
  return (
    text.length <= MAX_UNIT_LENGTH &&
    /^(?!@)[a-zA-Z0-9:_.\-@\\]+\.(?:service|scope)$/.test(text) &&
    !/^[^@]+@\.[a-z]+$/.test(text)
  );
}

/** Reports whether the text is the name of a user or a group, and no number. */
export function isAccountName(text: string): boolean {
  return (
    text.length <= MAX_ACCOUNT_LENGTH &&
    /^[a-zA-Z0-9_.][a-zA-Z0-9_.-]*\$?$/.test(text) &&
    !/^(?:[0-9]+|\.{1,2})$/.test(text)
  );
}

/** Reports whether the text is the id of a user or a group in decimal digits. */
export function isIdText(text: string): boolean {
  return /^(?:0|[1-9][0-9]{0,9})$/.test(text) && Number(text) <= MAX_ID;
}

/** Sorts owners, without duplicates, so that another order in the file is no change. */
export function canonicalListeners(listeners: Listeners): Listeners {
  if (listeners === "anyone") return listeners;
  const byText = new Map(listeners.map((owner) => [JSON.stringify(owner), owner]));
  return [...byText.keys()].toSorted().flatMap((text) => byText.get(text) ?? []);
}

/** Formats `anyone`, or owners as `unit nginx.service and user www-data, group adm`. */
export function formatListeners(listeners: Listeners): string {
  return listeners === "anyone" ? listeners : listeners.map(formatOwner).join(", ");
}

/** Formats an owner as `unit nginx.service and user www-data`. */
export function formatOwner({ unit, user, group }: Owner): string {
  const parts = [
    ...(unit === undefined ? [] : [`unit ${unit}`]),
    ...(user === undefined ? [] : [`user ${user}`]),
    ...(group === undefined ? [] : [`group ${group}`]),
  ];
  return parts.join(" and ");
}
