/**
 * nginx and Apache, each configured as Debian ships it: to listen on every address, port 80. With
 * `wildcard: rewrite` they run side by side, and what keeps their sockets (reload, binary upgrade,
 * graceful restart) keeps its connections too.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { removeCgroups } from "../support/cgroup.js";
import type { Load } from "../support/client.js";
import { addressesOf, endpoint, families } from "../support/matrix.js";
import { useNetwork } from "../support/network.js";
import { eventually, words } from "../support/process.js";
import { endUnit } from "../support/units.js";
import {
  apacheUnit,
  nginxUnit,
  startWildcardApache,
  startWildcardNginx,
  type WildcardNginx,
} from "../support/wildcard-web.js";

const network = useNetwork();
const debianNginx = ["80 default_server", "[::]:80 default_server"];
const ports = { web: 80, blog: 8080 } as const;
const names = ["web", "blog"] as const;

const rules = `
version: 1
services:
  web: { unit: ${nginxUnit}, address: [127.0.1.10, "fd5e:ed00::10"], wildcard: rewrite }
  blog: { unit: ${apacheUnit}, address: [127.0.1.11, "fd5e:ed00::11"], wildcard: rewrite }
mappings:
  - { port: ${ports.web}, to: web }
  - { port: ${ports.blog}, to: "blog:80" }
`;

beforeAll(async () => {
  await network.server.apply(rules);
});

afterEach(async () => {
  await network.client.stopStarted();
  await endUnit(nginxUnit);
  await endUnit(apacheUnit);
  await network.server.stopStarted();
});

afterAll(async () => {
  await removeCgroups();
});

/** Each of the two has what is for it, over each family. */
async function expectBoth(): Promise<void> {
  for (const family of families) {
    for (const dialled of [addressesOf[family].public, addressesOf[family].second]) {
      for (const name of names) {
        const body = await network.client.curl(dialled, ports[name]);
        expect(JSON.parse(body), endpoint(dialled, ports[name])).toEqual({ tag: name });
      }
    }
  }
}

/** Does something to one while both are dialled: no dial fails, and each is answered by its own. */
async function expectNoneLost(action: () => Promise<void>): Promise<void> {
  const loads: [string, Load][] = [];
  for (const family of families) {
    for (const name of names) {
      const load = await network.client.load("http", addressesOf[family].public, ports[name], 2);
      loads.push([name, load]);
    }
  }
  await action();
  for (const [name, load] of loads) {
    const { answered, failed } = await load.stop();
    expect(failed, name).toEqual({});
    expect(Object.keys(answered)).toEqual([name]);
  }
}

/** The kernel's numbers of the sockets that listen on port 80. */
async function listening(): Promise<readonly string[]> {
  const listed = await network.server.must(["ss", "-H", "-n", "-l", "-t", "-e", "sport = :80"]);
  const cookies = [...listed.matchAll(/\bsk:(\w+)/g)].map(([, cookie]) => cookie ?? "");
  expect(cookies.length).toBeGreaterThanOrEqual(2);
  return cookies.sort();
}

/** They close first, so what remains of the connections is theirs. */
async function expectRemains(): Promise<void> {
  const remains = await network.server.must(words("ss -H -n -t state time-wait"));
  expect(remains).toContain(":80 ");
  expect(remains).toContain(":8080 ");
}

describe.each([
  ["a dual-stack socket", ["80"]],
  ["a socket for each family", ["0.0.0.0:80", "[::]:80"]],
])("nginx as Debian ships it, and Apache with %s", (_, apacheListens) => {
  test.each(["nginx", "Apache"])("share port 80, %s first", async (first) => {
    const { server } = network;
    const starts = [
      async () => await startWildcardNginx(server, debianNginx),
      async () => await startWildcardApache(server, apacheListens),
    ];
    for (const start of first === "nginx" ? starts : starts.reverse()) await start();
    await expectBoth();
  });

  test("a graceful restart of Apache loses no connection of either, and keeps the sockets", async () => {
    const { server } = network;
    await startWildcardNginx(server, debianNginx);
    const apache = await startWildcardApache(server, apacheListens);
    const before = await listening();
    await expectNoneLost(async () => {
      for (let turn = 0; turn < 3; turn += 1) await apache.reload();
    });
    expect(await listening()).toEqual(before);
  });

  test("both start again at once, in the other order, while remains of their connections are there", async () => {
    const { server } = network;
    const nginx = await startWildcardNginx(server, debianNginx);
    const apache = await startWildcardApache(server, apacheListens);
    await expectBoth();
    await expectRemains();
    await nginx.stop();
    await apache.stop();
    await startWildcardApache(server, apacheListens);
    await startWildcardNginx(server, debianNginx);
    await expectRemains();
    await expectBoth();
  });
});

describe.each([
  ["a socket for each family", debianNginx, 1],
  ["a dual-stack socket", ["[::]:80 ipv6only=off"], 1],
  ["a SO_REUSEPORT group of two workers for each family", ["80 reuseport", "[::]:80 reuseport"], 2],
  ["a dual-stack SO_REUSEPORT group of two workers", ["[::]:80 ipv6only=off reuseport"], 2],
] satisfies [string, readonly string[], number][])("nginx with %s", (_, listens, workers) => {
  let nginx: WildcardNginx;
  const start = async (): Promise<void> => {
    const { server } = network;
    await startWildcardApache(server, ["80"]);
    nginx = await startWildcardNginx(server, listens, workers);
  };

  test("shares port 80 with Apache, and sees both ends of its connections", async () => {
    await start();
    await expectBoth();
    for (const family of families) {
      const { public: dialled, client } = addressesOf[family];
      const body = await network.client.must([
        ...words("curl -sS --max-time 30"),
        `http://${endpoint(dialled, ports.web)}/ends`,
      ]);
      const mapped = family === 4 && listens.some((directive) => directive.includes("=off"));
      expect(body.replaceAll("::ffff:", "")).toBe(`${client} ${dialled}:80`);
      expect(mapped || !body.includes("::ffff:")).toBe(true);
    }
  });

  test("a reload loses no connection, and keeps the sockets", async () => {
    await start();
    const before = await listening();
    await expectNoneLost(async () => {
      for (let turn = 0; turn < 3; turn += 1) await nginx.reload();
    });
    expect(await listening()).toEqual(before);
  });

  test("a binary upgrade loses no connection, and keeps the sockets", async () => {
    await start();
    const before = await listening();
    await expectNoneLost(async () => await nginx.upgrade());
    expect(await listening()).toEqual(before);
    await expectBoth();
    await nginx.reload();
    expect(await listening()).toEqual(before);
  });

  test.each([
    [
      "`ilm off` and `ilm on`",
      async () => {
        await network.server.ilmDone(["off"]);
        await network.server.ilmDone(["on"]);
      },
    ],
    [
      "rules without `wildcard: rewrite`, and with it again",
      async () => {
        await network.server.apply(rules.replaceAll(", wildcard: rewrite", ""));
        await network.server.apply(rules);
      },
    ],
  ])(
    "is told the same of its sockets after %s: a binary upgrade keeps them",
    async (_what, act) => {
      await start();
      const before = await listening();
      await act();
      await nginx.upgrade();
      expect(await listening()).toEqual(before);
      await expectBoth();
    },
  );

  if (workers === 1) return;
  test("each worker gets connections, over each family", async () => {
    await start();
    for (const family of families) {
      const seen = new Set<string>();
      await eventually(`${workers} workers answer over IPv${family}`, async () => {
        seen.add(
          await network.client.must([
            ...words("curl -sS --max-time 30"),
            `http://${endpoint(addressesOf[family].public, ports.web)}/worker`,
          ]),
        );
        return seen.size === workers ? true : null;
      });
    }
  });
});
