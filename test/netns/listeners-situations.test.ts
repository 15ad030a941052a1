/**
 * Each situation that a listener can be in, for TCP, MPTCP and UDP over IPv4 and IPv6;
 * docs/listeners.md has them as a table.
 */
import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import { type Lab, useLab } from "../support/lab.js";
import { addressesOf, families } from "../support/matrix.js";
import { useNetwork } from "../support/network.js";
import { makeStage, renderSituations, situationRules, situations } from "../support/situations.js";

const network = useNetwork();
let lab: Lab;

beforeAll(async () => {
  await network.server.must([
    "sh",
    "-c",
    "echo 40000 40099 > /proc/sys/net/ipv4/ip_local_port_range",
  ]);
  await network.server.apply(situationRules);
});

useLab(network, (started) => {
  lab = started;
});

for (const situation of situations) {
  describe(`${situation.what}: ${situation.outcome}`, () => {
    for (const kind of situation.kinds) {
      for (const family of situation.families ?? families) {
        const cell = addressesOf[family];
        test(`${kind} over ${cell.label}`, async () => {
          await situation.play(makeStage(network.server, network.client, lab, cell, kind));
        });
      }
    }
  });
}

test("docs/listeners.md has just these rows", () => {
  const page = readFileSync(new URL("../../docs/listeners.md", import.meta.url), "utf8");
  expect(page).toContain(renderSituations());
});
