/** Every command on a loaded namespace: its JSON, its exit status, and what it says to a person. */
import { beforeAll, describe, expect, test } from "vitest";
import type { Echo } from "../support/echo.js";
import { useNetwork } from "../support/network.js";
import { asUser, STRANGER } from "../support/as-user.js";
import { ilmCommand, python } from "../support/paths.js";
import { words } from "../support/process.js";

const network = useNetwork();

const rules = `
version: 1
services:
  web: { address: [127.0.1.10, "fd5e:ed00::10"] }
  dns: { address: 127.0.1.53 }
mappings:
  - { name: web, port: [80, 443], to: web }
  - { name: names, protocol: [tcp, udp], port: 53, to: dns }
  - { name: strict, port: 9000, on: 203.0.113.0/24, to: ["127.0.1.20:9001", "127.0.1.21:9002"], miss: reject }
  - { name: lost, port: 9100, to: "web:9101" }
`;

let file: string;
let web: Echo;

beforeAll(async () => {
  const { server } = network;
  // It binds before the rules come: what binds later waits for run.
  await server.echo("dns", [
    ["tcp", "127.0.1.53", 53],
    ["udp", "127.0.1.53", 53],
  ]);
  file = server.file(rules);
  await server.ilmDone(["apply", "-f", file]);
  web = await server.echo("web", [
    ["tcp", "127.0.1.10", 80],
    ["tcp", "127.0.1.10", 443],
  ]);
  await server.echo("own", [["tcp", "203.0.113.5", 80]]);
  await server.echo("second", [["tcp", "127.0.1.21", 9002]]);
});

describe("reading commands", () => {
  test("status --json says what is active", async () => {
    const status = await network.server.status();
    expect(status).toMatchObject({
      loaded: true,
      mappings: 5,
      warnings: expect.any(Array) as unknown,
    });
    expect(status.generation).toBeGreaterThanOrEqual(1);
    expect(status.listeners).toBeGreaterThanOrEqual(4);
    expect(JSON.stringify(status.netns)).toContain(String(network.server.inode));
  });

  test("mappings --json has a row per mapping, with counters and who listens", async () => {
    const { server, client } = network;
    const before = await server.mappings();
    expect(before.map(({ name, protocol }) => `${protocol} ${name}`).sort()).toEqual([
      "tcp lost",
      "tcp names",
      "tcp strict",
      "tcp web",
      "udp names",
    ]);
    for (const row of before) {
      expect(Object.keys(row)).toEqual(
        expect.arrayContaining(["name", "protocol", "port", "on", "to", "counters"]),
      );
    }
    const countersOf = (
      rows: typeof before,
      name: string,
    ): (typeof before)[number]["counters"] | undefined =>
      rows.find((row) => row.name === name && row.protocol === "tcp")?.counters;
    for (let dial = 0; dial < 5; dial += 1) {
      expect(await client.who("tcp", "203.0.113.1", 80)).toBe("web");
    }
    for (let dial = 0; dial < 3; dial += 1) {
      expect(await client.who("tcp", "203.0.113.5", 80)).toBe("own");
      expect(await client.who("tcp", "203.0.113.1", 9100)).toBe("ECONNREFUSED");
    }
    const after = await server.mappings();
    const grown = (name: string, counter: "existing" | "selected" | "missed" | "errors"): number =>
      (countersOf(after, name)?.[counter] ?? NaN) - (countersOf(before, name)?.[counter] ?? NaN);
    // Each TCP connection is looked up once for its SYN; a SYN cookie would look up twice.
    expect(grown("web", "selected")).toBe(5);
    expect(grown("web", "existing")).toBe(3);
    expect(grown("lost", "missed")).toBe(3);
    expect(grown("web", "errors")).toBe(0);
    const strict = after.find(({ name }) => name === "strict");
    expect(strict?.to).toMatchObject([
      { address: "127.0.1.20", port: 9001, listening: false },
      { address: "127.0.1.21", port: 9002, listening: true },
    ]);
  });

  test("counters carry on when the rules are applied again", async () => {
    const { server } = network;
    const before = await server.mappings();
    await server.ilmDone(["apply", "-f", server.file(`${rules}  - { port: 9999, to: web }\n`)]);
    const after = await server.mappings();
    expect(after.find(({ name }) => name === "web")?.counters).toEqual(
      before.find(({ name }) => name === "web")?.counters,
    );
    await server.ilmDone(["apply", "-f", file]);
  });

  test("listeners --json names the process and the mappings that use it", async () => {
    const rows = await network.server.listeners();
    for (const row of rows) {
      expect(Object.keys(row)).toEqual(
        expect.arrayContaining([
          "protocol",
          "address",
          "port",
          "pid",
          "user",
          "mappings",
          "wildcard",
        ]),
      );
    }
    expect(rows).toContainEqual(
      expect.objectContaining({
        protocol: "tcp",
        address: "127.0.1.10",
        port: 443,
        pid: web.pid,
        user: "root",
        mappings: ["web"],
        wildcard: false,
      }),
    );
    expect(rows).toContainEqual(
      expect.objectContaining({
        protocol: "udp",
        address: "127.0.1.53",
        port: 53,
        mappings: ["names"],
      }),
    );
  });

  describe("explain", () => {
    const explain = async (...args: readonly string[]): Promise<Record<string, unknown>> =>
      (await network.server.ilmDone(["explain", ...args, "--json"])).json() as Record<
        string,
        unknown
      >;

    test("selected: names the mapping, the destination, the listener's pid and cookie", async () => {
      const answer = await explain("tcp", "203.0.113.1:443");
      expect(answer).toMatchObject({
        verdict: "selected",
        destination: { address: "127.0.1.10", port: 443 },
        listener: { pid: web.pid, cookie: web.cookies[1] },
        steps: expect.any(Array) as unknown,
      });
      expect(JSON.stringify(answer["mapping"])).toContain("web");
    });

    test("existing: the socket on the dialled address keeps it", async () => {
      expect(await explain("tcp", "203.0.113.5:80")).toMatchObject({ verdict: "existing" });
    });

    test("missed: nothing listens there", async () => {
      const answer = await explain("tcp", "203.0.113.1:9100");
      expect(answer).toMatchObject({ verdict: "missed", destination: null, listener: null });
      expect(JSON.stringify(answer["mapping"])).toContain("lost");
    });

    test("the second destination when the first is down", async () => {
      expect(await explain("tcp", "203.0.113.1:9000", "--from", "198.51.100.7:5555")).toMatchObject(
        {
          verdict: "selected",
          destination: { address: "127.0.1.21", port: 9002 },
        },
      );
    });

    test("rejected: not reached, where a miss is to be rejected", async () => {
      const { server } = network;
      await server.ilmDone(["add", "tcp:9200=127.0.1.30"]);
      expect(await explain("tcp", "203.0.113.1:9200")).toMatchObject({ verdict: "missed" });
      await server.ilmDone(["remove", "tcp:9200"]);
      await server.ilmDone([
        "apply",
        "-f",
        server.file(`${rules}  - { port: 9201, to: web, miss: reject }\n`),
      ]);
      expect(await explain("tcp", "203.0.113.1:9201")).toMatchObject({ verdict: "rejected" });
      await server.ilmDone(["apply", "-f", file]);
    });

    test("unmanaged: a port in no mapping, and a service's own address", async () => {
      expect(await explain("tcp", "203.0.113.1:1234")).toMatchObject({
        verdict: "unmanaged",
        mapping: null,
      });
      expect(await explain("tcp", "127.0.1.10:80")).toMatchObject({ verdict: "unmanaged" });
    });

    test("IPv6 and UDP are explained too", async () => {
      expect(await explain("udp", "203.0.113.5:53")).toMatchObject({
        verdict: "selected",
        destination: { address: "127.0.1.53", port: 53 },
      });
      expect(await explain("tcp", "[2001:db8::1]:80")).toMatchObject({ verdict: "missed" });
    });

    test("explain counts nothing", async () => {
      const { server } = network;
      const before = await server.mappings();
      await explain("tcp", "203.0.113.1:443");
      expect((await server.mappings()).map(({ counters }) => counters)).toEqual(
        before.map(({ counters }) => counters),
      );
    });

    test("a person reads the same in words", async () => {
      const { text } = await network.server.ilmDone(["explain", "tcp", "203.0.113.1:443"]);
      for (const word of ["selected", "web", "127.0.1.10:443", String(web.pid)]) {
        expect(text).toContain(word);
      }
    });
  });

  test("audit lists wildcard listeners, and foreign listeners on a service's address", async () => {
    const { server } = network;
    const quiet = await server.ilm(["audit", "--json"]);
    const open = await server.echo("open", [["tcp", "0.0.0.0", 8088]]);
    const squatter = server.start([
      ...words("setpriv --reuid 65534 --regid 65534 --clear-groups"),
      python,
      "-c",
      'import socket, time; s = socket.create_server(("127.0.1.53", 5353)); print("listening", flush=True); time.sleep(600)',
    ]);
    await squatter.waitForOutput(/listening/);
    const result = await server.ilm(["audit", "--json"]);
    expect(result.status).toBe(1);
    expect(quiet.stdout).not.toContain("8088");
    expect(result.json()).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ kind: "wildcard", port: 8088, pid: open.pid }),
        expect.objectContaining({
          kind: "foreign-address",
          address: "127.0.1.53",
          port: 5353,
          pid: squatter.pid,
          service: "dns",
        }),
      ]),
    );
    const printed = await server.ilm(["audit"]);
    expect(printed.status).toBe(1);
    expect(printed.text).toContain("8088");
    expect(printed.text).toContain(String(open.pid));
    await open.stop();
    await squatter.stop();
  });

  test("doctor finds nothing missing here, and tells a stranger's sk_lookup program apart", async () => {
    const { server } = network;
    const healthy = await server.ilm(["doctor", "--json"]);
    expect(healthy.status, healthy.text).toBe(0);
    expect(healthy.stdout).not.toContain("stranger");
    const stranger = server.startPython("foreign_sk_lookup.py", []);
    await stranger.waitForOutput(/attached/);
    const result = await server.ilm(["doctor", "--json"]);
    expect(JSON.stringify(result.json())).toContain("stranger");
    const printed = await server.ilm(["doctor"]);
    expect(printed.text).toContain("stranger");
    await stranger.stop();
  });

  test("a stranger's sk_lookup program that passes everything leaves the mappings working", async () => {
    const { server, client } = network;
    const stranger = server.startPython("foreign_sk_lookup.py", []);
    await stranger.waitForOutput(/attached/);
    expect(await client.who("tcp", "203.0.113.1", 80)).toBe("web");
    await server.ilmDone(["apply", "-f", server.file(`${rules}  - { port: 9998, to: web }\n`)]);
    expect(await client.who("tcp", "203.0.113.1", 80)).toBe("web");
    await server.ilmDone(["apply", "-f", file]);
    await stranger.stop();
  });

  test("diff says what apply would change, and changes nothing", async () => {
    const { server } = network;
    const before = await server.status();
    const same = await server.ilm(["diff", "-f", file, "--json"]);
    expect(same.status, same.text).toBe(0);
    const next = server.file(rules.replace("port: 9100", "port: 9101"));
    const other = await server.ilm(["diff", "-f", next, "--json"]);
    expect([0, 1]).toContain(other.status);
    expect(JSON.stringify(other.json())).toContain("lost");
    expect(other.stdout).not.toBe(same.stdout);
    expect(server.generation()).toBe(before.generation);
  });

  test("check needs no privileges", async () => {
    const { server } = network;
    await server.must(["chmod", "755", server.folder]);
    const asNobody = words("setpriv --reuid 65534 --regid 65534 --clear-groups");
    const result = await server.run([
      ...asNobody,
      ...server.ilmCommand(["check", "-f", file]).slice(0, -2),
    ]);
    expect(result.status, result.stderr).toBe(0);
  });
});

describe("monitor", () => {
  test("decisions are printed as they are made, with client, dialled address, mapping, destination and verdict", async () => {
    const { server, client } = network;
    const watcher = await server.startMonitor(["--json"], async () => {
      await client.dial("tcp", "203.0.113.1", 80);
    });
    const dial = await client.dial("udp", "203.0.113.5", 53);
    const port = dial.answered ? dial.client.port : 0;
    const line = await watcher.waitFor((self) =>
      self.stdout.split("\n").find((text) => text.includes(String(port)) && text.includes("names")),
    );
    const decision = JSON.parse(line) as Record<string, unknown>;
    expect(decision).toMatchObject({ verdict: "selected" });
    for (const word of ["203.0.113.100", "203.0.113.5", "names", "127.0.1.53"]) {
      expect(line).toContain(word);
    }
    const stopped = await watcher.stop("SIGINT");
    expect(stopped.status, stopped.stderr).toBe(0);
  });

  test("misses are seen too, in words", async () => {
    const { server, client } = network;
    const watcher = await server.startMonitor([], async () => {
      await client.dial("tcp", "203.0.113.1", 9100);
    });
    await watcher.waitForOutput(/missed.*\n|\n.*missed/);
    expect(watcher.stdout).toContain("lost");
    expect(watcher.stdout).toContain("203.0.113.1:9100");
    await watcher.stop("SIGINT");
  });
});

describe("exit statuses", () => {
  const table: readonly (readonly [number, string, readonly string[]])[] = [
    [0, "--version", ["--version"]],
    [0, "--help", ["--help"]],
    [2, "an unknown command", ["frobnicate"]],
    [2, "an unknown option", ["status", "--frobnicate"]],
    [2, "apply without a file", ["apply"]],
    [2, "explain without an address", ["explain", "tcp"]],
    [2, "explain with an unknown protocol", ["explain", "sctp", "203.0.113.1:80"]],
    [2, "explain with a malformed address", ["explain", "tcp", "203.0.113.999:80"]],
    [2, "explain with port 0", ["explain", "tcp", "203.0.113.1:0"]],
    [3, "a file that is not there", ["apply", "-f", "/nonexistent/rules.yaml"]],
    [3, "an argument that is no mapping", ["add", "tcp:http=127.0.0.1"]],
    [1, "removing what is not there", ["remove", "tcp:1"]],
  ];
  for (const [status, what, args] of table) {
    test(`${what} is exit ${status}`, async () => {
      const { server } = network;
      const plain = args[0]?.startsWith("--") === true || args[0] === "frobnicate";
      const command = server.ilmCommand(args);
      const result = await server.run(plain ? command.slice(0, -2) : command);
      expect(result.status, result.stdout + result.stderr).toBe(status);
      if (status !== 0) expect(result.stderr).not.toBe("");
    });
  }

  test("a network namespace that is not there is exit 4", async () => {
    const [ilm = ""] = network.server.ilmCommand([]);
    const result = await network.server.run([ilm, "status", "--netns", "/run/netns/nonexistent"]);
    expect(result.status).toBe(4);
    expect(result.stderr).toContain("/run/netns/nonexistent");
  });

  test("a command that fails says so on standard error alone, with --json as JSON or nothing on standard output", async () => {
    const { server } = network;
    const result = await server.ilm(["apply", "-f", "/nonexistent/rules.yaml", "--json"]);
    expect(result.status).toBe(3);
    if (result.stdout !== "") result.json();
    expect(result.text).toContain("/nonexistent/rules.yaml");
  });
});

describe("before anything is loaded", () => {
  test("status, mappings and listeners work, and explain says that nothing is loaded", async () => {
    const { client } = network;
    // The client's namespace has never seen ilm.
    const ilm = async (
      ...args: readonly string[]
    ): Promise<{ status: number | null; stdout: string }> =>
      await client.run([...network.server.ilmCommand(args).slice(0, -1), client.path]);
    expect(JSON.parse((await ilm("status", "--json")).stdout)).toMatchObject({
      loaded: false,
      generation: null,
    });
    expect(JSON.parse((await ilm("mappings", "--json")).stdout)).toEqual([]);
    expect(JSON.parse((await ilm("listeners", "--json")).stdout)).toEqual(expect.any(Array));
    expect((await ilm("explain", "tcp", "203.0.113.100:80")).status).toBe(1);
    expect((await ilm("unload")).status).toBe(0);
  });
});

describe("without rights", () => {
  const needRoot = [
    "status",
    "mappings",
    "wait web",
    "history",
    "export",
    "listeners",
    "flows",
    "metrics",
    "explain tcp 203.0.113.5:80",
    "monitor --count 1",
    "audit",
    "address",
    "hosts",
    "import nft",
    "adopt --dry-run",
    "apply tcp:81=127.0.1.10",
    "run tcp:81=127.0.1.10",
    "add tcp:81=127.0.1.10",
    "remove web",
    "drain web",
    "undrain web",
    "rollback",
    "confirm",
    "off",
    "on",
    "unload",
  ];

  test.each(needRoot)("%s says that it needs root", async (command) => {
    const { server } = network;
    const refused = await server.run(asUser(STRANGER, [ilmCommand, ...words(command)]));
    expect(refused.stderr).toMatch(/^ilm: .*\broot\b.*\n {2}Run as root/);
    expect(refused.status).toBe(4);
    expect(refused.stdout).toBe("");
  });
});
