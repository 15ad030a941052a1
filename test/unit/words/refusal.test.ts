// Goal: a bind that was refused to systemd tells the administrator which file to look into.
import { expect, test } from "vitest";
import type { RefusedAttempt } from "../../../src/model/refusal.js";
import { describeTried, remedyForRefused } from "../../../src/words/refusal.js";
import { address } from "../cli/fixtures.js";

const attempt: RefusedAttempt = {
  reason: "address",
  protocol: "tcp",
  address: address("127.0.1.10"),
  port: 80,
  uid: 0,
  gid: 0,
  pid: 812,
  command: "nginx",
};
const to = { services: [] };

test("the process that systemd opens a socket unit's sockets in is systemd's", () => {
  const tried = { ...attempt, command: "(sd-listen)", user: "root", unit: null };
  expect(describeTried(tried)).toBe("systemd, for a socket unit (pid 812, user root)");
  expect(remedyForRefused(tried, to)).toContain("`systemctl --failed` names it");
  expect(remedyForRefused(attempt, to)).not.toContain("socket unit");
});

test("a systemd that opens sockets itself does not know them by unit", () => {
  const tried = { ...attempt, pid: 1, command: "systemd" };
  expect(remedyForRefused(tried, to)).toContain(
    "write `user` in the place of the service's `unit`",
  );
});
