// Goal: what is drained is what was named, in whatever way, and what cannot be drained is refused.
import { describe, expect, test } from "vitest";
import { compile } from "../../../src/compile/compile.js";
import { parseMappingArgument } from "../../../src/config/argument.js";
import type { Drained } from "../../../src/model/drained.js";
import { formatDrained } from "../../../src/model/drained.js";
import type { Service } from "../../../src/model/mapping.js";
import { drainedAfter } from "../../../src/rules/drained.js";
import { address } from "../daemon/fixtures.js";

const web: Service = {
  name: "web",
  addresses: [address("127.0.1.10"), address("fd5e:ed00::10")],
  origin: { file: "a.yaml", line: 3, column: 3 },
};

const any: Drained = { protocol: null, address: null, service: null, port: null };
const drained = (one: Partial<Drained>): Drained => ({ ...any, ...one });

function mappings(...texts: readonly string[]) {
  return texts.flatMap((text) => parseMappingArgument(text, [web]));
}

function drain(one: Partial<Drained>, texts: readonly string[], force = true): readonly Drained[] {
  const change = { kind: "drain", drained: [drained(one)], force } as const;
  return drainedAfter([], change, mappings(...texts), [web]);
}

/** The addresses and ports of destinations that are compiled as drained. */
function compiled(one: Partial<Drained>, ...texts: readonly string[]): string[] {
  const rules = {
    sources: [],
    file: { services: [web], mappings: mappings(...texts) },
    runtime: [],
    drained: [drained(one)],
  };
  const { destinations, endpoints } = compile(rules);
  return Array.from({ length: destinations.count }, (_, i) => i)
    .filter((i) => destinations.drained[i] === 1)
    .flatMap((i) => {
      const endpoint = endpoints[destinations.endpoint[i] ?? 0];
      return endpoint === undefined
        ? []
        : `${endpoint.protocol} ${endpoint.address} ${endpoint.port}`;
    })
    .sort();
}

test("a service is each of its addresses, however the destination was written", () => {
  expect(compiled({ service: "web" }, "80=web", "81=127.0.1.10:8080", "82=127.0.1.11")).toEqual([
    "tcp 127.0.1.10 80",
    "tcp 127.0.1.10 8080",
    "tcp fd5e:ed00::10 80",
  ]);
});

test("a protocol and a port leave the others", () => {
  const all = ["tcp+udp:80=web", "81=web"];
  expect(compiled({ service: "web", protocol: "udp" }, ...all)).toEqual([
    "udp 127.0.1.10 80",
    "udp fd5e:ed00::10 80",
  ]);
  expect(compiled({ address: address("127.0.1.10"), port: 81 }, ...all)).toEqual([
    "tcp 127.0.1.10 81",
  ]);
  expect(compiled({ address: "*", port: 22 }, "2222=*:22", "2223=*:23")).toEqual([
    "tcp 0.0.0.0 22",
    // For packets of each family.
    "tcp :: 22",
    "tcp :: 22",
  ]);
});

test("one port of several that are dialled is drained alone, as far as it is a destination of its own", () => {
  expect(compiled({ address: address("127.0.1.11"), port: 81 }, "80-82=127.0.1.11")).toEqual([
    "tcp 127.0.1.11 81",
  ]);
  const one = { address: address("127.0.1.11"), port: 8081 };
  expect(compiled(one, "8000-9000=127.0.1.11")).toEqual([]);
  expect(() => drain(one, ["8000-9000=127.0.1.11"])).toThrow(/with many other ports/);
  expect(compiled({ ...one, port: null }, "8000-9000=127.0.1.11")).toEqual(["tcp 127.0.1.11 0"]);
});

test("where nobody would be left it is refused, and weight 0 is nobody", () => {
  const alone = ["80=web", "81=web,127.0.1.11"];
  expect(() => drain({ service: "web" }, alone, false)).toThrow(
    /nobody would be left for new connections to tcp:80$/,
  );
  expect(drain({ service: "web" }, alone.slice(1), false)).toHaveLength(1);
  const weighted = "80=127.0.1.11@weight:1,127.0.1.12@weight:0";
  expect(() => drain({ address: address("127.0.1.11") }, [weighted], false)).toThrow(/tcp:80$/);
  // One family left is not nobody, as it is not known which one clients use.
  expect(drain({ address: address("127.0.1.10") }, ["80=web"], false)).toHaveLength(1);
});

describe("what was named", () => {
  test.each([
    [{ service: "web" }, "web"],
    [{ service: "web", port: 80, protocol: "udp" }, "udp:web:80"],
    [{ address: address("127.0.1.10") }, "127.0.1.10"],
    [{ address: address("fd5e:ed00::10"), port: 80 }, "[fd5e:ed00::10]:80"],
    [{ address: "*", port: 22 }, "*:22"],
  ] as const)("%j is %s", (one, text) => {
    expect(formatDrained(drained(one))).toBe(text);
  });

  test("is named once, and ends by the same name", () => {
    const all = mappings("80=web");
    const [one, other] = [drained({ service: "web" }), drained({ service: "web", port: 80 })];
    const both = drainedAfter(
      [one],
      { kind: "drain", drained: [one, other, other], force: true },
      all,
      [web],
    );
    expect(both).toEqual([one, other]);
    const end = { kind: "undrain", drained: [one], force: false } as const;
    expect(drainedAfter(both, end, all, [web])).toEqual([other]);
    expect(() => drainedAfter([other], end, all, [web])).toThrow("web is not drained");
  });
});
