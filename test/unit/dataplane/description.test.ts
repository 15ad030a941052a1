// Goal: what a generation says of itself is read back as it was written, also where it is too short
// to be compressed.
import { gunzipSync, gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { parseMappingArgument } from "../../../src/config/argument.js";
import {
  CHUNK,
  type Description,
  packHead,
  packMappings,
  unpackDescription,
} from "../../../src/dataplane/description.js";
import type { Mapping } from "../../../src/model/mapping.js";
import { inMemory } from "../../../src/model/rules.js";
import { address, prefix } from "../daemon/fixtures.js";

function mappings(count: number): Mapping[] {
  return Array.from({ length: count }, (_, i) =>
    parseMappingArgument(`tcp:${9000 + i}=127.0.1.10:6000`, []),
  ).flat();
}

function described(file: readonly Mapping[], runtime: readonly Mapping[]): Description {
  return {
    strangerPolicy: "refuse",
    generation: 7,
    appliedAt: "2026-11-29T06:00:00.000Z",
    version: "0.1.0",
    rules: {
      sources: ["/etc/ünï.yaml"],
      file: inMemory({ engine: "auto", mptcp: "on", services: [], mappings: file }),
      runtime,
    },
    engine: "registry",
    kfuncTrouble: null,
    registry: 1,
    interfaces: [""],
    fileDigest: "a",
    digest: "b",
    protocols: ["tcp"],
    steersTcp: false,
    drawSeed: 1,
    layers: null,
    overlaid: null,
    programs: 1,
    side: 0,
    twoSided: true,
  };
}

/** The only part of a head: its length is behind the length of all. */
function firstPart(head: Uint8Array): Uint8Array {
  const view = new DataView(head.buffer, head.byteOffset);
  return head.subarray(8, 8 + view.getUint32(4, true));
}

describe("a description", () => {
  // Some are stored as they are, and others compressed.
  for (const count of [0, 1, 12, 13, 14, 15, 16, 17, 400]) {
    test(`with ${count} mappings of the file and as many of run time is read back`, () => {
      const [file, runtime] = [mappings(count), mappings(count)];
      const head = packHead(described(file, runtime));
      const { rules, ...others } = unpackDescription(head, () => packMappings(file));
      const { rules: _, ...expected } = described(file, runtime);
      expect(others).toEqual(expected);
      expect(rules.sources).toEqual(["/etc/ünï.yaml"]);
      expect(rules.runtime).toEqual(runtime);
      expect([...rules.file.read().mappings]).toEqual(file);
    });
  }

  test("says all but the mappings of the file without reading these, and reads them once", () => {
    let reads = 0;
    const file = mappings(400);
    const { rules } = unpackDescription(packHead(described(file, [])), () => {
      reads += 1;
      return packMappings(file);
    });
    expect(rules.file.count).toBe(400);
    expect(rules.file.head).toEqual({ engine: "auto", mptcp: "on", services: [] });
    expect(reads).toBe(0);
    expect(rules.file.read()).toBe(rules.file.read());
    expect(reads).toBe(1);
  });

  test("of a build that did not write the number of mappings reads them at once", () => {
    const packed = gzipSync(JSON.stringify({ sources: [], services: [], runtime: [] }));
    const head = Buffer.alloc(8 + packed.length);
    head.writeUInt32LE(head.length, 0);
    head.writeUInt32LE(packed.length, 4);
    packed.copy(head, 8);
    expect(unpackDescription(head, () => packMappings(mappings(3))).rules.file.count).toBe(3);
  });

  test("has the settings and the owners of services", () => {
    const web = {
      name: "web",
      addresses: [address("127.0.1.10")],
      owner: { unit: "nginx.service", user: 0 },
      wildcard: "deny",
      origin: { file: "a", line: 1, column: 1 },
    } as const;
    const file = {
      engine: "kfunc",
      mptcp: "off",
      strangers: "report",
      wildcard: { default: "report", units: { "nginx.service": "allow" } },
      ula: prefix("fd5e:ed00:1::/48"),
      services: [web],
      mappings: [],
    } as const;
    const whole = described([], []);
    const head = packHead({ ...whole, rules: { ...whole.rules, file: inMemory(file) } });
    const { rules, ...others } = unpackDescription(head, () => packMappings([]));
    const read = rules.file.read();
    expect({ ...read, mappings: [...read.mappings] }).toEqual(file);
    expect(others).not.toHaveProperty("wildcard");
    const plain = unpackDescription(packHead(whole), () => packMappings([])).rules.file;
    expect(Object.keys(plain.head)).toEqual(["engine", "mptcp", "services"]);
  });

  test("is gzip for whoever reads it, and takes one chunk when it is short", () => {
    const head = packHead(described([], mappings(3)));
    expect(head).toHaveLength(CHUNK);
    const text = gunzipSync(firstPart(head)).toString("utf8");
    expect(JSON.parse(text)).toMatchObject({ generation: 7, source: "/etc/ünï.yaml" });
    expect(Buffer.from(head).includes("/etc/ünï.yaml")).toBe(true);
  });
});
