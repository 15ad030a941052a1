/** Names and descriptions that users give to services and mappings. */
import type { Refusal } from "../model/address.js";
import { MAX_DESCRIPTION_LENGTH } from "../model/mapping.js";
import { printable } from "../printable.js";
import { quote } from "./source.js";
import { looksLikeAddress, MAX_NAME_LENGTH, NAME, NONE } from "./target.js";

type Parsed = { ok: true; value: string } | Refusal;

/** Checks the form of a name, and suggests a correct one. */
export function parseName(what: string, input: string): Parsed {
  if (input.length > MAX_NAME_LENGTH) {
    return {
      ok: false,
      reason: `the ${what} ${quote(input)} has ${input.length} characters`,
      hint: `a name has at most ${MAX_NAME_LENGTH}`,
    };
  }
  if (NAME.test(input)) return { ok: true, value: input };
  const repaired = input
    .toLowerCase()
    .replace(/[^a-z0-9._-]+/g, "-")
    .replace(/^[^a-z0-9]+/, "");
  const rule = 'names have a-z, 0-9, ".", "_" and "-", and begin with a letter or digit';
  return {
    ok: false,
    reason: input === "" ? `the ${what} is empty` : `the ${what} ${quote(input)} is not a name`,
    hint: NAME.test(repaired) ? `${rule}: write ${quote(repaired)}` : rule,
  };
}

export function parseServiceName(input: string): Parsed {
  const parsed = parseName("service name", input);
  if (input === NONE) {
    return {
      ok: false,
      reason: `the service name "${NONE}" stands for no destination`,
      hint: `to: ${NONE} refuses connections; give the service another name`,
    };
  }
  if (!parsed.ok || !looksLikeAddress(input)) return parsed;
  return {
    ok: false,
    reason: `the service name ${quote(input)} reads like an address`,
    hint: "give it a name with a letter",
  };
}

/** Checks a description: one line of text, of characters that a terminal shows as they are. */
export function parseDescription(input: string): Parsed {
  if (input.trim() === "") {
    return {
      ok: false,
      reason: "the description is empty",
      hint: "say what it is for, or leave it out",
    };
  }
  const { length } = Array.from(input);
  if (length > MAX_DESCRIPTION_LENGTH) {
    return {
      ok: false,
      reason: `the description has ${length} characters`,
      hint: `a description has at most ${MAX_DESCRIPTION_LENGTH}`,
    };
  }
  if (/[\r\n]/.test(input)) {
    return {
      ok: false,
      reason: "the description has several lines",
      hint: "write it in one line; comments of the file may have more",
    };
  }
  if (printable(input) !== input) {
    return {
      ok: false,
      reason: `the description ${quote(printable(input))} has characters that cannot be shown`,
      hint: "write it without control characters and without those that change the direction of text",
    };
  }
  return { ok: true, value: input };
}
