/**
 * `ilm run` over very many changes, and over very large ones, has the memory that its rules need,
 * and the files.
 */
import { readdirSync, readFileSync } from "node:fs";
import { afterEach, expect, test } from "vitest";
import type { ApiChange } from "../../src/api/api.js";
import { requestChange } from "../../src/api/client.js";
import { parseAddress } from "../../src/model/address.js";
import { rulesFor } from "../support/one-app.js";
import { useNetwork } from "../support/network.js";
import { eventually } from "../support/process.js";
import { sizes } from "../support/sizes.js";

const network = useNetwork();

/** It begins with some 65; once V8 and the C library needed more, they keep some 50. */
const FEW_RULES_MB = 160;

const MANY = 100_000;

afterEach(async () => {
  await network.server.reset();
});

/** Resident memory now (VmRSS), or the most that it has been (VmHWM). */
function resident_mb(pid: number, field: "VmRSS" | "VmHWM" = "VmRSS"): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const [, kilobytes] = new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(status) ?? [];
  return Number(kilobytes) / 1024;
}

function openFiles(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

function manyMappings(): string {
  const lines = Array.from({ length: MANY }, (_, i) =>
    JSON.stringify({
      name: `m${i}`,
      on: `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`,
      port: 8000,
      to: "127.0.1.10:6000",
    }),
  );
  return `${lines.join("\n")}\n`;
}

/** Adds one mapping, takes it away, and reads the file again. */
function changesOf(index: number): readonly ApiChange[] {
  const parsed = parseAddress("127.0.1.10");
  if (!parsed.ok) throw new Error(parsed.reason);
  const name = `added-${index}`;
  const mapping = {
    name,
    protocol: "udp",
    ports: [{ first: 9000, last: 9000 }],
    on: [],
    to: [{ address: parsed.address, port: 6000 }],
    existing: "exact",
    miss: "pass",
    origin: { file: "<argument>", line: 0, column: 0 },
  } as const;
  return [
    { kind: "add", mappings: [mapping], replace: false },
    { kind: "reload" },
    { kind: "remove", names: [name] },
  ];
}

test(`when ${MANY} mappings were replaced by one, run gives back what they took`, async () => {
  const { server } = network;
  const { process } = await server.startRun(["-f", server.file(rulesFor(7000))]);
  await server.ilmDone(["apply", "-f", server.file(manyMappings(), "many.ndjson")]);
  // To take them out of the request; as columns they take some 4.
  expect(resident_mb(process.pid, "VmHWM")).toBeGreaterThan(FEW_RULES_MB);
  await server.apply(rulesFor(7001));
  await eventually("what is not needed is given back", () =>
    resident_mb(process.pid) < FEW_RULES_MB ? true : null,
  );
});

test("run keeps nothing of the text of a large file", async () => {
  const { server } = network;
  // Destinations, conditions and names are parts of it, and it is 120 MB, most of which says
  // nothing.
  const to = ["127.0.1.10:6000", "[fd5e:ed00:1:2:3:4:5:6]:6000"];
  const lines = Array.from({ length: MANY }, (_, i) => {
    const on =
      i % 2 === 0
        ? `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`
        : `2001:db8:${1 + (i >> 16)}::${(i & 0xffff).toString(16)}`;
    const from =
      i % 1000 === 0 ? { from: i % 2 === 0 ? "198.51.100.0/24" : "2001:db8:ffff:1::/64" } : {};
    return JSON.stringify({ name: `mapping-number-${i}`, on, port: 8000, to: to[i % 2], ...from });
  });
  const text = lines.map((line) => `${line}${" ".repeat(1200 - line.length)}\n`).join("");
  const { process } = await server.startRun(["-f", server.file(text, "wide.ndjson")]);
  expect(resident_mb(process.pid, "VmHWM")).toBeGreaterThan(FEW_RULES_MB);
  await eventually("what is not needed is given back", () =>
    resident_mb(process.pid) < FEW_RULES_MB ? true : null,
  );
});

test(
  `after ${sizes.memoryChanges} changes run has the memory and the open files of the first ones`,
  { timeout: 3_600_000 },
  async () => {
    const { server } = network;
    const { process } = await server.startRun(["-f", server.file(rulesFor(7000))]);
    let early = 0;
    for (let done = 0; done < sizes.memoryChanges; done += 3) {
      for (const change of changesOf(done)) {
        expect(await requestChange(server.inode, change)).not.toBeNull();
      }
      if (done === 3) early = openFiles(process.pid);
    }
    await eventually("what is not needed is given back", () =>
      resident_mb(process.pid) < FEW_RULES_MB ? true : null,
    );
    // A look at what is attached opens some for a moment, and one is closed when its rules are
    // collected. A leak is one for each round.
    await eventually("no more files are open than early on", () =>
      openFiles(process.pid) <= early + 3 ? true : null,
    );
  },
);
