/**
 * What people see at 80 and at 120 columns, compared with files in test/golden, which `vitest -u`
 * writes again: the real commands on a terminal, with fixed rules, addresses and daemons, long ones
 * among them. Nothing that identifies is cut, and no table is wider than the terminal.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeCgroup, removeCgroup } from "../support/cgroup.js";
import { useNetwork } from "../support/network.js";
import { python, root } from "../support/paths.js";

const network = useNetwork();

const UNIT = "a-unit-with-a-name-of-sixty-characters-as-generators-write.service";
const file = "/mnt/ilm.yaml";
/** What `$restart` is in a command, in the shell that runs it. */
const restart = `${UNIT.replace(".service", "")}=/mnt/restart.sh`;

const rules = `version: 1
services:
  web: { address: [127.0.1.10, "fd5e:ed00:1234:5678:9abc:def0:1234:5610"] }
  names: { address: [127.0.1.53, "fd5e:ed00:1234:5678:9abc:def0:1234:5653"] }
  a-service-with-a-name-of-sixty-characters-as-generators-write: { address: 127.0.1.99 }
mappings:
  - { port: 80, to: web }
  - { name: https, port: 443, to: "web:8443" }
  - { name: resolver, protocol: [tcp, udp], port: 53, on: [203.0.113.5, "2001:db8:1234:5678:9abc:def0:1234:5678"], to: names }
  - { name: a-mapping-with-a-name-of-sixty-characters-as-generators-write, port: [8000-8099, 9000, 9002, 9004, 9006], to: [a-service-with-a-name-of-sixty-characters-as-generators-write, web] }
  - { name: office, port: 22, from: [198.51.100.0/24, "2001:db8:aaaa:bbbb:cccc:dddd:eeee:0/112"], interface: up0, to: "127.0.1.22:2222", miss: reject }
  - { name: canary, port: 8443, to: [{ address: web, weight: 900 }, { address: 127.0.1.11, weight: 100 }] }
`;
const other = rules.replace("127.0.1.22:2222", "127.0.1.23:2222").replace("port: 80,", "port: 81,");

/** The command at the end of its line holds these open until it is told to end. */
const daemon = `
import signal, socket, sys
sockets = [
    ("tcp", "127.0.1.10", 80), ("tcp", "127.0.1.10", 8443),
    ("tcp", "fd5e:ed00:1234:5678:9abc:def0:1234:5610", 80),
    ("udp", "127.0.1.53", 53), ("udp", "fd5e:ed00:1234:5678:9abc:def0:1234:5653", 53),
    ("tcp", "::", 2222), ("tcp", "127.0.1.99", 8000),
]
held = []
for protocol, address, port in sockets:
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
    s.bind((address, port))
    if protocol == "tcp":
        s.listen()
    held.append(s)
open("/proc/self/comm", "w").write("long-named-ngin")
# The last socket is closed when it is asked for, as if its daemon had ended.
signal.signal(signal.SIGUSR1, lambda *_: held.pop().close())
open("/mnt/ready", "w")
while True:
    signal.pause()
`;

/** One client after the other, of whom those who watch see a decision each. */
const dials = `
import socket, struct
def client(kind, source, port):
    s = socket.socket(socket.AF_INET6 if ":" in source else socket.AF_INET, kind)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.bind((source, port))
    return s
def tcp(source, port, dialled):
    try:
        client(socket.SOCK_STREAM, source, port).connect(dialled)
    except ConnectionRefusedError:
        pass
def udp(source, port, dialled):
    client(socket.SOCK_DGRAM, source, port).sendto(b"x", dialled)
tcp("203.0.113.1", 40001, ("203.0.113.5", 443))
tcp("2001:db8::1", 40002, ("2001:db8::5", 80))
udp("203.0.113.1", 40003, ("203.0.113.5", 53))
udp("2001:db8::1", 40004, ("2001:db8:1234:5678:9abc:def0:1234:5678", 53))
tcp("203.0.113.1", 40005, ("203.0.113.5", 9000))
tcp("203.0.113.1", 40006, ("203.0.113.5", 22))
`;

const MONITOR = "monitor --count 6";
/** After `apply`. */
const loaded = [
  "mappings",
  "mappings --down",
  "mappings --limit 2",
  "mappings --sort name --rate 0.1 --connections",
  "listeners",
  "audit",
  "address",
  "hosts",
  "explain tcp 203.0.113.5:443 --from 203.0.113.9:5555",
  "explain -f /mnt/ilm.yaml tcp 203.0.113.5:22 --from 198.51.100.9:5555 --interface up0",
  "diff -f /mnt/other.yaml",
  "diff --against /mnt/ilm.yaml -f /mnt/other.yaml --summary",
  "check -f /mnt/ilm.yaml",
] as const;
/** After the end of a listener, and dials. */
const used = ["status", "flows", "doctor"] as const;
/** After `unload`. */
const unloaded = [
  "adopt --dry-run -f /mnt/adopted.yaml",
  "adopt --dry-run -f /mnt/adopted.yaml --restart $restart",
] as const;
const commands = [...loaded, MONITOR, ...used, ...unloaded] as const;
type Command = (typeof commands)[number];

/** Whose output is a table. */
const tables: readonly Command[] = [
  "mappings",
  "mappings --down",
  "mappings --limit 2",
  "mappings --sort name --rate 0.1 --connections",
  "listeners",
  "address",
  "flows",
  MONITOR,
];
const widths = [80, 120] as const;
type Width = (typeof widths)[number];

/** What `doctor` says of FIONREAD on most kernels; its unit tests have both answers. */
const zeroAnswer =
  "this kernel answers 0 for a UDP socket in a socket map, whatever waits; no daemon's socket is in one now";

const MARK = "=====";
const printed = new Map<string, string>();
const json = new Map<string, unknown>();

/** Fixes the number of the next process in this namespace of process ids. */
const fixedPid = "echo 41000 > /proc/sys/kernel/ns_last_pid";

beforeAll(async () => {
  const { server } = network;
  const unit = await makeCgroup(UNIT);
  const [ilm = ""] = server.ilmCommand([]);
  const shown = (run: readonly Command[], width: Width): string =>
    run
      .map(
        (command) =>
          `printf '\\n${MARK} ${width} ${command}\\n'; script -qec "stty cols ${width}; ${ilm} ${command} --no-color 2>/mnt/said.${width}; cat /mnt/said.${width}" /dev/null`,
      )
      .join("\n");
  /** Shows them at both widths at once; `meanwhile` is done when both have begun. */
  const atBoth = (run: readonly Command[], meanwhile = ":"): string => `
(${shown(run, 80)}) > /mnt/80 & narrow=$!
(${shown(run, 120)}) > /mnt/120 & wide=$!
${meanwhile}
wait $narrow $wide
cat /mnt/80 /mnt/120`;
  const watched = `for width in 80 120; do until grep -q TIME /mnt/$width; do sleep 0.02; done; done
${python} /mnt/dials.py`;
  const asJson = ["mappings", "listeners", "address"].map(
    (command) => `printf '\\n${MARK} json ${command}\\n'; ${ilm} ${command} --json`,
  );
  const text = [
    "mount -t tmpfs -o mode=755 none /mnt",
    `export restart=${restart}`,
    `cat > ${file} <<'END'\n${rules}END`,
    `cat > /mnt/other.yaml <<'END'\n${other}END`,
    `cat > /mnt/daemon.py <<'END'\n${daemon}END`,
    `cat > /mnt/dials.py <<'END'\n${dials}END`,
    // Of a machine that systemd has booted, nothing is known here.
    "if [ -d /run/systemd ]; then mount -t tmpfs none /run/systemd; fi",
    "cd /mnt",
    `${ilm} apply -f ${file} > /dev/null 2>&1`,
    fixedPid,
    `(echo 0 > ${unit}/cgroup.procs; exec ${python} /mnt/daemon.py) &`,
    "daemon=$!",
    "until [ -e /mnt/ready ]; do sleep 0.05; done",
    atBoth(loaded),
    ...asJson,
    "kill -USR1 $daemon",
    "ip address add 2001:db8:1234:5678:9abc:def0:1234:5678/64 dev up0 nodad",
    atBoth([MONITOR], watched),
    atBoth(used),
    `${ilm} unload > /dev/null`,
    atBoth(unloaded),
    "kill $daemon; wait $daemon || true",
  ].join("\n");
  const inside = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
  const found = await server.run([...inside, "sh", "-c", text], { timeout_ms: 300_000 });
  for (const part of found.stdout.replaceAll("\r\n", "\n").split(`\n${MARK} `).slice(1)) {
    const [head = ""] = part.split("\n", 1);
    const body = part.slice(head.length + 1);
    if (head.startsWith("json ")) json.set(head.slice(5), JSON.parse(body));
    else printed.set(head, steady(body));
  }
  if (printed.size < commands.length * widths.length) {
    throw new Error(`not all was printed: ${found.stdout}${found.stderr}`);
  }
}, 300_000);

afterAll(async () => {
  await removeCgroup(UNIT);
});

/** What differs from run to run, and from one machine to the next. */
const varying: readonly (readonly [RegExp, string])[] = [
  [/since (?:\S+ )?\d\d:\d\d:\d\d \(\d+ (?:s|min)\)/g, "since 14:02:09 (9 s)"],
  [/^\d\d:\d\d:\d\d\.\d{3}/gm, "14:03:07.120"],
  [/(?<at>ended\s+)(?:[\d-]+\s+)?\d\d:\d\d/g, "$<at>14:02"],
  [/(?<at>none\s+yet\s+since\s+)\d\d:\d\d/g, "$<at>13:58"],
  [/(?: \d|\d\d) s$/gm, " 1 s"],
  [/\b40265\d{5}\b/g, "4026531840"],
  [/Linux \d\S+$/gm, "Linux 6.18.1"],
  [/libbpf: v[\d.]+/g, "libbpf: v1.1"],
  [/cgroup v2: \S+/g, "cgroup v2: /sys/fs/cgroup"],
  [/right, in a socket map too/g, zeroAnswer],
];

function steady(text: string): string {
  return varying.reduce((result, [found, shown]) => result.replaceAll(found, shown), text);
}

function outputOf(command: Command, width: Width): string {
  const text = printed.get(`${width} ${command}`);
  if (text === undefined) throw new Error(`${command} was not run at ${width} columns`);
  return text;
}

function nameOf(command: Command): string {
  return command.replaceAll(/[^a-z0-9]+/g, "-");
}

describe.each(widths)("at %d columns", (width) => {
  test.each(commands)("people see the same as before: ilm %s", async (command) => {
    await expect(outputOf(command, width)).toMatchFileSnapshot(
      `${root}test/golden/${nameOf(command)}.${width}.txt`,
    );
  });

  test.each(tables)("no line of a table is wider than the terminal: ilm %s", (command) => {
    const lines = outputOf(command, width).split("\n");
    const end = lines.indexOf("");
    expect(lines.slice(0, end).filter((line) => line.length > width)).toEqual([]);
  });

  test.each(commands)("nothing is cut: ilm %s", (command) => {
    expect(outputOf(command, width)).not.toMatch(/…|\.\.\./);
  });

  test("a table of mappings has what identifies them whole, as the JSON does", () => {
    const shown = outputOf("mappings", width).split(/\s+/);
    for (const { name, protocol, on, to } of json.get("mappings") as readonly Row[]) {
      expect(shown).toContain(name);
      expect(shown).toContain(protocol);
      for (const prefix of on) expect(shown).toContain(prefix);
      for (const { address, port, service, listener } of to) {
        const place = address.includes(":") ? `[${address}]` : address;
        expect(shown).toContain(port === "same" ? address : `${place}:${port}`);
        if (service !== null) expect(shown.join(" ")).toMatch(new RegExp(`\\(${service}[,)]`));
        if (listener !== null) expect(shown).toContain(`${listener.pid})`);
      }
    }
  });

  test("a table of listeners has what identifies them whole, as the JSON does", () => {
    const shown = outputOf("listeners", width).split(/\s+/);
    for (const row of json.get("listeners") as readonly ListenerRow[]) {
      const place = row.address.includes(":") ? `[${row.address}]` : row.address;
      expect(shown).toContain(`${place}:${row.port}`);
      expect(shown).toContain(String(row.pid));
      expect(shown).toContain(row.command);
      expect(shown).toContain(row.unit);
      for (const name of row.mappings) expect(shown.join(" ")).toMatch(new RegExp(`${name}\\b`));
    }
  });
});

interface Row {
  readonly name: string;
  readonly protocol: string;
  readonly on: readonly string[];
  readonly to: readonly {
    readonly address: string;
    readonly port: number | "same";
    readonly service: string | null;
    readonly listener: { readonly pid: number } | null;
  }[];
}

interface ListenerRow {
  readonly address: string;
  readonly port: number;
  readonly pid: number;
  readonly command: string;
  readonly unit: string;
  readonly mappings: readonly string[];
}
