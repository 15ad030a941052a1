/** A host of stock daemons is adopted, and given back, while clients dial all of its ports. */
import { beforeAll, expect, test } from "vitest";
import {
  type AdoptableName,
  Dials,
  postgresVersion,
  startAdoptable,
} from "../support/adoptable.js";
import { useBootedHost } from "../support/booted-host.js";
import { useNetwork } from "../support/network.js";
import type { DialSummary } from "../support/adoptable.js";

const network = useNetwork();
const host = useBootedHost(network);

const names = [
  "nginx",
  "apache",
  "redis",
  "haproxy",
  "unbound",
  "knot",
  "postgres",
  "python",
  "node",
  "activated",
] as const satisfies readonly AdoptableName[];

const configuration = `version: 1
services:
  activated: { unit: activated.service, address: auto, wildcard: rewrite, publish: 7000 }
  apache2: { unit: apache2.service, address: auto, wildcard: rewrite, publish: 8080 }
  haproxy: { unit: haproxy.service, address: auto, wildcard: rewrite, publish: 8443 }
  knot: { unit: knot.service, address: auto, wildcard: rewrite, publish: [5300/tcp, 5300/udp] }
  nginx: { unit: nginx.service, address: auto, wildcard: rewrite, publish: 80 }
  node-web: { unit: node-web.service, address: auto, wildcard: rewrite, publish: 3000 }
  postgresql-${postgresVersion}-main: { unit: postgresql@${postgresVersion}-main.service, address: auto, wildcard: rewrite, publish: 5432 }
  python-web: { unit: python-web.service, address: auto, wildcard: rewrite, publish: 8000 }
  redis-server: { unit: redis-server.service, address: auto, wildcard: rewrite, publish: 6379 }
  unbound: { unit: unbound.service, address: auto, wildcard: rewrite, publish: [53/tcp, 53/udp] }
`;

/** The addresses of all listeners, as the host's own tool shows them. */
async function listening(): Promise<readonly string[]> {
  const shown = await host().must(["ss", "-Htuln"]);
  const lines = shown.trim().split("\n");
  return lines.map((line) => line.split(/\s+/)).map(([protocol, , , , at]) => `${protocol} ${at}`);
}

/** What was dialled, by what failed. */
function failures(summary: Readonly<Record<string, DialSummary>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(summary)
      .filter(([, { answered, failed }]) => failed.length > 0 || answered === 0)
      .map(([name, { answered, failed }]) => [name, { answered, failed }]),
  );
}

let before: readonly string[] = [];

beforeAll(async () => {
  await startAdoptable(host(), network.client, names);
  before = (await listening()).toSorted();
});

test("--dry-run shows the configuration and the commands, and changes nothing", async () => {
  const shown = await host().ilm(["adopt", "--dry-run", "--json"]);
  expect(shown.status, shown.text).toBe(0);
  expect(shown.json()).toMatchObject({
    file: "/etc/ilm/ilm.yaml",
    configuration,
    left: [],
    steps: [
      "activated: systemctl stop activated.socket activated.service && systemctl start activated.socket activated.service",
      "apache2: systemctl restart apache2.service",
      "haproxy: systemctl restart haproxy.service",
      "knot: systemctl restart knot.service",
      "nginx: systemctl restart nginx.service",
      "node-web: systemctl restart node-web.service",
      `postgresql-${postgresVersion}-main: systemctl restart postgresql@${postgresVersion}-main.service`,
      "python-web: systemctl restart python-web.service",
      "redis-server: systemctl restart redis-server.service",
      "unbound: systemctl restart unbound.service",
    ],
  });
  expect((await host().run(["test", "-e", "/etc/ilm"])).status).toBe(1);
  expect((await listening()).toSorted()).toEqual(before);
  expect((await host().ilm(["status", "--json"])).json()).toMatchObject({ loaded: false });
});

test("ten daemons are adopted while clients dial each port, and not one dial fails", async () => {
  const dials = await Dials.start(network.client, names);
  const adopted = await host().ilm(["adopt", "--json"]);
  const summary = await dials.stop();
  expect(adopted.status, adopted.text).toBe(0);
  const { services } = adopted.json() as { services: readonly { outcome: string }[] };
  expect(services.map(({ outcome }) => outcome)).toEqual(names.map(() => "moved"));
  expect(failures(summary)).toEqual({});
  const wildcard = (await listening()).filter((one) => / (?:\*|0\.0\.0\.0|\[::\]):/.test(one));
  expect(wildcard).toEqual([]);
  const file = await host().must(["cat", "/etc/ilm/ilm.yaml"]);
  expect(file.split("\n").slice(2).join("\n")).toBe(configuration);
});

test("a second run has nothing to do", async () => {
  const again = await host().ilm(["adopt", "--json"]);
  expect(again.status, again.text).toBe(0);
  const { services } = again.json() as { services: readonly { outcome: string }[] };
  expect(services.map(({ outcome }) => outcome)).toEqual(names.map(() => "already"));
});

test("they go back while clients dial each port, and not one dial fails", async () => {
  const dials = await Dials.start(network.client, names);
  const undone = await host().ilm(["adopt", "--undo", "--json"]);
  const summary = await dials.stop();
  expect(undone.status, undone.text).toBe(0);
  expect(undone.json()).toMatchObject({ unloaded: true });
  expect(failures(summary)).toEqual({});
  expect((await listening()).toSorted()).toEqual(before);
  expect((await host().run(["test", "-e", "/etc/ilm/ilm.yaml"])).status).toBe(1);
  expect((await host().ilm(["status", "--json"])).json()).toMatchObject({ loaded: false });
});
