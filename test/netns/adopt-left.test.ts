/** What is not adopted: daemons that do not come back, what is left alone, and files of others. */
import { afterEach, describe, expect, test } from "vitest";
import {
  type AdoptableName,
  adoptOn,
  Dials,
  type Moved,
  startAdoptable,
  startUnitOn,
} from "../support/adoptable.js";
import { useBootedHost } from "../support/booted-host.js";
import { useNetwork } from "../support/network.js";
import { python, script } from "../support/paths.js";
import { eventually } from "../support/process.js";

const network = useNetwork();
const host = useBootedHost(network);

interface Plan {
  readonly services: readonly { readonly name: string }[];
  readonly left: readonly {
    readonly protocol: string;
    readonly address: string;
    readonly port: number;
    readonly kind: string;
  }[];
}

async function plan(...args: readonly string[]): Promise<Plan> {
  const shown = await host().ilm(["adopt", "--dry-run", "--json", ...args]);
  expect(shown.status, shown.text).toBe(0);
  return shown.json() as Plan;
}

const adopt = async (...args: readonly string[]): Promise<readonly Moved[]> =>
  await adoptOn(host(), ...args);

afterEach(async () => {
  await host().ilm(["adopt", "--undo"]);
  await host().ilm(["unload"]);
  await host().run(["sh", "-c", "systemctl stop 'own-*.service' python-web nginx"]);
});

describe("a daemon that does not come back", () => {
  const names: readonly AdoptableName[] = ["python"];

  test("is taken back to where it was, with its journal, and is reached again", async () => {
    // It does not start while somebody else has its address, as a daemon with a check of its own.
    const daemon = `import socket, sys, http.server as h
s = h.ThreadingHTTPServer(("0.0.0.0", 8000), h.SimpleHTTPRequestHandler)
inode = __import__("os").fstat(s.fileno()).st_ino
at = [l.split()[1] for l in open("/proc/self/net/tcp") if l.split()[9] == str(inode)][0]
if not at.startswith("00000000"): sys.exit("own-picky wants every address")
s.serve_forever()`;
    host().write("/srv/picky.py", daemon);
    await startUnitOn(host(), "own-picky", `${python} /srv/picky.py`);
    await eventually("it listens", async () =>
      (await host().must(["ss", "-Hltn", "sport = :8000"])) === "" ? null : true,
    );
    const services = await adopt();
    expect(services).toMatchObject([{ name: "own-picky", outcome: "taken back" }]);
    expect(services[0]?.message).toContain("own-picky wants every address");
    expect(await network.client.curl("203.0.113.1", 8000)).toContain("Directory listing");
    expect(await host().must(["cat", "/etc/ilm/ilm.yaml"])).toContain("mappings: []");
  });

  test("on the way back too", async () => {
    await startAdoptable(host(), network.client, names);
    expect(await adopt()).toMatchObject([{ outcome: "moved" }]);
    // It starts no more but on its own address: as long as somebody has the wildcard one.
    await host().units({
      "python-web.service.d/own.conf":
        "[Service]\nExecStartPre=sh -c 'test ! -e /run/broken || ! rm /run/broken'\n",
    });
    host().write("/run/broken", "");
    const dials = await Dials.start(network.client, names);
    const undone = await host().ilm(["adopt", "--undo", "--json"]);
    const summary = Object.values(await dials.stop());
    const { services } = undone.json() as { services: readonly Moved[] };
    expect(services).toMatchObject([{ name: "python-web", outcome: "taken back" }]);
    expect(undone.status).toBe(1);
    expect(summary.flatMap(({ failed }) => failed)).toEqual([]);
    expect(await host().must(["cat", "/etc/ilm/ilm.yaml"])).toContain("publish: 8000");
  });
});

describe("what is left alone", () => {
  test("has its reason", async () => {
    const daemon = `import socket, signal
def bound(kind, address, port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, kind)
    sock.bind((address, port))
    if kind == socket.SOCK_STREAM: sock.listen()
    return sock
sockets = [
    bound(socket.SOCK_STREAM, "0.0.0.0", 8001),
    bound(socket.SOCK_STREAM, "127.0.0.1", 8002),
    bound(socket.SOCK_STREAM, "203.0.113.5", 8003),
    bound(socket.SOCK_DGRAM, "0.0.0.0", 5353),
    bound(socket.SOCK_DGRAM, "0.0.0.0", 40001),
    bound(socket.SOCK_STREAM, "::", 40002),
]
signal.pause()`;
    host().write("/srv/many.py", daemon);
    await startUnitOn(host(), "own-many", `${python} /srv/many.py`);
    const root = host().start([python, "-m", "http.server", "--bind", "0.0.0.0", "8004"]);
    await eventually("they listen", async () => {
      const shown = await host().must(["ss", "-Htuln"]);
      return [":8004", ":40002"].every((port) => shown.includes(port)) ? true : null;
    });
    const { services, left } = await plan();
    expect(services.map(({ name }) => name)).toEqual(["own-many"]);
    expect(left.map(({ protocol, port, kind }) => [protocol, port, kind])).toEqual([
      ["udp", 5353, "group"],
      ["tcp", 8002, "loopback"],
      ["tcp", 8003, "address"],
      ["tcp", 8004, "session"],
      ["udp", 40_001, "client"],
      ["tcp", 40_002, "assigned"],
    ]);
    await root.stop();
  });

  test("of a daemon that is moved, its other sockets hold what is dialled during its restart", async () => {
    const daemon = `import threading, http.server as h
for at in ("0.0.0.0", 8000), ("203.0.113.5", 8003), ("127.0.0.1", 8002):
    s = h.ThreadingHTTPServer(at, h.SimpleHTTPRequestHandler)
    threading.Thread(target=s.serve_forever).start()`;
    host().write("/srv/three.py", daemon);
    await startUnitOn(host(), "own-three", `${python} /srv/three.py`);
    await eventually("it listens", async () =>
      (await host().must(["ss", "-Hltn", "sport = :8002"])) === "" ? null : true,
    );
    const outside = network.client.startPython("dials.py", [
      "every=http:203.0.113.1:8000",
      "exact=http:203.0.113.5:8003",
    ]);
    const inside = host().start([python, script("dials.py"), "loopback=http:127.0.0.1:8002"]);
    await outside.waitForOutput(/dialling/);
    await inside.waitForOutput(/dialling/);
    expect(await adopt()).toMatchObject([{ name: "own-three", outcome: "moved" }]);
    const undone = await host().ilm(["adopt", "--undo"]);
    expect(undone.status, undone.text).toBe(0);
    for (const dials of [outside, inside]) {
      dials.closeInput();
      const { stdout } = await dials.exited;
      expect(stdout).toContain('"answered": ');
      expect(stdout).not.toMatch(/"failed": \[[^\]]/);
    }
  });
});

describe("a file or rules of others", () => {
  test.each([
    ["that it did not write", "version: 1\nmappings: []\n", "did not write it"],
    ["that was changed since", null, "has been changed since"],
  ])("a file %s is left as it is", async (_, content, message) => {
    await startAdoptable(host(), network.client, ["python"]);
    if (content === null) {
      expect(await adopt()).toMatchObject([{ outcome: "moved" }]);
      await host().must(["sh", "-c", "echo '# mine' >>/etc/ilm/ilm.yaml"]);
    } else {
      host().write("/etc/ilm/ilm.yaml", content);
    }
    const before = await host().must(["cat", "/etc/ilm/ilm.yaml"]);
    for (const args of [[], ["--undo"], ["--dry-run"]]) {
      const refused = await host().ilm(["adopt", ...args]);
      expect(refused.status).toBe(2);
      expect(refused.stderr).toContain(message);
    }
    expect(await host().must(["cat", "/etc/ilm/ilm.yaml"])).toBe(before);
    await host().must(["rm", "/etc/ilm/ilm.yaml"]);
    await host().ilm(["unload"]);
    await host().must(["systemctl", "restart", "python-web"]);
  });

  test("with the rules of another file active, it changes nothing", async () => {
    await startAdoptable(host(), network.client, ["python"]);
    host().write("/etc/others.yaml", "version: 1\nmappings: [{ port: 9000, to: 127.0.1.9 }]\n");
    expect((await host().ilm(["apply", "-f", "/etc/others.yaml"])).status).toBe(0);
    const refused = await host().ilm(["adopt"]);
    expect(refused.status).toBe(2);
    expect(refused.stderr).toContain("the active rules are those of /etc/others.yaml");
  });
});
