// Goal: a destination that no daemon of this host can have is told with its remedy, and addresses
// that ilm puts there itself are not.
import { expect, test } from "vitest";
import {
  destinationsToFind,
  warnOfElsewhere,
  warnOfReserved,
} from "../../../src/rules/elsewhere.js";
import { parseMappingArgument } from "../../../src/config/argument.js";
import type { Address, Prefix } from "../../../src/model/address.js";
import type { Mapping } from "../../../src/model/mapping.js";

const origin = { file: "rules.yaml", line: 3, column: 5 };
const services = [
  { name: "web", addresses: ["10.0.0.1" as Address, "fd5e::10" as Address], origin },
];

function mappings(...texts: readonly string[]): Mapping[] {
  return texts
    .flatMap((text) => parseMappingArgument(text, services))
    .map((one) => ({ ...one, origin }));
}

test("asked about are addresses that are neither loopback, nor a service's, nor the wildcard", () => {
  const found = destinationsToFind(
    mappings(
      "80=127.0.1.10,203.0.113.9",
      "81=[::1]:80,web,10.0.0.1:8080,*:22",
      "82=203.0.113.9:80,203.0.113.9:81,fd5e::11",
    ),
    { services },
  );
  expect(
    found.map(({ address, mappings: those }) => [address, those.map(({ name }) => name)]),
  ).toEqual([
    ["203.0.113.9", ["tcp:80", "tcp:82"]],
    ["fd5e::11", ["tcp:82"]],
  ]);
});

test("one that is this host's at times is not asked about", () => {
  const floating = ["203.0.113.0/24" as Prefix];
  const found = destinationsToFind(mappings("80=203.0.113.9,198.51.100.9"), { services, floating });
  expect(found.map(({ address }) => address)).toEqual(["198.51.100.9"]);
});

test("each is one warning, which names a mapping, its place, and the remedy", () => {
  const [public4, ...others] = warnOfElsewhere(
    destinationsToFind(
      mappings("80=203.0.113.9", "81=203.0.113.9", "82=10.9.9.9", "83=fd5e::10:80"),
      { services },
    ),
  );
  expect(public4).toMatchObject({ severity: "warning", ...origin, path: "mapping tcp:80" });
  expect(public4?.message).toBe(
    "leads to 203.0.113.9, which is not an address of this host: ilm sends nothing to other hosts, it leads to daemons that listen here (as 1 more mapping does)",
  );
  // Put on lo, a public address would be taken from the host that has it.
  expect(public4?.hint).not.toContain("service");
  const [private4, bare] = others;
  expect(private4?.hint).toMatch(
    /^make it the address of a service, which ilm puts on lo, or write the address/,
  );
  expect(bare?.hint).toMatch(/^for port 80 of fd5e::10 write "\[fd5e::10\]:80"; else /);
});

test("240.0.0.0/4 is doubtful in on and from, and no prefix around it", () => {
  const told = warnOfReserved(
    mappings(
      "80@240.0.0.1=web",
      "81@from:241.0.0.0/8=web",
      "82@128.0.0.0/1=web",
      "83@10.0.0.0/8=web",
    ),
  );
  expect(told.map(({ path, message }) => `${path} ${message.split(",")[0]}`)).toEqual([
    "mapping tcp:80@240.0.0.1/32 has 240.0.0.1/32 in on",
    "mapping tcp:81@from:241.0.0.0/8 has 241.0.0.0/8 in from",
  ]);
});
