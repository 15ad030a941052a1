/**
 * A refusal that also says what the text was meant to be, so that an argument can be put together
 * again as a whole.
 */
import type { Refusal } from "../model/address.js";
import { quote } from "./source.js";

/** Parts of a mapping, each as an argument writes it. What is left out is not needed. */
export interface Meant {
  /** `udp`, `tcp+udp`. */
  readonly protocols?: string;
  /** `443`, `8000-8099`, `80,443`. */
  readonly ports?: string;
  readonly on?: string;
  readonly from?: string;
  readonly interface?: string;
  readonly to?: string;
  /** Said of a part that is an example only. */
  readonly note?: string;
}

export interface Refused extends Refusal {
  readonly meant?: Meant;
}

/** Longer texts are no slip of the pen, and nothing is looked for in them. */
export const MAX_RECOGNISED = 200;

/** Said of 127.0.1.10, where the user wrote no address. */
export const OWN_ADDRESS = "with the address that the daemon listens on";

export function refuse(reason: string, hint: string, meant?: Meant): Refused {
  return meant === undefined ? { ok: false, reason, hint } : { ok: false, reason, hint, meant };
}

/**
 * A text as YAML takes it, with quotes where it needs them, or where the documentation has them.
 */
export function yamlText(text: string): string {
  return /^[A-Za-z0-9][A-Za-z0-9._/+-]*$/.test(text) ? text : JSON.stringify(text);
}

/** `[80, 443]`, or the item alone when there is one. */
export function yamlList(items: readonly string[]): string {
  const [first = ""] = items;
  return items.length === 1 ? yamlText(first) : `[${items.map(yamlText).join(", ")}]`;
}

/** `$PORT`, `${PORT}`, `{{ port }}`: what other programs fill in. */
export function refuseVariable(text: string): Refused | null {
  if (!/\$[{(]?\w|\{\{/.test(text)) return null;
  return refuse(
    `${quote(text)} is a variable, and ilm fills in none`,
    "write the value itself, or let the program that fills it in write the file first (envsubst, a template)",
  );
}

/**
 * The items of a text that separates them by commas, semicolons or spaces; null when there is only
 * one.
 */
export function itemsOf(text: string): readonly string[] | null {
  const items = text
    .replace(/^\[(.*)\]$/, "$1")
    .split(/[\s,;]+/)
    .filter((item) => item !== "");
  return items.length > 1 ? items : null;
}
