/**
 * What the program costs, by BPF_PROG_TEST_RUN, above an empty one, all scenarios in turn in each round, the least of the
 * rounds: whatever else the machine does only adds. Nanoseconds of this machine: compare within one table only.
 */
import { createServer, type Server } from "node:net";
import { once } from "node:events";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { lookupContext } from "../src/dataplane/explain.js";
import { openDataPlane } from "../src/dataplane/open.js";
import { BpfObject, type BpfProgram, openProgram } from "../src/kernel/bpf.js";
import { acquireWriterLock } from "../src/kernel/lock.js";
import type { Address, Prefix } from "../src/model/address.js";
import type { Packet } from "../src/model/decision.js";
import type { Mapping, Rules } from "../src/model/mapping.js";

const REPEAT = 1_000_000;
const ROUNDS = 9;
const target = "127.0.1.10" as Address;
const origin = { file: "<bench>", line: 0, column: 0 };

function mapping(name: string, port: number, on: readonly Prefix[], to = target): Mapping {
  return {
    name,
    protocol: "tcp",
    ports: [{ first: port, last: port }],
    on,
    to: [{ address: to, port: 8080 }],
    existing: "exact",
    miss: "pass",
    origin,
  };
}

function packet(local: string, localPort: number): Packet {
  return {
    protocol: "tcp",
    local: local as Address,
    localPort,
    remote: "198.51.100.7" as Address,
    remotePort: 40000,
    interfaceIndex: 0,
  };
}

/** The n-th of many addresses, all different, spread over the bits. */
function manyAddresses(n: number): Address {
  return `10.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}` as Address;
}

function rulesOf(mappings: readonly Mapping[]): Rules {
  return { source: null, file: { services: [], mappings }, runtime: [] };
}

export interface LookupRow {
  readonly scenario: string;
  readonly mappings: number;
  readonly ns: number;
  readonly aboveEmpty: number;
}

async function listen(host: string, port: number): Promise<Server> {
  const server = createServer();
  server.listen(port, host);
  await once(server, "listening");
  return server;
}

/** Wall time of `apply` in this process, parsing not included. */
export interface ApplyRow {
  readonly mappings: number;
  readonly applyMs: number;
  readonly sameMs: number;
  readonly oneMs: number;
  readonly residentMb: number;
}

/** Different keys, one run each: each finds the tables as cold as other keys left them. */
const RANDOM_KEYS = 20_000;

function measureRandom(program: BpfProgram, size: number): number {
  let total = 0;
  for (let i = 0; i < RANDOM_KEYS; i++) {
    const key = manyAddresses(Math.floor(Math.random() * size));
    total += program.testRun(lookupContext(packet(key, 8443)), 1).averageNs;
  }
  return Math.round(total / RANDOM_KEYS);
}

function milliseconds(work: () => void): number {
  const start = performance.now();
  work();
  return Math.round(performance.now() - start);
}

export async function measureLookup(
  sizes: readonly number[],
): Promise<{ rows: LookupRow[]; applies: ApplyRow[] }> {
  const object = new BpfObject(
    join(fileURLToPath(import.meta.url), "..", "..", "bpf", "empty.bpf.o"),
  );
  object.load();
  const empty = object.program("ilm_empty");
  object.close();
  const dataPlane = openDataPlane();
  const lock = acquireWriterLock(dataPlane.netnsInode);
  const servers = [await listen(target, 8080), await listen("203.0.113.1", 443)];
  const rows: LookupRow[] = [];
  const applies: ApplyRow[] = [];
  try {
    for (const size of sizes) {
      const mappings = [
        mapping("port", 80, []),
        mapping("existing", 443, []),
        mapping("down", 81, [], "127.0.1.99" as Address),
        mapping("prefix", 82, ["203.0.113.0/24" as Prefix]),
        ...Array.from({ length: size }, (_, i) =>
          mapping(`exact-${i}`, 8443, [`${manyAddresses(i)}/32` as Prefix]),
        ),
      ];
      const applyMs = milliseconds(() => void dataPlane.apply(rulesOf(mappings)));
      const sameMs = milliseconds(() => void dataPlane.apply(rulesOf(mappings)));
      const changed = mappings.with(0, mapping("port", 80, [], "127.0.1.11" as Address));
      const oneMs = milliseconds(() => void dataPlane.apply(rulesOf(changed)));
      dataPlane.apply(rulesOf(mappings));
      const residentMb = Math.round(process.memoryUsage.rss() / 1e6);
      applies.push({ mappings: size, applyMs, sameMs, oneMs, residentMb });
      const generation = dataPlane.inForce()?.generation ?? 0;
      const program = openProgram(`${dataPlane.pinPath}/generation-${generation}/program`);
      if (program === undefined) throw new Error("the program is not pinned");
      const scenarios: [string, BpfProgram, Packet][] = [
        ["empty program", empty, packet("203.0.113.1", 9)],
        ["port that no mapping has", program, packet("203.0.113.1", 9)],
        ["hit, by port only", program, packet("203.0.113.1", 80)],
        ["hit, by prefix", program, packet("203.0.113.1", 82)],
        ["hit, by exact address", program, packet(manyAddresses(size >> 1), 8443)],
        ["already listening", program, packet("203.0.113.1", 443)],
        ["miss: nobody listens", program, packet("203.0.113.1", 81)],
      ];
      const times = scenarios.map((): number[] => []);
      for (let round = 0; round < ROUNDS; round++) {
        scenarios.forEach(([, candidate, what], i) => {
          times[i]?.push(candidate.testRun(lookupContext(what), REPEAT).averageNs);
        });
      }
      const base = Math.min(...(times[0] ?? []));
      scenarios.forEach(([scenario], i) => {
        const ns = Math.min(...(times[i] ?? []));
        rows.push({ scenario, mappings: size, ns, aboveEmpty: ns - base });
      });
      const coldBase = measureRandom(empty, size);
      const cold = measureRandom(program, size);
      rows.push({
        scenario: "hit, by exact address, random keys",
        mappings: size,
        ns: cold,
        aboveEmpty: cold - coldBase,
      });
      program.close();
    }
  } finally {
    for (const server of servers) server.close();
    dataPlane.unload();
    dataPlane.close();
    lock.release();
    empty.close();
  }
  return { rows, applies };
}
