/**
 * What every command prints with --json has the fields that the reference publishes, and no others;
 * and each published field is printed. The demo's output is held against its shape in demo.test.ts.
 */
import type { HistoryJson } from "../../src/json/history.js";
import { writeFileSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import { failureOutput, outputs, type Output } from "../../src/json/outputs.js";
import { conforms, pathsOf } from "../support/conforms.js";
import { addNat, nft, removeRules } from "../support/neighbours.js";
import { useNetwork } from "../support/network.js";
import { lockRoot, python } from "../support/paths.js";
import { eventually } from "../support/process.js";
import { timeIsOver } from "../support/time-over.js";

const network = useNetwork();

const rules = `
version: 1
mptcp: off
ula: "fd5e:ed00:1::/48"
services:
  web: { address: [127.0.1.10, "fd5e:ed00::10"] }
  names: { address: 127.0.1.53, originate: true, handover: auto }
  owned: { address: 127.0.1.77, unit: nginx, user: root, group: root, mptcp: off, wildcard: report, description: "a daemon with an owner" }
mappings:
  - { name: web, port: [80, 443], to: web, description: the shop }
  - { name: names, protocol: udp, port: 53, on: 203.0.113.5, to: names }
  - { name: some, port: 8000-8010, on: 203.0.113.0/24, from: 203.0.113.0/24, interface: up0, to: ["web:80", "127.0.1.12:80"] }
  - { name: wild, port: 9100, to: "web:9001" }
  - { name: owned, port: 9300, to: owned }
  - { name: away, port: 9200, to: "192.0.2.9:80", listeners: { unit: nginx, user: root, group: root } }
`;

const firewall = `table inet people {
  chain input {
    type filter hook input priority filter; policy accept;
    tcp dport 443 drop
  }
}
`;

const redirections = `table ip people_nat {
  chain pre {
    type nat hook prerouting priority dstnat;
    tcp dport 6000 redirect to :7000
    ip daddr 203.0.113.1 tcp dport 6005 dnat to 192.0.2.9:80
  }
}
`;

const hanging = `
import socket, time
listener = socket.socket(socket.AF_INET6)
listener.bind(("fd5e:ed00::10", 443))
listener.listen(0)
clients = [socket.socket(socket.AF_INET6) for _ in range(3)]
for client in clients:
    client.setblocking(False)
    client.connect_ex(("fd5e:ed00::10", 443))
print("full", flush=True)
time.sleep(600)
`;

interface Document {
  readonly what: string;
  readonly output: Output;
  readonly value: unknown;
}

const documents: Document[] = [];

/** The only output of a command, or the one that is printed then. */
function outputOf(command: string, when?: string): Output {
  const found = outputs[command]?.filter((output) => when === undefined || output.when === when);
  const [output] = found ?? [];
  if (output === undefined) throw new Error(`${command} prints no JSON${when ?? ""}`);
  return output;
}

function keep(what: string, output: Output, value: unknown): void {
  documents.push({ what, output, value });
}

function keepLines(command: string, text: string): void {
  for (const line of text.split("\n").slice(0, -1)) {
    keep(`${command}: ${line.slice(0, 80)}`, outputOf(command), JSON.parse(line));
  }
}

/** Commands that print something else without operands. */
const whenAlone: Readonly<Record<string, string>> = { drain: ", without a destination" };

/** Runs a command that does not fail, and keeps what it prints. */
async function look(words: string, ...files: readonly string[]): Promise<void> {
  const args = [...words.split(" "), ...files];
  const [command = ""] = args;
  const isOne = /^history \d/.test(words);
  const other = isOne ? " and a number" : whenAlone[words];
  const dry = args.includes("--dry-run") ? " and `--dry-run`" : other;
  const result = await network.server.ilm([...args, "--json"]);
  // 1: it found what it looks for.
  expect([0, 1], result.text).toContain(result.status);
  keep(words, outputOf(command, dry ?? ""), result.json());
}

/** Runs a command that fails, and keeps what it prints. */
async function fail(output: Output, ...args: readonly string[]): Promise<void> {
  const result = await network.server.ilm([...args, "--json"]);
  expect(result.status).not.toBe(0);
  keep(`${args[0] ?? ""}, which fails`, output, result.json());
}

beforeAll(async () => {
  const { server, client } = network;
  const file = server.file(rules);
  const wrong = server.file(rules.replace("port: 9100", "port: 91000"));
  const changed = server.file(rules.replace("9001", "9002").replace("mptcp: off", "mptcp: on"));

  // Before the rules: nobody registers a UDP socket that binds later.
  await server.echo("web", [
    ["tcp", "127.0.1.10", 80],
    ["tcp", "127.0.1.10", 443],
  ]);
  await server.echo("names", [["udp", "127.0.1.53", 53]]);
  await server.echo("wild", [["tcp", "0.0.0.0", 9001]]);
  await server.echo("stranger", [["tcp", "127.0.1.77", 9300]]);
  await server.echo("own", [["tcp", "203.0.113.5", 80]]);

  for (const words of ["status", "mappings", "unload"]) await look(words);
  await fail(failureOutput, "explain", "tcp", "203.0.113.1:80");
  await fail(failureOutput, "apply", "-f", wrong);
  await fail(failureOutput, "status", "now");

  await look("check -f", file);
  await fail(outputOf("check", ", when the configuration is wrong"), "check", "-f", wrong);
  await look("diff -f", file);
  await look("apply --dry-run -f", file);
  await look("apply -f", file);
  await look("diff -f", changed);
  await look("diff --against", file, "-f", changed);
  await look("diff", "tcp:80=127.0.1.11");
  await look("apply --dry-run -f", changed);
  for (const words of [
    "add --dry-run tcp:7000=127.0.1.10:80",
    "add tcp:7000=127.0.1.10:80",
    "remove --dry-run tcp:7000",
    "remove tcp:7000",
    "add --for 1h tcp:7000=127.0.1.10:80",
    "mappings",
    "remove tcp:7000",
    "drain",
    "drain --force web:80 tcp:127.0.1.77",
    "drain --force --until-idle --timeout 0 web:80",
    "drain",
    "status",
    "undrain web:80 tcp:127.0.1.77",
    "add --confirm 600 tcp:7000=127.0.1.10:80",
    "status",
    "confirm",
    "remove --confirm 600 tcp:7000",
    "confirm --back",
    "remove tcp:7000",
    "off",
    "on",
    "rollback 1 --dry-run",
    "rollback 2",
    "rollback",
  ]) {
    await look(words);
  }
  await look("apply -f", changed);
  const { changes } = (await server.ilmDone(["history", "--json"])).json() as HistoryJson;
  for (const words of ["history", "history 2", `history ${changes[0]?.number ?? 0}`]) {
    await look(words);
  }
  await look("add --confirm 600 tcp:7001=127.0.1.10:80");
  await timeIsOver(server);
  await look("history");
  await look("apply -f", file);

  const answers = outputOf("explain", outputs["explain"]?.[1]?.when);
  for (const words of [
    "tcp 203.0.113.1:80 --expect web",
    "tcp 203.0.113.1:9200 --listening 192.0.2.9:80",
    "udp 203.0.113.5:53 --interface up0",
  ]) {
    const result = await server.ilm(["explain", "-f", file, ...words.split(" "), "--json"]);
    keep(`explain -f ${words}`, answers, result.json());
  }
  const [answered = "", refused = ""] = (
    await server.ilm(["explain", "-", "--json"], { input: "tcp 203.0.113.1:80\nsctp\n" })
  ).stdout.split("\n");
  keep("explain -", answers, JSON.parse(answered));
  keep(
    "explain -, of no question",
    outputOf("explain", outputs["explain"]?.[2]?.when),
    JSON.parse(refused),
  );

  await client.who("udp", "203.0.113.5", 53);
  await nft(server, firewall);
  for (const words of [
    "status",
    "mappings",
    "mappings --connections",
    "mappings --sort rate --rate 0.1",
    "listeners",
    "flows",
    "metrics",
    "explain tcp 203.0.113.1:80",
    "explain tcp 203.0.113.1:443",
    "explain tcp 203.0.113.5:80",
    "explain tcp 203.0.113.1:9100",
    "explain tcp 203.0.113.1:9300",
    "explain udp 203.0.113.5:53 --interface up0",
    "explain tcp [2001:db8::1]:22",
    "audit",
    "doctor",
    "address web new",
    "hosts",
  ]) {
    await look(words);
  }
  await removeRules(server);
  const monitor = await server.startMonitor(["--json"], async () => {
    await client.who("tcp", "203.0.113.1", 80);
    await client.who("tcp", "203.0.113.1", 9100);
  });
  keepLines("monitor", (await monitor.stop("SIGINT")).stdout);
  const summed = await server.ilmDone(["monitor", "--json", "--summary", "--seconds", "0.1"]);
  const ofSummary = outputOf("monitor", " and `--summary`, on the last line");
  keep("monitor --summary", ofSummary, summed.json());
  await nft(server, redirections);
  await look("import nft");
  await removeRules(server);
  await addNat(server, 4);
  await look("apply -f", file);
  await removeRules(server);

  const followed = server.file(rules);
  const run = await server.startRun(["--json", "-f", followed]);
  await look("status");
  await look("reload");
  await look("add tcp:7000=127.0.1.10:80 tcp:7001=127.0.1.10:81 tcp:7002=web:7002");
  await look("wait tcp:7000 tcp:7001 --timeout 0");
  const bind = `import socket; socket.socket().bind(("127.0.1.77", 9301))`;
  await server.run([python, "-c", bind]);
  await run.process.waitForOutput(/"refusal":/);
  // A daemon that hangs, one that comes and goes, and one that is restarted until a line has it.
  const hangs = server.start([python, "-c", hanging]);
  await hangs.waitForOutput(/full/);
  const start = async (tag: string) => await server.echo(tag, [["tcp", "127.0.1.10", 81]]);
  const gone = await start("gone");
  // And one that serves one family first, and then both.
  await server.echo("four", [["tcp", "127.0.1.10", 7002]]);
  await run.process.waitForOutput(/"started":\{"count":[1-9].*\n/);
  await run.process.waitForOutput(/"gaps":\{"count":[1-9].*\n/);
  await gone.stop();
  await server.echo("six", [["tcp", "fd5e:ed00::10", 7002]]);
  await run.process.waitForOutput(/"ended":\{"count":[1-9].*\n/);
  await run.process.waitForOutput(/"whole":\{"count":[1-9].*\n/);
  await look("status");
  let current = await start("back");
  await run.process.waitForOutput(/"served":\{"count":[1-9].*\n/);
  await eventually("a listener was restarted", async () => {
    await current.stop();
    current = await start("again");
    return /"restarted":\{"count":[1-9].*\n/.test(run.process.stderr) ? true : null;
  });
  await hangs.stop();
  writeFileSync(followed, rules.replace("port: 9100", "port: 91000"));
  await run.process.waitForOutput(/"code":"CONFIGURATION".*\n/);
  await look("status");
  // It has the lock, and nobody is told so over the socket.
  run.process.signal("SIGSTOP");
  await server.must(["rm", `${lockRoot}/${server.inode}.sock`]);
  await look("status");
  run.process.signal("SIGCONT");
  keepLines("run", (await run.stop()).stderr);
  await look("unload");
});

describe("each command", () => {
  // The demo has namespaces of its own, and adopting needs systemd: adopt-ssh.test.ts.
  const named = Object.entries(outputs).filter(([command]) => !["demo", "adopt"].includes(command));

  test("prints what its shape says", () => {
    const problems = documents.flatMap(({ what, output, value }) =>
      conforms(output.shape, value).map((problem) => `ilm ${what}: ${problem}`),
    );
    expect(problems).toEqual([]);
  });

  test.each(named)("prints each field that is published: %s", (_command, printed) => {
    const ofNamed = new Set<string>();
    for (const { output, value } of documents) conforms(output.shape, value, ofNamed);
    for (const output of printed) {
      const seen = new Set<string>();
      for (const one of documents) {
        if (one.output === output) conforms(output.shape, one.value, seen);
      }
      const unseen = pathsOf(output.shape).filter(
        // What several commands print is looked for in all of them.
        (path) => !(path.startsWith("<") ? ofNamed : seen).has(path),
      );
      expect(unseen, `with --json${output.when}`).toEqual([]);
    }
  });
});
