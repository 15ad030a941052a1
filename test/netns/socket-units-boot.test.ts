/**
 * A host that boots with ilm's own unit and socket units: what it opens is what the rules say, from
 * the first dial.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { useBootedHost } from "../support/booted-host.js";
import { addressesOf, families } from "../support/matrix.js";
import { useNetwork } from "../support/network.js";
import { ilmCommand, ilmUnit } from "../support/paths.js";
import { words } from "../support/process.js";
import { shownFiles } from "../support/socket-units.js";

const network = useNetwork();
const installed = "/usr/local/bin/ilm";
const checkout = join(ilmCommand, "../..");

const host = useBootedHost(network, {
  files: {
    ...Object.fromEntries(shownFiles),
    "/etc/systemd/system/ilm.service": readFileSync(ilmUnit, "utf8").replaceAll(
      installed,
      ilmCommand,
    ),
    "/etc/default/ilm": "ILM_RUN_OPTIONS=--metrics 127.0.0.1:9465\n",
    // Of a checkout below /tmp the unit would see nothing: it has a /tmp of its own.
    "/etc/systemd/system/ilm.service.d/checkout.conf": `[Service]\nBindReadOnlyPaths=${checkout}\n`,
  },
  enabled: ["ilm.service", "web.socket", "clock.socket", "shop.socket", "ssh.socket"],
});

test("every unit has started, in an order without a cycle", async () => {
  expect(await host().must(words("systemctl is-system-running"))).toBe("running\n");
  const log = await host().must(words("journalctl --boot --output cat"));
  expect(log).not.toContain("ordering cycle");
  expect(await host().must(words("systemctl is-active ilm.service"))).toBe("active\n");
});

test("sockets on every address were opened after the rules were active, and are rewritten", async () => {
  const rows = (await host().ilmDone(["listeners", "--json"])).json();
  expect(rows).toMatchObject([
    { address: "127.0.1.22", port: 22, unit: "ssh.socket" },
    { address: "127.0.1.10", port: 80, unit: "web.socket" },
    { address: "127.0.1.12", port: 80, unit: "shop.socket" },
    { address: "fd5e:ed00::10", port: 80, unit: "web.socket" },
    { address: "127.0.0.1", port: 9465, unit: "ilm.service" },
    { address: "127.0.1.11", port: 3700, unit: "clock.socket" },
    { address: "fd5e:ed00::11", port: 3700, unit: "clock.socket" },
  ]);
});

test("the unit serves the API by its stable name, and metrics", async () => {
  const page = await host().must(words("curl -sS http://127.0.0.1:9465/metrics"));
  expect(page).toContain("ilm_loaded{");
  const socket = words("curl -sS --unix-socket /run/ilm/ilm.sock");
  expect(await host().must([...socket, "http://ilm/version"])).toContain('"api":1');
});

for (const family of families) {
  const { public: dialled, label } = addressesOf[family];

  test(`who dials over ${label} is served`, async () => {
    expect(await network.client.who("tcp", dialled, 80)).toMatch(/^process/);
    expect(await network.client.who("tcp", dialled, 81)).toMatch(/^process/);
    expect(await network.client.who("udp", dialled, 3700)).toMatch(/^process/);
  });
}
