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
  expect(describeHolder({ ...waiting, pid: 812, command: "nginx" })).toBe("nginx (pid 812)");
  expect(describeHolder(undefined)).toBe("a process unknown");
});

test("systemd is named with the socket unit that it has the socket for", () => {
  expect(describeHolder(waiting)).toBe("systemd (pid 1) for web.socket");
  expect(unitOf(waiting)).toBe("web.socket");
  expect(describeHolder({ ...waiting, cgroup: "/init.scope" })).toBe("systemd (pid 1)");
});
