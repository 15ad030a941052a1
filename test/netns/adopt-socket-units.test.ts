/** Services that are adopted with a socket unit start with their first connection. */
import { expect, test } from "vitest";
import { Dials, startAdoptable } from "../support/adoptable.js";
import { useBootedHost } from "../support/booted-host.js";
import { useNetwork } from "../support/network.js";
import { python } from "../support/paths.js";
import { eventually } from "../support/process.js";

const network = useNetwork();
const host = useBootedHost(network);
const unitFile = "/etc/systemd/system/own-web.socket";

/** It takes its sockets from systemd, or else opens its own. */
const daemon = `import os, socket, threading
from http.server import ThreadingHTTPServer, BaseHTTPRequestHandler
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"own-web")
handed = int(os.environ.get("LISTEN_FDS", "0"))
sockets = [socket.socket(fileno=fd) for fd in range(3, 3 + handed)]
if not sockets:
    sockets = [socket.create_server(("::", 9000), family=socket.AF_INET6, dualstack_ipv6=True)]
for sock in sockets:
    server = ThreadingHTTPServer(("127.0.0.1", 9000), Handler, bind_and_activate=False)
    server.socket = sock
    threading.Thread(target=server.serve_forever).start()
`;

async function dialled(action: () => Promise<void>): Promise<readonly string[]> {
  const dials = network.client.startPython("dials.py", [
    "ipv4=http:203.0.113.1:9000",
    "ipv6=http:[2001:db8::1]:9000",
  ]);
  await dials.waitForOutput(/dialling/);
  await action();
  dials.closeInput();
  const { stdout } = await dials.exited;
  const summary = JSON.parse(stdout.split("\n")[1] ?? "") as Record<string, { failed: string[] }>;
  return Object.values(summary).flatMap(({ failed }) => failed);
}

test("the unit is written, starts the service with its first connection, and goes with --undo", async () => {
  host().write("/srv/own-web.py", daemon);
  await host().units({ "own-web.service": `[Service]\nExecStart=${python} /srv/own-web.py\n` });
  await host().must(["systemctl", "start", "own-web"]);
  await eventually("it listens", async () =>
    (await host().must(["ss", "-Hltn", "sport = :9000"])) === "" ? null : true,
  );
  const failed = await dialled(async () => {
    const adopted = await host().ilm(["adopt", "--socket-units", "own-web", "--json"]);
    expect(adopted.json()).toMatchObject({ services: [{ name: "own-web", outcome: "moved" }] });
  });
  expect(failed).toEqual([]);
  const [ipv4 = "", ipv6 = ""] = (await host().must(["/bin/sh", "-c", "grep ^Listen " + unitFile]))
    .trim()
    .split("\n");
  expect(ipv4).toMatch(/^ListenStream=127\.\d+\.\d+\.\d+:9000$/);
  expect(ipv6).toMatch(/^ListenStream=\[fd[0-9a-f:]+\]:9000$/);
  await host().must(["systemctl", "stop", "own-web.service"]);
  expect(await network.client.curl("2001:db8::1", 9000)).toBe("own-web");
  expect(await host().must(["systemctl", "is-active", "own-web.service"])).toBe("active\n");
  await host().must(["systemctl", "stop", "own-web.service"]);
  expect(await network.client.curl("203.0.113.1", 9000)).toBe("own-web");

  const failedBack = await dialled(async () => {
    const undone = await host().ilm(["adopt", "--undo", "--json"]);
    expect(undone.json()).toMatchObject({ services: [{ name: "own-web", outcome: "moved" }] });
  });
  expect(failedBack).toEqual([]);
  expect((await host().run(["test", "-e", unitFile])).status).toBe(1);
  expect(await host().must(["ss", "-Hltn", "sport = :9000"])).toContain("*:9000");
  await host().must(["systemctl", "stop", "own-web.service"]);
});

test("a daemon that does not take its sockets from systemd is taken back, and the unit with it", async () => {
  await startAdoptable(host(), network.client, ["nginx"]);
  const adopted = await host().ilm(["adopt", "--socket-units", "nginx", "--json"]);
  expect(adopted.json()).toMatchObject({ services: [{ name: "nginx", outcome: "taken back" }] });
  expect(adopted.stdout).toContain("sd_listen_fds(3)");
  expect((await host().run(["test", "-e", "/etc/systemd/system/nginx.socket"])).status).toBe(1);
  const dials = await Dials.start(network.client, ["nginx"]);
  const summary = Object.values(await dials.stop());
  expect(summary.flatMap(({ failed }) => failed)).toEqual([]);
});

test("a socket unit of others is left as it is", async () => {
  host().write("/etc/systemd/system/nginx.socket", "[Socket]\nListenStream=/run/others\n");
  const adopted = await host().ilm(["adopt", "--socket-units", "nginx", "--json"]);
  expect(adopted.status).toBe(2);
  expect(adopted.stdout).toContain("adopt did not write it");
  expect(await host().must(["cat", "/etc/systemd/system/nginx.socket"])).toContain("/run/others");
  const dials = await Dials.start(network.client, ["nginx"]);
  const summary = Object.values(await dials.stop());
  expect(summary.flatMap(({ failed }) => failed)).toEqual([]);
});
