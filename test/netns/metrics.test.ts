/**
 * The metrics over TCP and by `ilm metrics`, judged by the programs that read them: promtool and a
 * Prometheus of the test's own, which has the example configuration, the alerts and the dashboard.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { useNetwork } from "../support/network.js";
import { root } from "../support/paths.js";
import { startUnit } from "../support/units.js";
import { Background, eventually, must, run, words } from "../support/process.js";

const network = useNetwork();
// Also of the metrics themselves a service can be made.
const rules = `version: 1
services:
  web: { address: 127.0.1.10, publish: [80, 443] }
  dns: { address: [127.0.1.53, "fd5e:ed00::53"], publish: [53/udp] }
  metrics: { address: [127.0.1.99, "fd5e:ed00::99"], user: root, publish: { 9000: 9465 } }
`;
const addresses = ["127.0.1.99:9465", "[fd5e:ed00::99]:9465"] as const;
const [first] = addresses;
const contrib = `${root}contrib/`;

let file: string;

beforeEach(() => {
  file = network.server.file(rules, "metrics.yaml");
});

afterEach(async () => {
  await network.server.reset();
});

const serve = async (...more: readonly string[]) =>
  await network.server.startRun([
    "-f",
    file,
    ...addresses.flatMap((address) => ["--metrics", address]),
    ...more,
  ]);

async function fetch(url: string, ...options: readonly string[]): Promise<string> {
  return await network.server.must([...words("curl -sS --max-time 60"), ...options, url]);
}

/** What promtool has to say, of which nothing is good. */
async function complaints(page: string): Promise<string> {
  const { status, stdout, stderr } = await run(words("promtool check metrics"), { input: page });
  return `${status === 0 ? "" : status}${stdout}${stderr}`;
}

const namesIn = (text: string): readonly string[] => [
  ...new Set(text.match(/\b(?:ilm|process)_[a-z_]+\b/g) ?? []),
];

describe("the page", () => {
  test("is the same from each address, the socket and the command, and promtool finds nothing wrong", async () => {
    const { server, client } = network;
    await serve();
    await server.echo("dns", [["udp", "127.0.1.53", 53]]);
    await client.who("udp", "203.0.113.1", 53);
    await client.who("tcp", "203.0.113.1", 80);
    const pages = [
      await fetch(`http://${first}/metrics`),
      await fetch(`http://${addresses[1]}/metrics`, "-g"),
      (await server.askDone(["metrics"])).stdout,
      await client.must(["curl", "-sS", "http://203.0.113.1:9000/metrics"]),
      await client.must(["curl", "-sS", "-g", "http://[2001:db8::1]:9000/metrics"]),
    ];
    for (const page of pages) {
      expect(await complaints(page)).toBe("");
      expect(namesIn(page)).toEqual(namesIn(pages[0] ?? ""));
      expect(page).toContain('ilm_mapping_listening{mapping="udp:53",protocol="udp"} 1\n');
      expect(page).toContain('ilm_mapping_listening{mapping="tcp:80",protocol="tcp"} 0\n');
      expect(page).toContain("ilm_mappings_unserved 2\n");
      expect(page).toMatch(/^ilm_reload_duration_seconds_count 1$/m);
      expect(page).toMatch(/^process_resident_memory_bytes [1-9]\d{6,}$/m);
    }
  });

  test("counts who watches decisions", async () => {
    const { server } = network;
    await server.ilmDone(["apply", "-f", file]);
    server.adopt(new Background(server.ilmCommand(["monitor"])));
    await eventually("the monitor is counted", async () =>
      /^ilm_decision_readers 1$/m.test((await server.ask(["metrics"])).stdout) ? true : null,
    );
  });

  test("comes from the kernel where no daemon runs, without what only a daemon knows", async () => {
    const { server } = network;
    await server.ilmDone(["apply", "-f", file]);
    const { stdout } = await server.askDone(["metrics"]);
    expect(await complaints(stdout)).toBe("");
    expect(stdout).toContain("ilm_mappings_unserved 4\n");
    expect(stdout).not.toMatch(/process_|reload/);
    const samples = (await server.askDone(["metrics", "--json"])).json();
    expect(samples).toContainEqual({
      name: "ilm_mapping_listening",
      labels: { mapping: "tcp:443", protocol: "tcp" },
      value: 0,
    });
    const few = (await server.askDone(["metrics", "--metrics-limit", "3"])).stdout;
    expect(few).toContain('ilm_lookups_total{outcome="selected"}');
    expect(few).not.toContain("mapping=");
    await server.ilmDone(["unload"]);
    const none = (await server.askDone(["metrics"])).stdout;
    expect(await complaints(none)).toBe("");
    expect(none).toMatch(/^ilm_loaded\{netns="\d+"\} 0$/m);
  });

  test("is all that can be had there: nothing changes over TCP", async () => {
    const { server } = network;
    await serve("--metrics-limit", "0");
    const status = ["-o", "/dev/null", "-w", "%{http_code}"];
    const base = `http://${first}`;
    expect(await fetch(`${base}/metrics`, "-I")).toMatch(/^HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\n$/);
    expect(await fetch(`${base}/`)).toContain('<a href="/metrics">');
    expect(await fetch(`${base}/metrics?x=1`)).not.toContain("mapping=");
    for (const path of ["/v1/status", "/v1/events", "/version", "/metrics/"]) {
      expect(await fetch(`${base}${path}`, ...status), path).toBe("404");
    }
    const generation = server.generation();
    for (const method of ["POST", "PUT", "DELETE"]) {
      expect(await fetch(`${base}/metrics`, ...status, "-X", method, "-d", "{}")).toBe("405");
      expect(await fetch(`${base}/v1/unload`, ...status, "-X", method, "-d", "{}")).toBe("404");
    }
    expect(server.generation()).toBe(generation);
  });
});

describe("an address that is a service's own", () => {
  const owned = rules.replace("user: root", "unit: ilm.service");

  test("is ilm's if the service is its unit's", async () => {
    const { server } = network;
    const command = ["run", "-f", server.file(owned), "--metrics", first];
    const daemon = await startUnit(server, "ilm.service", server.ilmCommand(command));
    await daemon.waitForOutput(/metrics are served on/);
    const page = await network.client.must(["curl", "-sS", "http://203.0.113.1:9000/metrics"]);
    expect(page).toContain('ilm_mapping_listening{mapping="tcp:9000",protocol="tcp"} 1\n');
  });

  test("is refused to it otherwise, as to everybody, and the log says why", async () => {
    const { server } = network;
    const daemon = await server.startRun(["-f", server.file(owned), "--metrics", first]);
    await daemon.process.waitForOutput(/cannot be served on \S+ that is not permitted/);
    await daemon.process.waitForOutput(/was not allowed to bind to tcp 127\.0\.1\.99:9465/);
  });
});

describe("an address that cannot be listened on", () => {
  test("is logged with why and tried again, while the rules decide", async () => {
    const { server, client } = network;
    const other = await server.echo("other", [["tcp", "127.0.0.1", 9465]]);
    await server.echo("web", [["tcp", "127.0.1.10", 80]]);
    const options = ["--metrics", "127.0.0.1:9465", "--metrics", "192.0.2.77:9465"];
    const daemon = await server.startRun(["-f", file, ...options]);
    await daemon.process.waitForOutput(
      /cannot be served on \S+127\.0\.0\.1:9465\S+ another process/,
    );
    await daemon.process.waitForOutput(
      /cannot be served on \S+192\.0\.2\.77:9465\S+ the host does not/,
    );
    expect(await client.who("tcp", "203.0.113.1", 80)).toBe("web");
    await other.stop();
    await server.must(words("ip address add 192.0.2.77/32 dev lo"));
    await daemon.process.waitForOutput(/metrics are served on http:\/\/127\.0\.0\.1:9465/);
    await daemon.process.waitForOutput(/metrics are served on http:\/\/192\.0\.2\.77:9465/);
    await server.must(words("ip address del 192.0.2.77/32 dev lo"));
  });

  test.each([
    ["localhost:9465", /--metrics/],
    ["127.0.0.1", /--metrics: "127\.0\.0\.1" is not an address with a port/],
    ["127.0.0.1:0", /--metrics/],
    ["fd5e:ed00::99:9465", /--metrics/],
  ])("%s is none", async (address, message) => {
    const { status, stderr } = await network.server.ilm(["run", "--metrics", address]);
    expect(status).toBe(2);
    expect(stderr).toMatch(message);
  });
});

interface Panel {
  readonly title: string;
  readonly targets: readonly { readonly expr: string }[];
}

interface Dashboard {
  readonly panels: readonly Panel[];
  readonly annotations: { readonly list: readonly { readonly expr: string }[] };
}

describe("a real Prometheus", () => {
  test("tests each alert, and its linter has nothing to say", async () => {
    const rules = `${contrib}prometheus/ilm.rules.yml`;
    await must([...words("promtool check rules --lint=all --lint-fatal"), rules]);
    const { stdout } = await run(
      words(`promtool test rules ${root}test/support/prometheus/ilm.rules.test.yml`),
    );
    expect(stdout).toContain("SUCCESS");
    const alerts = readFileSync(`${contrib}prometheus/ilm.rules.yml`, "utf8");
    const tests = readFileSync(`${root}test/support/prometheus/ilm.rules.test.yml`, "utf8");
    const named = [...alerts.matchAll(/alert: (\w+)/g)].map((match) => match[1] ?? "");
    expect(named.length).toBeGreaterThan(10);
    expect(named.filter((name) => !tests.includes(`alertname="${name}"`))).toEqual([]);
  });

  test("scrapes it, and evaluates every alert and every panel of the dashboard", async () => {
    const { server } = network;
    await serve();
    const config = join(server.folder, "prometheus.yml");
    // Without the two minutes for which a mapping may have no listener.
    const rulesOfAlerts = readFileSync(`${contrib}prometheus/ilm.rules.yml`, "utf8");
    const sooner = server.file(rulesOfAlerts.replace("> 120", "> 0"), "sooner.rules.yml");
    expect(readFileSync(sooner, "utf8")).not.toBe(rulesOfAlerts);
    const example = readFileSync(`${contrib}prometheus/prometheus.yml`, "utf8")
      .replaceAll("15s", "1s")
      .replaceAll("127.0.0.1:9465", first)
      .replace("ilm.rules.yml", sooner);
    server.file(example, "prometheus.yml");
    await must(["promtool", "check", "config", config]);
    const storage = join(server.folder, "prometheus");
    server.start([
      "prometheus",
      `--config.file=${config}`,
      `--storage.tsdb.path=${storage}`,
      "--web.listen-address=127.0.0.1:9090",
    ]);
    const ask = async (path: string, ...query: readonly string[]): Promise<unknown> => {
      const data = query.flatMap((one) => ["--data-urlencode", one]);
      const { stdout } = await server.run([
        // Not ready yet is no answer.
        ...words("curl -sS -f -G --max-time 60"),
        ...data,
        `http://127.0.0.1:9090/api/v1/${path}`,
      ]);
      return stdout === "" ? null : (JSON.parse(stdout) as unknown);
    };
    const found = async (query: string): Promise<number> => {
      const answer = await ask("query", `query=${query}`);
      expect(answer, query).toMatchObject({ status: "success" });
      return (answer as { readonly data: { readonly result: readonly unknown[] } }).data.result
        .length;
    };
    await eventually("Prometheus has scraped ilm", async () => {
      const up = await ask("query", 'query=count_over_time(ilm_loaded{job="ilm"}[1m]) >= 2');
      return JSON.stringify(up).includes('"instance"') ? true : null;
    });
    expect(await found('up{job="ilm"} == 1')).toBe(1);

    const page = (await server.askDone(["metrics"])).stdout;
    // Series that are there only when something is wrong have their help all the same.
    const known = new Set(
      namesIn(page).flatMap((name) => [name, ...["_bucket"].map((end) => name + end)]),
    );
    const board = JSON.parse(readFileSync(`${contrib}grafana/ilm.json`, "utf8")) as Dashboard;
    const expressions = [
      ...board.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr)),
      ...board.annotations.list.map(({ expr }) => expr),
    ];
    expect(expressions.length).toBeGreaterThan(20);
    for (const expression of expressions) {
      expect(namesIn(expression).filter((name) => !known.has(name))).toEqual([]);
      await found(expression.replaceAll("$instance", ".*").replaceAll("$__rate_interval", "1m"));
    }
    const shown = board.panels.filter(({ title }) =>
      /^(?:Rules active|Memory|Lookups)/.test(title),
    );
    for (const { targets } of shown) {
      const [{ expr } = { expr: "" }] = targets;
      const asked = expr.replaceAll("$instance", ".*").replaceAll("$__rate_interval", "1m");
      expect(await found(asked), expr).toBeGreaterThan(0);
    }

    const alerts = readFileSync(`${contrib}prometheus/ilm.rules.yml`, "utf8");
    expect(namesIn(alerts).filter((name) => !known.has(name))).toEqual([]);
    const evaluated = await eventually("Prometheus has evaluated the alerts", async () => {
      const text = JSON.stringify(await ask("rules"));
      return text.includes('"health":"unknown"') || !text.includes('"health"') ? null : text;
    });
    expect(evaluated).not.toContain('"health":"err"');
    await eventually("the mappings without a daemon are an alert", async () => {
      const text = JSON.stringify(await ask("alerts"));
      return text.includes("has had no listener for") ? true : null;
    });
  });
});
