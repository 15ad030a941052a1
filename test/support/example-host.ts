/**
 * A host on which a reader could type the examples: a booted Debian with nginx and redis,
 * ilm.service and its file, and the files, groups and programs that examples name. Nothing reaches
 * the machine.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll } from "vitest";
import { type BootedHost, useBootedHost } from "./booted-host.js";
import type { Network } from "./network.js";
import { exampleFolder, ilmCommand, ilmUnit, python, root } from "./paths.js";
import type { RunResult } from "./process.js";
import { configurationPath, shownFiles } from "./socket-units.js";

/** The mappings of `closed` are for those who look for clients that nobody serves. */
const configuration = `version: 1
services:
  web:
    unit: nginx.service
    address: [127.0.1.10, "fd5e:ed00::10"]
    wildcard: rewrite
    publish: [80, 443]
mappings:
  - { name: closed, port: 443, on: 198.51.100.1, to: "127.0.1.99:443" }
  - { port: 8088, to: ["web:8080", "127.0.1.20:8081"] }
`;

/** What the rules of `configuration` are tested with. */
const expected = `tcp 203.0.113.5:443 expect web
tcp 198.51.100.1:443 expect closed
tcp 203.0.113.5:22 expect none
`;

const bindings = {
  bindings: [{ label: "web", prefix: "203.0.113.0/24", port: 7000, protocol: "tcp" }],
};

/** As `nft -j list ruleset` prints it. */
const ruleset = {
  nftables: [
    { metainfo: { version: "1.0.6", json_schema_version: 1 } },
    { table: { family: "ip", name: "nat", handle: 1 } },
  ],
};

const iptables = `*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
COMMIT
`;

const ready = {
  run: "ready: network namespace",
  monitor: "selected|missed",
  events: "connected",
  demo: "Ctrl-C ends it",
} as const;

/**
 * A program as an impatient reader uses it: of what stays until Ctrl-C he sees that it works, and
 * then presses it.
 */
const impatient = (program: string): string => `#!/bin/bash
stays=
case " $* " in
  *http://ilm/v1/events*) stays='${ready.events}' ;;
  *' --count '* | *' --seconds '*) ;;
  ' run '*) stays='${ready.run}'; systemctl stop ilm.service ;;
  ' monitor '*) stays='${ready.monitor}' ;;
  ' demo '*--keep*) stays='${ready.demo}' ;;
esac
[ -n "$stays" ] || exec ${program} "$@"
set -m
said=$(mktemp)
${program} "$@" >"$said" 2>&1 &
until grep -qE "$stays" "$said"; do
  kill -0 $! 2>/dev/null || break
  sleep 0.05
done
kill -INT $!
wait $!
status=$?
cat "$said"
# What Ctrl-C ends has not failed.
[ $status -eq 130 ] || exit $status
`;

/** What is before each example. */
const PROLOGUE = `set -m -o pipefail
export HOME=/root
failed=$(mktemp)
trap 'echo "$? $BASH_COMMAND" >>"$failed"' ERR
trap 'echo "-- failed:"; cat "$failed"' EXIT
listens() {
  until ss -Hltnp | grep -q "pid=$1,"; do kill -0 "$1" || return 1; sleep 0.05; done
}
`;

export const order = ["file", "nothing", "app", "unadopted", "socket units"] as const;
/**
 * What is active before an example: the file, followed by ilm.service; nothing; nothing, and a
 * program that systemd did not start, or daemons of packages, on every address; what
 * docs/socket-units.md shows.
 */
export type Situation = (typeof order)[number];

export interface Outcome {
  /** Commands that failed, each behind its status. */
  readonly failed: readonly string[];
  readonly stdout: string;
  readonly stderr: string;
}

export class ExampleHost {
  readonly #host: () => BootedHost;
  /** What is active; null: something else. */
  #situation: Situation | null = null;
  /** The number of the host's network namespace, of which documents show another. */
  #inode: string | null = null;

  constructor(host: () => BootedHost) {
    this.#host = host;
  }

  /** Runs an example, with what it needs. */
  async run(text: string, situation: Situation, folder: string): Promise<Outcome> {
    if (this.#situation !== situation) await this.#must(SITUATIONS[situation]);
    // Who reads waits until the daemon that he has started listens.
    const lines = text
      .split("\n")
      .map((line) => (line.endsWith(" &") ? `${line}\nlistens $!` : line));
    this.#inode ??= (await this.#must("stat -Lc %i /proc/1/ns/net")).trim();
    const shown = lines.join("\n").replaceAll("4026531840", this.#inode);
    const [, before = "", after = ""] = around.find(([about]) => about.test(text)) ?? [];
    const repository = /\bgit\b/.test(text) ? REPOSITORY : "";
    const ran = await this.#bash(
      `${FILES}${repository}${RESUME[situation] ?? ""}${PROLOGUE}cd ${folder}\n${before}\n${shown}\n${after}\n`,
    );
    const [stdout = "", failed] = ran.stdout.split("-- failed:\n");
    if (failed === undefined) throw new Error(`${text}\n${ran.stdout}${ran.stderr}`);
    this.#situation = LEAVES_OTHER.test(text) && situation !== "unadopted" ? null : situation;
    return { failed: failed.split("\n").filter(Boolean), stdout, stderr: ran.stderr };
  }

  async #bash(script: string): Promise<RunResult> {
    return await this.#host().run(["bash", "-c", script], { timeout_ms: 60_000 });
  }

  async #must(script: string): Promise<string> {
    return await this.#host().must(["bash", "-ec", script]);
  }
}

/** A process each time would take the CPUs from what is tested. */
const CLIENTS = `
import socket, time
def dial(address, source):
    try:
        with socket.create_connection((address, 443), 30, (source, 0)) as sock:
            sock.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
            while sock.recv(65536):
                pass
    except OSError:
        pass
while True:
    dial("203.0.113.5", "203.0.113.100")
    dial("198.51.100.1", "198.51.100.7")
    time.sleep(0.05)
`;

/** The folder in which a reader has the files that examples name. */
export const readersFolder = "/root/examples";

const FILES = `rm -rf ${readersFolder}
cp -r /usr/share/examples ${readersFolder}
`;

/** What examples of git need beside them. */
const REPOSITORY = `
git -C ${readersFolder} init --quiet --initial-branch main
git -C ${readersFolder} add ilm.yaml
git -C ${readersFolder} -c user.name=reader -c user.email=reader@example.org commit --quiet --message file
`;

/** What is done before an example, and after it: a change to be confirmed, or taken back. */
const around: readonly (readonly [RegExp, string, string])[] = [
  [/^ilm confirm/, "ilm apply -f new.yaml --confirm 60", ""],
  [/--confirm 60$/, "", "ilm confirm --back"],
  [/^ilm (history|rollback)/, "ilm add tcp:8091=127.0.1.10:80", "ilm remove tcp:8091 || true"],
];

/** After examples that took the place of ilm.service. */
const RESUME: Partial<Record<Situation, string>> = { file: "systemctl start ilm.service\n" };

/** What leaves other rules active than before. */
const LEAVES_OTHER = /\b(unload|adopt|rollback)\b|ilm (apply|run) [^-]|-f -$|confirm(?! --back)/;

const CLEAR = `
systemctl stop ilm.service nginx.service redis-server.service web.socket web.service 2>/dev/null
pkill -u app || true
${ilmCommand} unload
rm -f /etc/ilm/ilm.yaml
`;

const SITUATIONS: Readonly<Record<Situation, string>> = {
  file: `${CLEAR}
cp /usr/share/examples/ilm.yaml /etc/ilm/
systemctl start ilm.service
systemctl start nginx.service`,
  nothing: CLEAR,
  unadopted: `${CLEAR}
sed -i 's/^bind .*/bind 0.0.0.0 ::/; s/^protected-mode .*/protected-mode no/' /etc/redis/redis.conf
systemctl start nginx.service redis-server.service`,
  app: `${CLEAR}
/opt/app/restart.sh`,
  "socket units": `${CLEAR}
cp /usr/share/examples/socket-units.yaml ${configurationPath}
${ilmCommand} apply -f ${configurationPath}
systemctl start web.socket`,
};

function filesOf(): Record<string, string> {
  const examples = readdirSync(exampleFolder).filter((name) => name.endsWith(".yaml"));
  return {
    "/etc/systemd/system/ilm.service": readFileSync(ilmUnit, "utf8").replaceAll(
      "/usr/local/bin/ilm",
      ilmCommand,
    ),
    // Of a checkout below /tmp the unit would see nothing: it has a /tmp of its own.
    "/etc/systemd/system/ilm.service.d/checkout.conf": `[Service]\nBindReadOnlyPaths=${root}\n`,
    // Nobody waits for a name server that is not there.
    "/etc/resolv.conf": "nameserver 127.0.0.1\n",
    // Examples do not wait for systemd's patience.
    "/etc/systemd/system/ilm.service.d/often.conf": "[Unit]\nStartLimitIntervalSec=0\n",
    "/etc/systemd/system/nginx.service.d/often.conf": "[Unit]\nStartLimitIntervalSec=0\n",
    "/etc/nginx/conf.d/443.conf": "server { listen 443; listen [::]:443; }\n",
    "/etc/nginx/conf.d/8080.conf":
      "server { listen 8080; listen [::]:8080; listen 127.0.1.20:8081; }\n",
    // Without its configuration, which is not always active, and its nginx, which runs on demand.
    ...Object.fromEntries(
      [...shownFiles].filter(
        ([path]) => path !== configurationPath && !path.includes("/nginx.service.d/"),
      ),
    ),
    "/usr/share/examples/socket-units.yaml": shownFiles.get(configurationPath) ?? "",
    ...Object.fromEntries(
      readdirSync(join(exampleFolder, "conf.d")).map((name) => [
        `/etc/ilm/conf.d/${name}`,
        readFileSync(join(exampleFolder, "conf.d", name), "utf8"),
      ]),
    ),
    ...Object.fromEntries(
      examples.map((name) => [
        `/usr/share/examples/${name}`,
        readFileSync(join(exampleFolder, name), "utf8"),
      ]),
    ),
    "/usr/share/examples/ilm.yaml": configuration,
    "/usr/share/examples/new.yaml": `${configuration}  - { port: 8090, to: web }\n`,
    "/usr/share/examples/expected.txt": expected,
    "/usr/share/examples/bindings.json": JSON.stringify(bindings),
    "/usr/share/examples/ruleset.json": JSON.stringify(ruleset),
    "/usr/share/examples/iptables.txt": iptables,
  };
}

/** Programs that examples name, and that a host may not have. */
const programs: Readonly<Record<string, string>> = {
  "/usr/local/bin/ilm": impatient(ilmCommand),
  "/usr/local/bin/curl": impatient("/usr/bin/curl"),
  "/usr/local/bin/sudo": '#!/bin/sh\nexec "$@"\n',
  "/usr/local/bin/ssh": "#!/bin/sh\nexit 0\n",
  "/usr/local/bin/alert": "#!/bin/sh\necho alert\n",
  "/usr/local/bin/generate-rules": "#!/bin/sh\ncat /usr/share/examples/ilm.yaml\n",
  "/opt/app/restart.sh": `#!/bin/sh
pkill -u app
cd /
setsid setpriv --reuid app --regid app --clear-groups ${python} -m http.server 9000 >/dev/null 2>&1 &
until ss -Hltn | grep -q :9000; do sleep 0.05; done
`,
};

/** A host for the suite that calls this. */
export function useExampleHost(network: Network): ExampleHost {
  const host = useBootedHost(network, { files: filesOf() });
  beforeAll(async () => {
    for (const [path, text] of Object.entries(programs)) host().write(path, text, 0o755);
    await host().must([
      "bash",
      "-ec",
      `groupadd monitoring
groupadd deploy
useradd app
useradd git
mkdir -p /var/lib/prometheus/node-exporter /usr/local/share/zsh/site-functions /root/.config/fish/completions
ip link add eth0 type veth peer name eth0-end
ip link set eth0 up`,
    ]);
    // Clients, for those who watch: some are served, and nobody has what others dial.
    await network.client.must(["ip", "address", "add", "198.51.100.7/32", "dev", "lo"]);
    network.client.start([python, "-c", CLIENTS]);
  });
  return new ExampleHost(host);
}
