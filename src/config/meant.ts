/**
 * A refusal that also says what the text was meant to be, so that an argument can be put together
 * again as a whole.
 */
import type { Refusal } from "../model/address.js";
import { quote } from "./source.js";

/** Parts of a mapping in the form of an argument. Parts that are left out are not needed. */
export interface Meant {
  /** The protocols, such as `udp` or `tcp+udp`. */
  readonly protocols?: string;
  /** The ports, such as `443`, `8000-8099` or `80,443`. */
  readonly ports?: string;
  readonly on?: string;
  readonly from?: string;
  readonly interface?: string;
  readonly to?: string;
  /** A note about a part that is only an example. */
  readonly note?: string;
}

export interface Refused extends Refusal {
  readonly meant?: Meant;
}

/** The maximum length of a text in which to look for a slip. Longer ones are something else. */
export const MAX_RECOGNISED = 200;

/** The note for 127.0.1.10, where the user wrote no address. */
export const OWN_ADDRESS = "with the address that the daemon listens on";

export function refuse(reason: string, hint: string, meant?: Meant): Refused {
  return meant === undefined ? { ok: false, reason, hint } : { ok: false, reason, hint, meant };
}

/**
 * Formats a text for YAML, with quotes where it needs them, or where the documentation has them.
 */
export function yamlText(text: string): string {
  return /^[A-Za-z0-9][A-Za-z0-9._/+-]*$/.test(text) ? text : JSON.stringify(text);
}

/** Returns a text or number as it was written, or nothing: a group may have a key `toString`. */
export function textOf(value: unknown): string {
  return typeof value === "string" || typeof value === "number" ? String(value) : "";
}

/** Formats `[80, 443]`, or a single item alone. */
export function yamlList(items: readonly string[]): string {
  const [first = ""] = items;
  return items.length === 1 ? yamlText(first) : `[${items.map(yamlText).join(", ")}]`;
}

/** Recognises `$PORT`, `${PORT}`, `{{ port }}`, which other programs fill in. */
export function refuseVariable(text: string): Refused | null {
  if (!/\$[{(]?\w|\{\{/.test(text)) return null;
  return refuse(
    `${quote(text)} is a variable, and ilm fills in none`,
    "write the value itself, or let the program that fills it in write the file first (envsubst, a template)",
  );
}

/** Splits a text at commas, semicolons or spaces. Returns null when there is only one item. */
export function itemsOf(text: string): readonly string[] | null {
  const items = text
    .replace(/^\[(.*)\]$/, "$1")
    .split(/[\s,;]+/)
    .filter((item) => item !== "");
  return items.length > 1 ? items : null;
}
