/**
 * Mappings added at run time over a large file: only they are built, and nothing else tells that
 * they lie apart.
 */
import { afterEach, beforeAll, expect, test } from "vitest";
import { manyMappings, serveWebAndBlog } from "../support/many.js";
import { useNetwork } from "../support/network.js";
import { pause } from "../support/process.js";
import { random } from "../support/random.js";
import type { MappingRow } from "../support/shapes.js";
import { sizes } from "../support/sizes.js";

/**
 * Mappings of the file: as many as make a file a large one (src/dataplane/install/tables.ts,
 * LAYERED_FROM).
 */
const FILE = 10_000;
const network = useNetwork();
/** An address of the file's, and one that no mapping of the file names; both are the server's. */
const known = "10.0.0.7";
const other = "203.0.113.1";

interface Change {
  readonly incremental: boolean;
  readonly generation: number;
  readonly mappings: number;
}

async function change(...args: readonly string[]): Promise<Change> {
  return (await network.server.ilmDone([...args, "--json"])).json() as Change;
}

async function chosen(address: string, port: number): Promise<unknown> {
  const result = await network.server.ask(["explain", "tcp", `${address}:${port}`, "--json"]);
  return (result.json() as { mapping: unknown }).mapping;
}

async function mappings(): Promise<readonly MappingRow[]> {
  return (await network.server.ilmDone(["mappings", "--json"])).json() as readonly MappingRow[];
}

/** Selections, by the mapping's name. */
async function selected(...names: readonly string[]): Promise<readonly (number | undefined)[]> {
  const rows = await mappings();
  return names.map((name) => rows.find((row) => row.name === name)?.counters.selected);
}

let file = "";

beforeAll(async () => {
  const { server } = network;
  await serveWebAndBlog(network, [known]);
  file = server.file(
    manyMappings(FILE, () => "127.0.1.10:8080"),
    "many.ndjson",
  );
  await server.ilmDone(["apply", "-f", file]);
});

afterEach(async () => {
  const rows: readonly { name: string; runtime?: boolean }[] = await mappings();
  const left = rows.filter((row) => row.runtime === true).map((row) => row.name);
  if (left.length > 0) await change("remove", ...new Set(left));
});

test("they are added and removed alone, and connections follow", async () => {
  const { client } = network;
  expect(await client.who("tcp", known, 80)).toBe("web");
  expect(await client.who("tcp", other, 81)).toBe("ECONNREFUSED");
  expect(await change("add", "tcp:81=127.0.1.11:8080")).toMatchObject({
    incremental: true,
    mappings: FILE + 1,
  });
  expect(await client.who("tcp", other, 81)).toBe("blog");
  // The file's address is more specific than everywhere, and a second overlay does not disturb the
  // first.
  expect(await change("add", "tcp:80=127.0.1.11:8080", "udp:80=127.0.1.11:8080")).toMatchObject({
    incremental: true,
    mappings: FILE + 3,
  });
  expect(await client.who("tcp", known, 80)).toBe("web");
  expect(await client.who("tcp", other, 80)).toBe("blog");
  expect(await client.who("udp", other, 80)).toBe("blog");
  expect(await client.who("tcp", other, 81)).toBe("blog");
  expect(await change("remove", "tcp:80", "tcp:81")).toMatchObject({ incremental: true });
  expect(await client.who("tcp", other, 80)).toBe("ECONNREFUSED");
  expect(await client.who("tcp", other, 81)).toBe("ECONNREFUSED");
  expect(await client.who("udp", other, 80)).toBe("blog");
  expect(await change("remove", "udp:80")).toMatchObject({ incremental: true, mappings: FILE });
  expect(await client.who("udp", other, 80)).toBe("ECONNREFUSED");
});

test("counters go on through overlays, reloads and rooms that are used again", async () => {
  const { server, client } = network;
  const [before = 0] = await selected("m7");
  await change("add", "tcp:82=127.0.1.11:8080");
  await client.who("tcp", other, 82);
  await client.who("tcp", known, 80);
  expect(await selected("m7", "tcp:82")).toEqual([before + 1, 1]);
  await change("add", "tcp:83=127.0.1.11:8080");
  await client.who("tcp", other, 82);
  await client.who("tcp", other, 83);
  await client.who("tcp", known, 80);
  expect(await selected("m7", "tcp:82", "tcp:83")).toEqual([before + 2, 2, 1]);
  // The place of tcp:82 in the first room is now another one's.
  await change("remove", "tcp:82");
  await change("add", "tcp:84=127.0.1.11:8080");
  expect(await selected("m7", "tcp:82", "tcp:83", "tcp:84")).toEqual([before + 2, undefined, 1, 0]);
  const changed = server.file(
    // More than are laid over.
    manyMappings(FILE + 1100, () => "127.0.1.10:8080"),
    "more.ndjson",
  );
  expect(await change("apply", "-f", changed)).toMatchObject({
    incremental: false,
    mappings: FILE + 1102,
  });
  await client.who("tcp", other, 83);
  expect(await selected("m7", "tcp:83", "tcp:84")).toEqual([before + 2, 2, 0]);
  expect(await change("remove", "tcp:83", "tcp:84")).toMatchObject({ incremental: true });
  await change("apply", "-f", file);
});

test("the longest prefix and then the smallest set of ports comes first, whichever layer has it", async () => {
  await change("add", "tcp:80@10.0.0.0/24=127.0.1.11:8080", "tcp:80-81@10.0.0.7=127.0.1.11:8080");
  expect(await chosen(known, 80)).toBe("m7");
  expect(await chosen(known, 81)).toBe("tcp:80-81@10.0.0.7/32");
  // Beyond the file's 10,000.
  expect(await chosen("10.0.200.1", 80)).toBeNull();
  await change("remove", "tcp:80@10.0.0.0/24", "tcp:80-81@10.0.0.7/32");
  expect(await chosen(known, 81)).toBeNull();
});

test("what is wrong is refused as without layers, with the place in the file", async () => {
  const { server } = network;
  const tie = await server.ilm(["add", "tcp:80@10.0.0.7=127.0.1.11:8080"]);
  expect(tie.status).toBe(3);
  expect(tie.stderr).toContain("ties with mapping m7");
  expect(tie.stderr).toContain("many.ndjson:9:1");
  const name = await server.ilm(["add", "tcp:90=127.0.1.11:8080"]);
  expect(name.status).toBe(0);
  const again = await server.ilm(["add", "tcp:90=127.0.1.10:8080"]);
  expect(again.status).toBe(3);
  await change("remove", "tcp:90");
});

test("a daemon does the same", async () => {
  const { server, client } = network;
  const run = await server.startRun(["-f", file]);
  expect(await change("add", "tcp:85=127.0.1.11:8080")).toMatchObject({ incremental: true });
  expect(await client.who("tcp", other, 85)).toBe("blog");
  await run.stop();
  expect(await client.who("tcp", other, 85)).toBe("blog");
  expect(await change("remove", "tcp:85")).toMatchObject({ incremental: true });
});

test(`${sizes.overlayKills} kills of add and remove leave the file's mappings working, and the next change works`, async () => {
  const { server, client } = network;
  const { next, seed } = random();
  for (let kill = 0; kill < sizes.overlayKills; kill += 1) {
    const verb = kill % 2 === 0 ? ["add", `tcp:86=127.0.1.11:8080`] : ["remove", "tcp:86"];
    const process = server.start(server.ilmCommand(verb));
    await pause(100 + next() * 500);
    await process.stop("SIGKILL");
    expect(await client.who("tcp", known, 80), `seed ${seed}, kill ${kill}`).toBe("web");
    if (kill % 3 !== 2) continue;
    await server.ilm(["remove", "tcp:86"]);
    expect(await change("add", "tcp:86=127.0.1.11:8080", "udp:86=127.0.1.11:8080")).toMatchObject({
      mappings: FILE + 2,
    });
    expect(await client.who("udp", other, 86), `seed ${seed}`).toBe("blog");
    await change("remove", "tcp:86", "udp:86");
    expect(await client.who("tcp", other, 86)).toBe("ECONNREFUSED");
  }
});
