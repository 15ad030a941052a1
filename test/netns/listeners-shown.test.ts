/**
 * `ilm listeners` tells of each listener who has it, what it is, and what leads to it; also of
 * those before us.
 */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { putInCgroup, removeCgroups } from "../support/cgroup.js";
import { kinds, Lab, protocolOf, stopLabs } from "../support/lab.js";
import { addressesOf, families } from "../support/matrix.js";
import { useNetwork } from "../support/network.js";
import { run, words } from "../support/process.js";

const network = useNetwork();
let lab: Lab;

const rules = `
version: 1
services:
  app: { address: [127.0.1.10, "fd5e:ed00::10"] }
mappings:
  - { name: app, protocol: [tcp, udp], port: 6000, to: app }
  - { name: other, protocol: [tcp, udp], port: 6001, to: "app:6000" }
  - { name: mptcp, protocol: tcp, port: 6002, to: "app:6001" }
`;

beforeEach(async () => {
  lab = await Lab.start(network.server);
});

afterEach(async () => {
  await stopLabs();
  await removeCgroups();
  await network.server.stopStarted();
});

for (const before of [true, false]) {
  describe(before ? "opened before we were" : "opened after we were", () => {
    test("each kind is shown with its owner, its state, its group, its hand-over and its mappings", async () => {
      const { server } = network;
      await server.unload();
      await server.must(["ip", "addr", "replace", "fd5e:ed00::10/128", "dev", "lo", "nodad"]);
      if (!before) await server.apply(rules);
      for (const kind of kinds) {
        for (const family of families) {
          const { daemon, public: address } = addressesOf[family];
          const port = kind === "mptcp" ? 6001 : 6000;
          await lab.open(`${kind}${family}`, kind, daemon, port);
          for (const member of ["a", "b", "c"]) {
            await lab.open(`${kind}${family}${member}`, kind, address, 7000 + port, {
              options: ["reuseport"],
              ...(member === "c" && kind !== "mptcp" ? { selector: 0 } : {}),
            });
          }
        }
      }
      if (before) await server.apply(rules);
      const rows = await server.listeners();
      for (const kind of kinds) {
        for (const family of families) {
          const { daemon, public: address } = addressesOf[family];
          const protocol = protocolOf(kind);
          const port = kind === "mptcp" ? 6001 : 6000;
          const found = rows.filter((row) => row.address === daemon && row.kind === kind);
          expect(found).toMatchObject([
            {
              protocol,
              port,
              pid: lab.process.pid,
              command: "python3",
              user: "root",
              state: protocol === "tcp" ? "listening" : "bound",
              handover: kind === "tcp" ? "sockmap" : "ingress",
              groupSize: 0,
              mappings: kind === "mptcp" ? ["mptcp"] : ["app", "other"],
            },
          ]);
          const group = rows.filter((row) => row.address === address && row.kind === kind);
          expect(group).toHaveLength(3);
          for (const member of group) {
            expect(member).toMatchObject({
              groupSize: 3,
              groupProgram: kind !== "mptcp",
              handover: "none",
              mappings: [],
              pid: lab.process.pid,
            });
          }
        }
      }
    });
  });
}

test("a socket that several processes hold is shown with the one that opened it, and then with who is left", async () => {
  const { server } = network;
  await server.apply(rules);
  await lab.open("app", "tcp", "127.0.1.10", 6000);
  const { pid } = await lab.do("fork", "app", { tag: "child" });
  const [row] = await server.listeners();
  expect(row).toMatchObject({ pid, mappings: ["app", "other"] });
});

/**
 * Folders of cgroups as systemd names them (systemd.unit(5), "user@.service"), and the unit that
 * they are of.
 */
const cgroups: readonly [string, string | null][] = [
  ["system.slice/ilmtest.service", "ilmtest.service"],
  ["system.slice/system-ilmtest.slice/ilmtest@1.service", "ilmtest@1.service"],
  ["system.slice/ilmtest.service/worker", "ilmtest.service"],
  ["user.slice/user-1000.slice/user@1000.service/app.slice/ilmtest.service", "ilmtest.service"],
  ["user.slice/user-1000.slice/session-7.scope", "session-7.scope"],
  ["system.slice/ilmtest.socket", "ilmtest.socket"],
  ["system.slice", null],
];

for (const [path, unit] of cgroups) {
  test(`a daemon in the cgroup ${path} is shown with ${unit === null ? "no unit" : `the unit ${unit}`}, and is served`, async () => {
    const { server, client } = network;
    await server.apply(rules);
    const cgroup = await putInCgroup(lab.process, path);
    for (const [kind, port] of [
      ["tcp", 6000],
      ["udp", 6000],
      ["mptcp", 6001],
    ] as const) {
      await lab.open(kind, kind, "127.0.1.10", port);
    }
    const { pid } = lab.process;
    const owner = { pid, command: "python3", user: "root", unit };
    expect(await server.listeners()).toMatchObject(kinds.map(() => ({ ...owner, cgroup })));
    const table = (await server.ask(["listeners"])).stdout;
    const lines = table.split("\n").filter((text) => text.includes("127.0.1.10:"));
    expect(lines).toHaveLength(kinds.length);
    for (const line of lines) {
      expect(line).toMatch(new RegExp(` ${pid} +root +${(unit ?? "-").replaceAll(".", "\\.")} `));
    }
    const explained = await server.ask(["explain", "tcp", "203.0.113.1:6000", "--json"]);
    expect(explained.json()).toMatchObject({ listener: { pid, user: "root", unit } });
    for (const [kind, port] of [
      ["tcp", 6000],
      ["udp", 6000],
      ["mptcp", 6002],
    ] as const) {
      expect(await client.who(protocolOf(kind), "203.0.113.1", port)).toBe(kind);
    }
  });
}

test("a daemon of another user is shown with that user and its command", async () => {
  const { server } = network;
  await server.unload();
  const daemon = server.start(
    words("setpriv --reuid=nobody --regid=65534 --clear-groups nc -lk 127.0.1.10 6000"),
  );
  await server.waitForListener("tcp", "127.0.1.10", 6000);
  expect(await server.listeners()).toMatchObject([
    { pid: daemon.pid, command: "nc", user: "nobody" },
  ]);
});

test("a daemon without a unit is shown with its cgroup", async () => {
  const { server } = network;
  await server.unload();
  await lab.open("app", "tcp", "127.0.1.10", 6000);
  const [row] = await server.listeners();
  const cgroup = await run(["cat", `/proc/${lab.process.pid}/cgroup`]);
  expect(cgroup.stdout).toContain(`0::${row?.cgroup ?? "?"}\n`);
});
