// Goal: flows are live until they were idle for too long, also by a clock that is a tick ahead.
import { expect, test } from "vitest";
import {
  type Flow as Record,
  ILM_FLOW_IDLE_SECONDS,
  flowKeyLayout,
  flowLayout,
} from "../../../../src/abi/generated.js";
import { encode } from "../../../../src/abi/layout.js";
import {
  type FlowMap,
  countLiveFlows,
  forgetIdleFlows,
  liveFlows,
} from "../../../../src/dataplane/observe/flows.js";
import { addressBytes } from "../../../../src/model/address.js";
import { address } from "../../daemon/fixtures.js";

const SECOND_NS = 1_000_000_000n;

/** Seconds that a flow has been idle, by its client's port. */
type IdleByPort = Readonly<{ [port: number]: number }>;

/** In memory. `touch`: the client comes back when its flow is looked at again. */
class MapOfFlows implements FlowMap {
  readonly keySize = flowKeyLayout.size;
  readonly #entries = new Map<number, Uint8Array>();
  readonly #touch: readonly number[];

  constructor(flows: IdleByPort, touch: readonly number[] = []) {
    for (const [port, idle_s] of Object.entries(flows)) this.#put(Number(port), idle_s);
    this.#touch = touch;
  }

  #put(port: number, idle_s: number): void {
    const flow: Record = {
      seenNs: process.hrtime.bigint() - BigInt(idle_s) * SECOND_NS,
      dialled: addressBytes(address("203.0.113.1")),
      port: 53,
      chosen: 0,
      interface: 0,
    };
    this.#entries.set(port, encode(flowLayout, flow));
  }

  #key(port: number): Uint8Array {
    return encode(flowKeyLayout, {
      remote: addressBytes(address("198.51.100.7")),
      local: addressBytes(address("127.0.1.53")),
      remotePort: port,
      localPort: 5353,
    });
  }

  #portOf(key: Uint8Array): number {
    const found = [...this.#entries.keys()].find(
      (port) => Buffer.compare(this.#key(port), key) === 0,
    );
    if (found === undefined) throw new Error("no such flow");
    return found;
  }

  *batches(): Generator<[Uint8Array, Uint8Array]> {
    const ports = [...this.#entries.keys()];
    if (ports.length === 0) return;
    yield [
      Buffer.concat(ports.map((port) => this.#key(port))),
      Buffer.concat([...this.#entries.values()]),
    ];
  }

  lookup(key: Uint8Array): Uint8Array | undefined {
    const port = this.#portOf(key);
    if (this.#touch.includes(port)) this.#put(port, 0);
    return this.#entries.get(port);
  }

  delete(key: Uint8Array): boolean {
    return this.#entries.delete(this.#portOf(key));
  }

  get ports(): number[] {
    return [...this.#entries.keys()];
  }
}

const LONG = ILM_FLOW_IDLE_SECONDS + 60;

test("a flow is told with client, what it dialled, daemon and how long it was idle", () => {
  const [flow] = liveFlows(new MapOfFlows({ 40_000: 90 }));
  expect(flow).toEqual({
    client: { address: "198.51.100.7", port: 40_000 },
    dialled: { address: "203.0.113.1", port: 53 },
    daemon: { address: "127.0.1.53", port: 5353 },
    idle_s: 90,
  });
});

test("one that was seen by a clock ahead of ours is not idle", () => {
  expect(liveFlows(new MapOfFlows({ 40_000: -5 })).map(({ idle_s }) => idle_s)).toEqual([0]);
});

test("those that were idle for too long are neither listed nor counted", () => {
  const map = new MapOfFlows({ 40_000: 1, 40_001: LONG, 40_002: 2 });
  expect(liveFlows(map).map(({ client }) => client.port)).toEqual([40_000, 40_002]);
  expect(countLiveFlows(map)).toBe(2);
});

test("those are forgotten, but for one whose client comes back at that moment", () => {
  const map = new MapOfFlows({ 40_000: 1, 40_001: LONG, 40_002: LONG }, [40_002]);
  forgetIdleFlows(map);
  expect(map.ports).toEqual([40_000, 40_002]);
});
