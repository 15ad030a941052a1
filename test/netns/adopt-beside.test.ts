/** Daemons of other kinds, with open connections, and beside others that work on the host. */
import { afterEach, describe, expect, test } from "vitest";
import { adoptOn, Dials, type Moved, startAdoptable, startUnitOn } from "../support/adoptable.js";
import { useBootedHost } from "../support/booted-host.js";
import { useNetwork } from "../support/network.js";
import { ilmCommand, python } from "../support/paths.js";
import { type Background, eventually } from "../support/process.js";

const network = useNetwork();
const host = useBootedHost(network);

const adopt = async (...args: readonly string[]): Promise<readonly Moved[]> =>
  await adoptOn(host(), ...args);

afterEach(async () => {
  await host().ilm(["adopt", "--undo"]);
  await host().ilm(["unload"]);
  await host().run(["sh", "-c", "systemctl stop 'own-*.service' python-web nginx"]);
});

test("an open transfer gets time to end before the restart, and one that stays open is counted", async () => {
  // It says a byte at once, and the last one when it is asked to.
  const daemon = `import socket, threading
server = socket.create_server(("0.0.0.0", 8009))
def serve(connection):
    connection.sendall(b"begun ")
    connection.sendall(connection.recv(10) and b"ended")
    connection.close()
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()`;
  host().write("/srv/transfer.py", daemon);
  await startUnitOn(host(), "own-transfer", `${python} /srv/transfer.py`);
  await eventually("it listens", async () =>
    (await host().must(["ss", "-Hltn", "sport = :8009"])) === "" ? null : true,
  );
  const open = async (): Promise<Background> => {
    const connection = network.client.start(["nc", "-N", "203.0.113.1", "8009"]);
    await connection.waitForOutput(/begun/);
    return connection;
  };
  const ending = await open();
  const run = host().start([ilmCommand, "adopt", "own-transfer", "--drain", "60", "--json"]);
  await run.waitForOutput(/own-transfer: new connections/);
  // As long as it is open, nothing is restarted; a new connection waits for the new socket.
  const waiting = network.client.start(["nc", "-N", "203.0.113.1", "8009"]);
  expect(run.stderr).not.toContain("systemctl restart");
  ending.write("on\n");
  ending.closeInput();
  expect((await ending.exited).stdout).toBe("begun ended");
  const moved = JSON.parse((await run.exited).stdout) as { services: readonly Moved[] };
  expect(moved.services).toMatchObject([{ outcome: "moved", cut: 0 }]);
  await waiting.waitForOutput(/begun/);

  const undone = await host().ilm(["adopt", "--undo", "--drain", "0.2", "--json"]);
  expect(undone.json()).toMatchObject({ services: [{ outcome: "moved", cut: 1 }] });
  // Until its input ends, nc stays where the other side has gone.
  waiting.closeInput();
  expect((await waiting.exited).stdout).toBe("begun ");
});

describe("beside what else there is", () => {
  test("a daemon with MPTCP sockets is moved, and has TCP then", async () => {
    const daemon = `import socket, http.server as h
def opened():
    try:
        return socket.socket(socket.AF_INET6, socket.SOCK_STREAM, 262)
    except OSError:
        return socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
sock = opened()
sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
sock.bind(("::", 8006))
sock.listen()
server = h.ThreadingHTTPServer(("127.0.0.1", 8006), h.SimpleHTTPRequestHandler, False)
server.socket = sock
server.serve_forever()`;
    host().write("/srv/mptcp.py", daemon);
    await startUnitOn(host(), "own-mptcp", `${python} /srv/mptcp.py`);
    await eventually("it listens", async () =>
      (await host().must(["ss", "-HlnM", "sport = :8006"])) === "" ? null : true,
    );
    const dials = network.client.startPython("dials.py", [
      "ipv4=http:203.0.113.1:8006",
      "ipv6=http:[2001:db8::1]:8006",
    ]);
    await dials.waitForOutput(/dialling/);
    expect(await adopt()).toMatchObject([{ name: "own-mptcp", outcome: "moved" }]);
    expect(await host().must(["ss", "-HlnM", "sport = :8006"])).toBe("");
    const undone = await host().ilm(["adopt", "--undo"]);
    expect(undone.status, undone.text).toBe(0);
    expect(await host().must(["ss", "-HlnM", "sport = :8006"])).not.toBe("");
    dials.closeInput();
    expect((await dials.exited).stdout).not.toMatch(/"failed": \[[^\]]/);
  });

  test("with NAT on the host, TCP and UDP are moved without a failed dial all the same", async () => {
    const table = `table inet people_nat {
  chain post { type nat hook postrouting priority srcnat; oifname "none0" masquerade; }
}
`;
    await host().must(["nft", "-f", "-"], { input: table });
    await startAdoptable(host(), network.client, ["unbound"]);
    const dials = await Dials.start(network.client, ["unbound"]);
    expect(await adopt("unbound")).toMatchObject([{ outcome: "moved" }]);
    const undone = await host().ilm(["adopt", "--undo"]);
    expect(undone.status, undone.text).toBe(0);
    const summary = Object.values(await dials.stop());
    expect(summary.flatMap(({ failed }) => failed)).toEqual([]);
    await host().must(["nft", "delete", "table", "inet", "people_nat"]);
    await host().must(["systemctl", "stop", "unbound"]);
  });

  test("two at a time are refused", async () => {
    await startAdoptable(host(), network.client, ["nginx"]);
    const daemon = `import time, http.server as h
time.sleep(2)
h.ThreadingHTTPServer(("0.0.0.0", 8007), h.SimpleHTTPRequestHandler).serve_forever()`;
    host().write("/srv/slow.py", daemon);
    await startUnitOn(host(), "own-slow", `${python} /srv/slow.py`);
    await eventually("it listens", async () =>
      (await host().must(["ss", "-Hltn", "sport = :8007"])) === "" ? null : true,
    );
    const first = host().start([ilmCommand, "adopt", "own-slow", "--json"]);
    await first.waitForOutput(/own-slow: systemctl restart/);
    const second = await host().ilm(["adopt", "nginx", "--json"]);
    expect(second.stdout).toContain("another `ilm adopt` is at work on this host");
    const { stdout } = await first.exited;
    expect(JSON.parse(stdout)).toMatchObject({ services: [{ outcome: "moved" }] });
    expect(await host().must(["ss", "-Hltn", "sport = :80"])).toContain("0.0.0.0:80");
  });

  test("a running `ilm run` makes the changes, and ends when nothing is adopted any more", async () => {
    await startAdoptable(host(), network.client, ["nginx", "python"]);
    expect(await adopt("nginx")).toMatchObject([{ outcome: "moved" }]);
    const run = host().start([ilmCommand, "run", "-f", "/etc/ilm/ilm.yaml"]);
    await eventually("the daemon runs", async () => {
      const status = await host().ilm(["status", "--json"]);
      return status.stdout.includes('"daemon": null') ? null : true;
    });
    const dials = await Dials.start(network.client, ["nginx", "python"]);
    expect(await adopt()).toMatchObject([{ outcome: "already" }, { outcome: "moved" }]);
    const undone = await host().ilm(["adopt", "--undo"]);
    expect(undone.status, undone.text).toBe(0);
    const summary = Object.values(await dials.stop());
    expect(summary.flatMap(({ failed }) => failed)).toEqual([]);
    expect((await run.exited).status).toBe(0);
  });
});

test("a daemon without a unit is moved by its user and the command that is given", async () => {
  const start =
    "setpriv --reuid daemon --clear-groups setsid python3 -m http.server --bind :: 8005 >/dev/null 2>&1 </dev/null &";
  host().write(
    "/srv/restart.sh",
    `#!/bin/sh\npkill -u daemon python3\nwhile pgrep -u daemon python3; do sleep 0.1; done\n${start}\n`,
    0o755,
  );
  await host().must(["sh", "-c", start]);
  await eventually("it listens", async () =>
    (await host().must(["ss", "-Hltn", "sport = :8005"])) === "" ? null : true,
  );
  expect(await adopt()).toMatchObject([{ name: "daemon", outcome: "not restarted" }]);
  const dials = network.client.startPython("dials.py", [
    "ipv4=http:203.0.113.1:8005",
    "ipv6=http:[2001:db8::1]:8005",
  ]);
  await dials.waitForOutput(/dialling/);
  const restart = ["--restart", "daemon=/srv/restart.sh"];
  expect(await adopt(...restart)).toMatchObject([{ name: "daemon", outcome: "moved" }]);
  const undone = await host().ilm(["adopt", "--undo", ...restart]);
  expect(undone.status, undone.text).toBe(0);
  dials.closeInput();
  expect((await dials.exited).stdout).not.toMatch(/"failed": \[[^\]]/);
  await host().must(["pkill", "-u", "daemon", "python3"]);
});
