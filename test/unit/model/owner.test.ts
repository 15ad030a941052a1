// Goal: names of units and accounts are told from what is none, and lists of owners have one form.
import { expect, test } from "vitest";
import type { Owner } from "../../../src/model/mapping.js";
import {
  canonicalListeners,
  formatListeners,
  isAccountName,
  isIdText,
  isOwnerUnit,
} from "../../../src/model/owner.js";

test("services, scopes and instances own sockets, and nothing else does", () => {
  for (const unit of [
    "nginx.service",
    "web@1.service",
    "session-3.scope",
    "a\\x2db:c_d.service",
    `${"x".repeat(247)}.service`,
  ]) {
    expect(isOwnerUnit(unit), unit).toBe(true);
  }
  for (const unit of [
    "nginx",
    "nginx.socket",
    "system.slice",
    "web@.service",
    "@1.service",
    ".service",
    "a b.service",
    "a/b.service",
    "ä.service",
    "nginx.service\n",
    `${"x".repeat(248)}.service`,
  ]) {
    expect(isOwnerUnit(unit), unit).toBe(false);
  }
});

test("a name of a user or a group is no number, and an id has no leading zero", () => {
  for (const name of ["www-data", "_chrony", "machine$", "a.b", "0day", "x".repeat(31)]) {
    expect(isAccountName(name), name).toBe(true);
  }
  for (const name of ["", "-a", "1000", "a b", "a:b", "a$b", ".", "..", "a\n", "x".repeat(32)]) {
    expect(isAccountName(name), name).toBe(false);
  }
  expect(["0", "33", "4294967294"].every(isIdText)).toBe(true);
  expect(["", "033", "-1", "4294967295", "1e3", "99999999999"].some(isIdText)).toBe(false);
});

test("a list of owners is sorted and has no duplicates", () => {
  const a: Owner = { unit: "a.service" };
  const b: Owner = { user: 33, group: "adm" };
  expect(canonicalListeners([b, a, b])).toEqual([a, b]);
  expect(canonicalListeners([a, b])).toEqual([a, b]);
  expect(canonicalListeners("anyone")).toBe("anyone");
  expect(formatListeners([a, b])).toBe("unit a.service, user 33 and group adm");
  expect(formatListeners("anyone")).toBe("anyone");
});
