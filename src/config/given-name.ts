/** Names that users give to services and mappings. */
import type { Refusal } from "../model/address.js";
import { quote } from "./source.js";
import { looksLikeAddress, MAX_NAME_LENGTH, NAME } from "./target.js";

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
  if (!parsed.ok || !looksLikeAddress(input)) return parsed;
  return {
    ok: false,
    reason: `the service name ${quote(input)} reads like an address`,
    hint: "give it a name with a letter",
  };
}
