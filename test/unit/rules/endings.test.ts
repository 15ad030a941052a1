// Goal: a mapping without a listener tells when its last one ended, or since when it has had none
// yet, and nothing where that is not known.
import { expect, test } from "vitest";
import type { Ending } from "../../../src/model/listener.js";
import type { Mapping } from "../../../src/model/mapping.js";
import { Endings, type Place } from "../../../src/rules/endings.js";
import { address, mapping } from "../daemon/fixtures.js";

const identity = { uid: 33, gid: 33, unit: "0" };

const end = (host: string, port: number, endedAt: number): Ending => ({
  protocol: "tcp",
  address: address(host),
  port,
  endedAt,
  identity,
});

/** By address and port. */
type Since = Readonly<Record<string, number>>;

function endings(ended: readonly Ending[], since: Since = {}): Endings {
  return new Endings(ended, (places: readonly Place[]) =>
    places.map(({ address: host, port }) => since[`${host} ${port}`] ?? null),
  );
}

function to(...hosts: readonly string[]): Mapping {
  const places = hosts.map((host) => ({ address: host === "*" ? host : address(host), port: 80 }));
  return mapping("web", { to: places as Mapping["to"] });
}

const [one, two] = ["127.0.1.1", "127.0.1.2"] as const;

test("a destination's last listener ended, or there was none yet, or nothing is known", () => {
  const known = endings([end(one, 80, 5), end(one, 80, 9), end(one, 81, 99)], {
    [`${one} 80`]: 1,
    [`${two} 80`]: 3,
  });
  const both = to(one, two, "127.0.1.3");
  expect(known.at(both, 0)).toMatchObject({ ended: { endedAt: 9 }, neverSince: null });
  expect(known.at(both, 1)).toEqual({ ended: null, neverSince: 3 });
  expect(known.at(both, 2)).toEqual({ ended: null, neverSince: null });
});

test("a mapping has had none since its last one ended, wherever that was", () => {
  const known = endings([end(one, 80, 5)], { [`${two} 80`]: 3 });
  expect(known.of(to(two, one))).toMatchObject({ ended: { endedAt: 5 }, neverSince: null });
});

test("a mapping has had none yet if that is known of each destination, since the first was watched", () => {
  const known = endings([], { [`${one} 80`]: 7, [`${two} 80`]: 3 });
  expect(known.of(to(one, two))).toEqual({ ended: null, neverSince: 3 });
  expect(known.of(to(one, "127.0.1.3"))).toEqual({ ended: null, neverSince: null });
  expect(known.of(to())).toEqual({ ended: null, neverSince: null });
});

test("on every address, nobody has listened since both families' were watched", () => {
  expect(endings([], { "0.0.0.0 80": 3, ":: 80": 4 }).of(to("*")).neverSince).toBe(4);
  expect(endings([], { "0.0.0.0 80": 3 }).of(to("*")).neverSince).toBeNull();
});

test("the port that is dialled is one, or any of several", () => {
  const same = mapping("web", { to: [{ address: address(one), port: "same" }] });
  const since = { [`${one} 80`]: 3, [`${one} 0`]: 4 };
  expect(endings([], since).of(same).neverSince).toBe(3);
  const several = { ...same, ports: [{ first: 80, last: 81 }] };
  expect(endings([], since).of(several).neverSince).toBe(4);
});
