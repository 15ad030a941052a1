// Goal: whoever reads about a socket learns which process has it, and for whom systemd opened it.
import { expect, test } from "vitest";
import type { Holder } from "../../../src/model/listener.js";
import { describeHolder, unitOf } from "../../../src/words/listener.js";

const holder: Holder = {
  pid: 812,
  command: "nginx",
  user: "www-data",
  cgroup: "/system.slice/nginx.service",
  canBindLowPorts: false,
};
const waiting: Holder = {
  ...holder,
  pid: 1,
  command: "systemd",
  cgroup: "/system.slice/web.socket",
};

test("a daemon is named by its process", () => {
  expect(describeHolder(holder)).toBe("nginx (pid 812)");
  expect(describeHolder(undefined)).toBe("a process unknown");
});

test("a daemon that has the socket of a socket unit is named with that", () => {
  const given = { ...waiting, pid: 812, command: "nginx" };
  expect(describeHolder(given)).toBe("nginx (pid 812, from web.socket)");
});

test("systemd is named with the socket unit that it has the socket for", () => {
  expect(describeHolder(waiting)).toBe("systemd (pid 1) for web.socket");
  expect(unitOf(waiting)).toBe("web.socket");
  expect(describeHolder({ ...waiting, cgroup: "/init.scope" })).toBe("systemd (pid 1)");
});
