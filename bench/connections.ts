/**
 * New TCP connections per second, dialled directly and through a mapping, in turns within one run. Client and server are one
 * process on the loopback interface, which is the same for both: only the ratio means something.
 */
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { openDataPlane } from "../src/dataplane/open.js";
import { acquireWriterLock } from "../src/kernel/lock.js";
import type { Address } from "../src/model/address.js";
import { median } from "./network.js";

const ROUNDS = 15;
const ROUND_MS = 500;
const AT_ONCE = 16;

export interface ConnectionRow {
  readonly way: string;
  readonly perSecond: number;
  /** Median of the rounds' ratios to the direct one. */
  readonly ratio: number;
}

async function dial(host: string, port: number): Promise<void> {
  const socket = connect({ host, port });
  await once(socket, "close");
}

/** Connections per second in one round. */
async function round(host: string, port: number): Promise<number> {
  const begin = performance.now();
  let made = 0;
  const dialler = async (): Promise<void> => {
    while (performance.now() - begin < ROUND_MS) {
      await dial(host, port);
      made += 1;
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, dialler));
  return (made / (performance.now() - begin)) * 1000;
}

export async function measureConnections(): Promise<ConnectionRow[]> {
  const dataPlane = openDataPlane();
  const lock = acquireWriterLock(dataPlane.netnsInode);
  const server = createServer((socket) => socket.destroy());
  server.listen(8080, "127.0.1.10");
  await once(server, "listening");
  const direct: number[] = [];
  const mapped: number[] = [];
  try {
    dataPlane.apply({
      source: null,
      file: {
        services: [],
        mappings: [
          {
            name: "bench",
            protocol: "tcp",
            ports: [{ first: 80, last: 80 }],
            on: [],
            to: [{ address: "127.0.1.10" as Address, port: 8080 }],
            existing: "exact",
            miss: "pass",
            origin: { file: "<bench>", line: 0, column: 0 },
          },
        ],
      },
      runtime: [],
    });
    await round("127.0.1.10", 8080);
    for (let i = 0; i < ROUNDS; i++) {
      direct.push(await round("127.0.1.10", 8080));
      mapped.push(await round("203.0.113.1", 80));
    }
  } finally {
    server.close();
    dataPlane.unload();
    dataPlane.close();
    lock.release();
  }
  return [
    { way: "direct", perSecond: median(direct), ratio: 1 },
    {
      way: "through a mapping",
      perSecond: median(mapped),
      ratio: median(mapped.map((value, i) => value / (direct[i] ?? Number.NaN))),
    },
  ];
}
