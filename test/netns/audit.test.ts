/**
 * Who sits where others belong is found, named and explained: by `audit`, `explain`, `mappings`,
 * `status` and the log of `ilm run`. With real users, and with cgroups that are named as systemd's.
 */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { putInCgroup, removeCgroups } from "../support/cgroup.js";
import { useNetwork } from "../support/network.js";
import { python } from "../support/paths.js";
import { type Background, eventually, words } from "../support/process.js";

const network = useNetwork();
const NOBODY = 65534;

const rules = `
version: 1
wildcard: { default: report, users: { nobody: deny } }
services:
  web: { address: 127.0.1.10, unit: ilmweb.service }
  db: { address: 127.0.1.54, user: nobody }
mappings:
  - { name: web, port: 6000, to: web }
  - { name: db, port: 6001, to: db }
`;

interface Place {
  readonly address: string;
  readonly port: number;
  readonly unit?: string;
  readonly user?: number;
  /** Capabilities that it keeps as that user, as setpriv has them. */
  readonly capabilities?: string;
}

const script = `
import socket, sys, time
sys.stdin.readline()
try:
    s = socket.create_server((sys.argv[1], int(sys.argv[2])))
    print("listening", flush=True)
except OSError as error:
    print("refused", error.errno, flush=True)
while True:
    try:
        s.accept()[0].close()
    except NameError:
        time.sleep(600)
`;

/** Starts a process of a unit and a user that tries to listen, and tells whether it does. */
async function listen({ address, port, unit, user = 0, capabilities }: Place) {
  const { server } = network;
  const as =
    user === 0
      ? []
      : [
          ...words(`setpriv --reuid ${user} --regid ${user} --clear-groups`),
          ...(capabilities === undefined
            ? []
            : [`--inh-caps=${capabilities}`, `--ambient-caps=${capabilities}`]),
        ];
  const process = server.start([...as, python, "-c", script, address, String(port)]);
  if (unit !== undefined) await putInCgroup(process, `system.slice/${unit}`);
  process.write("\n");
  const outcome = await process.waitFor(({ stdout }) =>
    stdout.includes("\n") ? stdout.trim() : null,
  );
  return { process, outcome };
}

async function squat(place: Place): Promise<Background> {
  const { process, outcome } = await listen(place);
  expect(outcome).toBe("listening");
  return process;
}

async function found(kind: string): Promise<readonly Record<string, unknown>[]> {
  const result = await network.server.ask(["audit", "--json", "--kind", kind]);
  return result.json() as readonly Record<string, unknown>[];
}

beforeEach(async () => {
  await network.server.unload();
});

afterEach(async () => {
  await network.server.stopStarted();
  await network.server.unload();
  await removeCgroups();
});

describe("whoever was there before the rules", () => {
  test("is found on a service's address, and gets nothing there", async () => {
    const { server, client } = network;
    const { pid } = await squat({ address: "127.0.1.10", port: 6000 });
    await server.apply(rules);
    expect(await client.who("tcp", "203.0.113.1", 6000)).toBe("ECONNREFUSED");
    expect(await found("foreign-address")).toMatchObject([
      { pid, user: "root", service: "web", address: "127.0.1.10", port: 6000, denied: true },
    ]);
    const { text } = await server.ask(["audit"]);
    expect(text).toContain(`python3 (pid ${pid}) on 127.0.1.10:6000, user root`);
    expect(text).toContain("belongs to unit ilmweb.service: it is a stranger there");
    expect(await found("service-unserved")).toMatchObject([{ service: "web" }, { service: "db" }]);
    expect(await server.mappings()).toMatchObject([
      { to: [{ listening: false, listener: null, stranger: { pid } }] },
      { to: [{ listening: false, stranger: null }] },
    ]);
    expect((await server.ask(["mappings"])).text).toMatch(/web: python3 .* is a stranger there/);
    const kinds = (await server.status()).warnings.map(({ kind }) => kind);
    expect(kinds).toContain("stranger-listens");
    const mapped = await server.ask(["explain", "tcp", "203.0.113.1:6000"]);
    expect(mapped.text).toMatch(
      /python3 \(pid \d+\) on 127\.0\.1\.10:6000 listens, but gets nothing/,
    );
    const own = await server.ask(["explain", "tcp", "127.0.1.10:6000", "--json"]);
    expect(own.json()).toMatchObject({
      decision: "unmanaged",
      listener: null,
      strangers: [{ pid, at: "dialled", permitted: "service web (unit ilmweb.service)" }],
    });
  });

  test("is found on a mapped port, where it gets nothing; the owner of the destination does", async () => {
    const { server, client } = network;
    const { pid } = await squat({ address: "203.0.113.1", port: 6001, user: 1 });
    await server.apply(rules);
    expect(await found("mapped-port")).toMatchObject([
      { pid, user: "daemon", mapping: "db", policy: "refuse", denied: true },
    ]);
    const explained = await server.ask(["explain", "tcp", "203.0.113.1:6001", "--json"]);
    expect(explained.json()).toMatchObject({
      verdict: "rejected",
      listener: null,
      strangers: [
        { pid, user: "daemon", at: "dialled", permitted: "root, service db (user nobody)" },
      ],
    });
    const { text } = await server.ask(["explain", "tcp", "203.0.113.1:6001"]);
    expect(text).toContain(
      "is a stranger: the mapping permits only root, service db (user nobody)",
    );
    expect(await client.who("tcp", "203.0.113.1", 6001)).toBe("ECONNREFUSED");
    const refused = await found("refused");
    expect(refused).toMatchObject([
      { reason: "lookup", address: "203.0.113.1", port: 6001, mapping: "db", pid: null },
    ]);
    await squat({ address: "127.0.1.54", port: 6001, user: NOBODY });
    expect(await found("service-unserved")).toMatchObject([{ service: "web" }]);
  });

  test("gets the connections while strangers are reported, and audit says so", async () => {
    const { server } = network;
    const { pid } = await squat({ address: "203.0.113.1", port: 6001, user: 1 });
    await server.apply(`${rules}strangers: report\n`);
    expect(await found("mapped-port")).toMatchObject([{ pid, policy: "report", denied: false }]);
  });

  test("is found on every address, with the policy for it", async () => {
    const { server } = network;
    const root = await squat({ address: "0.0.0.0", port: 7000 });
    const other = await squat({ address: "0.0.0.0", port: 7001, user: NOBODY });
    await server.apply(rules);
    expect(await found("wildcard")).toMatchObject([
      { pid: root.pid, policy: "report", policyBy: "default", denied: true },
      { pid: other.pid, policy: "deny", policyBy: "user", denied: true },
    ]);
  });
});

describe("what is refused", () => {
  test("is a finding with who tried first, and how often", async () => {
    const { server } = network;
    await server.apply(rules);
    const first = await listen({ address: "127.0.1.10", port: 6000 });
    const second = await listen({ address: "127.0.1.10", port: 6000 });
    expect([first.outcome, second.outcome]).toEqual(["refused 13", "refused 13"]);
    const own = await listen({ address: "127.0.1.10", port: 6000, unit: "ilmweb.service" });
    expect(own.outcome).toBe("listening");
    expect(await found("refused")).toMatchObject([
      {
        reason: "address",
        service: "web",
        count: 2,
        pid: first.process.pid,
        command: "python3",
        user: "root",
      },
    ]);
    expect(await found("foreign-address")).toEqual([]);
  });

  test("is a line of the log each: what came before the daemon, and what comes while it runs", async () => {
    const { server } = network;
    const file = server.file(rules);
    await server.apply(rules);
    await listen({ address: "127.0.1.10", port: 6000 });
    const run = await server.startRun(["--json", "-f", file]);
    const squatter = await listen({
      address: "203.0.113.1",
      port: 6001,
      user: 1,
      unit: "ilmold.service",
    });
    await listen({ address: "0.0.0.0", port: 7001, user: NOBODY });
    await listen({ address: "0.0.0.0", port: 7000 });
    const lines = await eventually("all lines are there", async () => {
      const all = `${run.process.stdout}${run.process.stderr}`
        .split("\n")
        .filter((line) => line.includes('"refusal"'))
        .map((line) => JSON.parse(line) as Record<string, unknown>);
      return await Promise.resolve(all.length >= 4 ? all : null);
    });
    expect(lines).toMatchObject([
      { level: "warning", refusal: { reason: "address", service: "web", user: "root" } },
      {
        level: "warning",
        message: expect.stringContaining(
          `python3 (pid ${squatter.process.pid}, user daemon, unit ilmold.service) was not allowed to bind to tcp 203.0.113.1:6001: mapping db covers it, and permits only root, service db (user nobody)`,
        ) as string,
        refusal: { reason: "mapped", mapping: "db", unit: "ilmold.service" },
      },
      { level: "warning", refusal: { reason: "wildcard", user: "nobody" } },
      { level: "info", refusal: { reason: "reported", port: 7000 } },
    ]);
    await run.stop();
  });
});

test("an owner that keeps a capability for low ports is found, and no other daemon is", async () => {
  const { server } = network;
  await server.apply(rules);
  const capabilities = "+net_bind_service";
  const { pid } = await squat({ address: "127.0.1.54", port: 80, user: NOBODY, capabilities });
  await squat({ address: "127.0.1.1", port: 81, user: 1, capabilities });
  expect(await found("privilege")).toMatchObject([{ pid, service: "db", user: "nobody" }]);
  const bare = await listen({ address: "127.0.1.54", port: 82, user: NOBODY });
  expect(bare.outcome).toBe("listening");
});
