// Goal: what documents show of the output is what the program prints. Names, numbers and addresses
// may differ; words and columns do not.
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { linesFor } from "../../../src/adopt/daemons.js";
import { listeners } from "../../../src/cli/commands/listeners.js";
import { describeHealth, describeTurns } from "../../../src/daemon/describe-health.js";
import { createLogger, type Level } from "../../../src/daemon/log.js";
import type { UnservedJson } from "../../../src/json/health.js";
import { formatTime } from "../../../src/words/text.js";
import { describeRefused } from "../../../src/words/refusal.js";
import { fencesOf } from "../../support/examples.js";
import { World } from "../cli/commands/world.js";
import { listener } from "../cli/fixtures.js";
import { address, mapping } from "../daemon/fixtures.js";

/** Returns the block of a document that has this text. */
function blockWith(document: string, text: string): string {
  const fences = fencesOf(readFileSync(document, "utf8"));
  const found = fences.filter((fence) => fence.text.includes(text));
  expect(found.length, `blocks of ${document} with ${text}`).toBe(1);
  return found[0]?.text ?? "";
}

/** What the program prints on a wide terminal, as test/netns/golden.test.ts has it. */
function golden(name: string): string[] {
  return readFileSync(`test/golden/${name}.120.txt`, "utf8").trimEnd().split("\n");
}

/** As the log of `ilm run` has it. */
function logged(...entries: readonly (readonly [Level, string])[]): string {
  let text = "";
  const logger = createLogger({ json: false, write: (line) => (text += line) });
  for (const [level, message] of entries) logger.log(level, message);
  return text.trimEnd();
}

test("docs/daemon.md: listeners that come and go", () => {
  const none = { count: 0, listeners: [] };
  const nobody = { count: 0, mappings: [] };
  const nothing = {
    unserved: nobody,
    served: nobody,
    down: 0,
    gaps: nobody,
    degraded: nobody,
    whole: nobody,
  };
  const listener = { protocol: "tcp", address: "127.0.1.10", port: 80, user: "root" } as const;
  const turn = { count: 1, listeners: [{ ...listener, unit: "nginx.service" }] };
  const at = new Date();
  const web: UnservedJson = {
    name: "web",
    protocol: "tcp",
    owner: "unit nginx.service",
    ended: { at: at.toISOString(), user: "root", unit: "nginx.service" },
    neverSince: null,
  };
  const one = { count: 1, mappings: [web] };
  const printed = logged(
    ["info", describeTurns({ started: none, ended: turn, restarted: none })],
    ["warning", describeHealth({ ...nothing, unserved: one, down: 1 })],
    ["info", describeTurns({ started: turn, ended: none, restarted: none })],
    ["info", describeHealth({ ...nothing, served: one })],
  );
  expect(blockWith("docs/daemon.md", "listener ended")).toBe(
    printed.replace(formatTime(at), "14:02"),
  );
  const absent = { ended: web.ended, neverSince: null };
  const dns = { name: "dns", protocol: "udp", family: 6, drained: false, ...absent } as const;
  const canary = { address: "127.0.1.11", port: 80, service: "canary", ...absent };
  const of = { name: "web", protocol: "tcp", destinations: 3, down: [canary] } as const;
  const partly = logged(
    ["warning", describeHealth({ ...nothing, gaps: { count: 1, mappings: [dns] } })],
    ["warning", describeHealth({ ...nothing, degraded: { count: 1, mappings: [of] } })],
    ["info", describeHealth({ ...nothing, whole: one })],
  );
  expect(blockWith("docs/daemon.md", "no listener for IPv6")).toBe(
    partly.replaceAll(formatTime(at), "02:49"),
  );
});

test("docs/daemon.md: a bind that was refused", () => {
  const owner = { unit: "nginx.service" };
  const { origin } = mapping("web");
  const services = [{ name: "web", addresses: [address("127.0.1.10")], owner, origin }];
  const attempt = {
    reason: "mapped",
    protocol: "tcp",
    address: address("203.0.113.1"),
    port: 6000,
    uid: 1000,
    gid: 1000,
    pid: 4711,
    command: "python3",
  } as const;
  const who = { ...attempt, user: "alice", unit: "old.service" };
  const text = describeRefused(attempt, who, { mapping: mapping("web"), services });
  expect(blockWith("docs/daemon.md", "was not allowed to bind")).toBe(
    logged(["warning", `${text} (\`ilm audit\` has the remedy)`]),
  );
});

test("docs/troubleshooting.md: the sums of monitor", () => {
  const shape = (line = "") => line.replaceAll(/\d+/g, "N");
  const shown = blockWith("docs/troubleshooting.md", "left out by --sample");
  // The golden output is without --sample.
  expect(shape(shown).replace(", N left out by --sample", "")).toBe(
    shape(golden("monitor-count-6").at(-1)),
  );
});

test("docs/socket-units.md: the columns of listeners", async () => {
  const columns = (line = "") => line.trim().split(/ +/);
  const world = new World();
  world.dataPlane.sockets = [listener("127.0.1.10", 80)];
  const [printed] = (await world.text((context) => listeners(context, {}))).split("\n");
  const [heading, row = ""] = blockWith("docs/socket-units.md", "HANDOVER").split("\n");
  expect(columns(heading)).toEqual(columns(printed));
  expect(columns(row).length).toBe(columns(heading).length);
});

test("docs/adopt.md: what --lines says of nginx", () => {
  const [, head = "", ...shown] = blockWith("docs/adopt.md", "# ilm adopt --lines").split("\n");
  const [v4 = "", v6 = ""] = head.replace("nginx: ", "").split(", ");
  const nginx = { command: "nginx", unit: "nginx.service" };
  const own = { 4: address(v4), 6: address(v6) };
  const { file, lines, instead, check, note } = linesFor(nginx, own, [{ port: 80 }])!;
  expect(check).toBeNull();
  expect(shown).toEqual([
    `  In ${file}:`,
    ...lines.map((line) => `      ${line}`),
    `  ${instead}`,
    "  Restart it: ilm adopt nginx",
    `  ${note}`,
  ]);
});

test("docs/adopt.md: what --dry-run prints", () => {
  const shapes = (lines: readonly string[]) =>
    lines.map((line) =>
      line
        .replace(/^\S+ would be:$/, "FILE would be:")
        .replace(
          /^( {4})[\w-]+: \{ unit: \S+, (.*)publish: .* \}$/,
          "$1NAME: { unit: UNIT, $2publish: PORTS }",
        )
        .replace(/^ {2}\d+\. [\w-]+: .*/, "  NUMBER. NAME: COMMAND")
        .replace(/^ {2}(?:tcp|udp) \S+:\d+(?:, (?:tcp|udp) \S+:\d+)*$/, "  SOCKETS")
        .replace(/^ {4}\S+ \(pid \d+\): .*/, "    PROCESS: REASON"),
    );
  const [, ...shown] = blockWith("docs/adopt.md", "# ilm adopt --dry-run").split("\n");
  const printed = golden("adopt-dry-run-f-mnt-adopted-yaml-restart-restart");
  expect([...new Set(shapes(shown))]).toEqual([...new Set(shapes(printed))]);
});
