// Goal: no look-up is lost or counted twice when two CPUs count for the same mapping at once, also
// where they share a copy of the counters.
import { availableParallelism } from "node:os";
import { beforeEach, expect, test } from "vitest";
import { parseMappingArgument } from "../../src/config/argument.js";
import { requestChange } from "../../src/api/client.js";
import { addressesOf } from "../support/matrix.js";
import { useNetwork } from "../support/network.js";

const network = useNetwork();
/** Dials by one CPU; nothing listens, so each ends in microseconds. */
const DIALS = 20_000;
const PORT = 6000;

const rules = (others = 0): string => `version: 1
services: { app: { address: 127.0.1.10 } }
mappings:
${Array.from({ length: others }, (_, i) => `  - { name: other${i}, port: ${7000 + i}, to: app }\n`).join("")}  - { name: counted, port: ${PORT}, to: app }
`;

const dials = `
import socket
for _ in range(${DIALS}):
    with socket.socket() as sock:
        if sock.connect_ex(("${addressesOf[4].public}", ${PORT})) == 0:
            raise SystemExit("a socket listens")
`;

/** On two CPUs, if there are. */
async function dialOnTwo(): Promise<void> {
  const last = Math.min(1, availableParallelism() - 1);
  const { server } = network;
  await Promise.all(
    [0, last].map(
      async (cpu) => await server.must(["taskset", "-c", String(cpu), "python3", "-c", dials]),
    ),
  );
}

async function missed(): Promise<number | undefined> {
  const rows = await network.server.mappings();
  return rows.find(({ name }) => name === "counted")?.counters.missed;
}

beforeEach(async () => {
  await network.server.unload();
});

test.each([
  { copies: "a copy of its own", counterBytes: undefined },
  { copies: "one copy for all", counterBytes: 1 },
])("with $copies every look-up of two CPUs is counted once", async ({ counterBytes }) => {
  const { server } = network;
  const options = counterBytes === undefined ? {} : { counterBytes };
  await server.apply(rules(), options);
  await dialOnTwo();
  expect(await missed()).toBe(2 * DIALS);
  expect((await server.status()).lookups?.missed).toBe(2 * DIALS);
});

test("changes that a daemon answers before they have settled lose no look-up", async () => {
  const { server } = network;
  await server.startRun(["-f", server.file(rules())]);
  const state = { over: false };
  const dialling = dialOnTwo().finally(() => {
    state.over = true;
  });
  for (let port = 9000; !state.over; port++) {
    const mappings = parseMappingArgument(`tcp:${port}=127.0.1.10`, []);
    await requestChange(server.inode, { kind: "add", mappings, replace: false });
    await requestChange(server.inode, { kind: "remove", names: [`tcp:${port}`] });
  }
  await dialling;
  expect(await missed()).toBe(2 * DIALS);
});

test("a mapping keeps what it has counted from one number of copies to another, and elsewhere in the table", async () => {
  const { server } = network;
  await server.apply(rules(), { counterBytes: 1 });
  await dialOnTwo();
  // More than the tables hold: a new program set, with copies of its own.
  await server.apply(rules(400));
  expect(await missed()).toBe(2 * DIALS);
  await dialOnTwo();
  await server.apply(rules(2), { counterBytes: 1 });
  expect(await missed()).toBe(4 * DIALS);
});
