/**
 * `mptcp: off`: daemons that would listen with MPTCP, which NAT cuts off from ingress, listen with
 * plain TCP from their next start.
 */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { buildGo } from "../support/go.js";
import { pinnedPaths } from "../support/kernel-state.js";
import { type Lab, useLab } from "../support/lab.js";
import { addressesOf, endpoint, families } from "../support/matrix.js";
import { addFirewall, addNat, removeRules } from "../support/neighbours.js";
import { useNetwork } from "../support/network.js";
import { pinRoot, python } from "../support/paths.js";
import { must } from "../support/process.js";

const network = useNetwork();

const rules = (more = ""): string => `
version: 1
${more}
services:
  app: { address: [127.0.1.10, "fd5e:ed00::10"] }
mappings:
  - { name: web, port: 6000, to: app }
  - { name: other, port: 6001, to: "app:6000" }
`;
const off = rules("mptcp: off");

/** What somebody is told who opens an MPTCP socket: its protocol, or the error. */
const opens = [
  python,
  "-c",
  "import socket\ntry:\n print(socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262).proto)\nexcept OSError as e:\n print(e.strerror)",
];
const refused = "Protocol not supported\n";
const given = "262\n";

let lab: Lab;
useLab(network, (started) => {
  lab = started;
});

beforeEach(async () => {
  await network.server.apply(rules());
});

afterEach(async () => {
  await removeRules(network.server);
});

interface Warning {
  readonly kind: string;
  readonly message: string;
  readonly remedy: string;
}

async function warnings(): Promise<readonly Warning[]> {
  const { stdout } = await network.server.ask(["status", "--json"]);
  const all = (JSON.parse(stdout) as { warnings: readonly Warning[] }).warnings;
  // That counts what was, and the tests follow each other.
  return all.filter(({ kind }) => kind !== "unsteered");
}

describe("a daemon that listens as Go 1.24 and later does, beside NAT and a stateful firewall", () => {
  for (const family of families) {
    const cell = addressesOf[family];
    const start = async (): Promise<void> => {
      await lab.open("app", "mptcp", cell.daemon, 6000, { falls_back: true });
    };
    const answers = async (): Promise<unknown> => {
      const { server, client } = network;
      const of = async (dial: Promise<object>): Promise<unknown> => {
        const got = await dial;
        return "tag" in got ? got.tag : "errno" in got ? got.errno : got;
      };
      return [
        await of(client.dial("tcp", cell.public, 6000)),
        await of(client.dial("tcp", cell.public, 6001)),
        await of(client.dial("tcp", cell.public, 6000, { mptcp: true })),
        await of(server.dial("tcp", cell.public, 6000)),
        await of(server.dial("tcp", cell.loopback, 6000)),
      ];
    };

    test(`answers after that one key and a restart, ${cell.label}`, async () => {
      const { server } = network;
      await start();
      expect(await answers()).toEqual(Array(5).fill("app"));
      await addNat(server, 4, 6);
      await addFirewall(server, "6000-6001");
      expect(await answers()).toEqual(Array(5).fill("ECONNREFUSED"));
      await server.apply(off);
      // What is there stays what it is.
      expect(await answers()).toEqual(Array(5).fill("ECONNREFUSED"));
      await lab.do("close", "app");
      await start();
      // A client that speaks MPTCP and a daemon that does not agree on TCP.
      expect(await answers()).toEqual(Array(5).fill("app"));
      expect((await server.listeners()).map(({ kind, handover }) => [kind, handover])).toEqual([
        ["tcp", "sockmap"],
      ]);
      expect(await warnings()).toEqual([]);
    });

    test(`is named with its remedy by status, doctor, apply and explain, ${cell.label}`, async () => {
      const { server } = network;
      await start();
      const doctor = (await server.ask(["doctor"])).text;
      expect(doctor).toMatch(
        /MPTCP: used by the listener on .*6000: reached as long as .* no NAT .*mptcp: off/,
      );
      await addNat(server, family);
      const explain = ["explain", "tcp", endpoint(cell.public, 6000)];
      const all = async (): Promise<readonly string[]> => [
        (await server.ask(["status"])).text,
        (await server.ask(["doctor"])).text,
        (await server.ask(["apply", "-f", server.file(rules())])).text,
        (await server.ask(explain)).text,
      ];
      for (const text of await all()) {
        expect(text).toMatch(/python3 \(pid \d+\) on .*6000/);
        for (const way of [
          "`mptcp: off`",
          "GODEBUG=multipathtcp=0",
          "net.mptcp.enabled=0",
          "ilm_lookup",
        ]) {
          expect(text).toContain(way);
        }
      }
      await server.apply(off);
      const [found] = await warnings();
      expect(found).toMatchObject({ kind: "unreached" });
      expect(found?.remedy).toMatch(/^Restart the daemon: with `mptcp: off`/);
      expect((await server.ask(explain)).text).toContain("Restart the daemon");
    });
  }
});

const { title: who, command: listens } = await buildGo("1.24");

describe(who, () => {
  test.each(families)(
    "is cut off by NAT, and answers after that key and a restart, IPv%s",
    async (family) => {
      const { server, client } = network;
      const cell = addressesOf[family];
      const ask = async (): Promise<string> => await client.who("tcp", cell.public, 6000);
      const start = async () => {
        const daemon = server.start([...listens, "go", "6000", cell.daemon]);
        await daemon.waitForOutput(/listening/);
        return daemon;
      };
      const kinds = async () =>
        (await server.listeners())
          .filter(({ protocol }) => protocol === "tcp")
          .map(({ kind }) => kind);
      const daemon = await start();
      expect([await kinds(), await ask()]).toEqual([["mptcp"], "go"]);
      await addNat(server, 4, 6);
      expect(await ask()).toBe("ECONNREFUSED");
      await server.apply(off);
      await daemon.stop();
      await start();
      expect([await kinds(), await ask()]).toEqual([["tcp"], "go"]);
      await server.stopStarted();
    },
  );
});

test.each([
  ["apply without that key", async () => await network.server.apply(rules())],
  ["off", async () => await network.server.ilmDone(["off"])],
  ["unload", async () => await network.server.unload()],
])("has no effect any more when `%s` has ended", async (_, end) => {
  const { server } = network;
  for (let round = 0; round < 10; round++) {
    await server.apply(off);
    await server.ilmDone(["on"]);
    await end();
    // Without `falls_back` the refusal is an error.
    await lab.open("app", "mptcp", addressesOf[4].daemon, 6000);
    await lab.do("close", "app");
  }
});

test("where there is NAT and no such daemon yet, status and doctor say what one would meet, and nothing once MPTCP is off", async () => {
  const { server } = network;
  expect(await warnings()).toEqual([]);
  await addNat(server, 6);
  expect(await warnings()).toMatchObject([{ kind: "mptcp-beside-nat" }]);
  expect((await server.ask(["doctor"])).text).toContain("Go 1.24");
  await server.apply(off);
  expect(await warnings()).toEqual([]);
  expect((await server.ask(["status"])).text).toMatch(/^mptcp: +off/m);
  await server.apply(rules());
  await server.must(["sysctl", "-qw", "net.mptcp.enabled=0"]);
  expect(await warnings()).toEqual([]);
  await server.must(["sysctl", "-qw", "net.mptcp.enabled=1"]);
});

describe("who opens an MPTCP socket", () => {
  test("is refused it while the rules say so, in this network namespace alone, and gets it again afterwards", async () => {
    const { server, client } = network;
    expect(await server.must(opens)).toBe(given);
    await server.apply(off);
    expect(await server.must(opens)).toBe(refused);
    expect(await client.must(opens)).toBe(given);
    await server.apply(rules());
    expect(await server.must(opens)).toBe(given);
    await server.apply(off);
    await server.unload();
    expect(await server.must(opens)).toBe(given);
  });

  test("is refused it after rules are added and removed at run time, by run too, and after its link was taken away and applied again", async () => {
    const { server } = network;
    const file = server.file(off);
    const run = await server.startRun(["-f", file]);
    expect(await server.must(opens)).toBe(refused);
    await server.ask(["add", "tcp:6009=127.0.1.10:6009"]);
    expect(await server.must(opens)).toBe(refused);
    await server.ask(["remove", "tcp:6009"]);
    await run.stop();
    expect(await server.must(opens)).toBe(refused);
    const link = pinnedPaths(server.inode).find((path) => path.endsWith("/link_sock_create"));
    await must(["rm", `${pinRoot}/${link ?? ""}`]);
    expect(await server.must(opens)).toBe(given);
    expect((await server.ask(["apply", "-f", file])).text).toContain("unchanged");
    expect(await server.must(opens)).toBe(refused);
  });

  test("gets TCP and UDP sockets all the same", async () => {
    const { server } = network;
    await server.apply(off);
    for (const kind of ["tcp", "udp"] as const) await lab.open(kind, kind, "127.0.1.10", 6000);
    expect(await server.who("tcp", "203.0.113.1", 6000)).toBe("tcp");
  });
});

test("diff shows the key, and a wrong word for it is refused with its place", async () => {
  const { server } = network;
  const diff = await server.ask(["diff", "-f", server.file(off)]);
  expect(diff.status).toBe(1);
  expect(diff.stdout).toContain("~ mptcp: on -> off\n");
  const wrong = await server.ask(["check", "-f", server.file(rules("mptcp: sometimes"))]);
  expect([wrong.status, wrong.stderr]).toEqual([
    3,
    expect.stringMatching(/:3:8: mptcp: .*"sometimes"; write mptcp: off/),
  ]);
});
