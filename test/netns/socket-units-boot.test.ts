/**
 * A host that boots with ilm's own units and socket units: what it opens is what the rules say,
 * from the first dial. A network namespace that is made at boot has its rules, too.
 */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { useBootedHost } from "../support/booted-host.js";
import { addressesOf, families } from "../support/matrix.js";
import { useNetwork } from "../support/network.js";
import { ilmCommand, ilmUnit } from "../support/paths.js";
import { eventually, words } from "../support/process.js";
import { shownFiles } from "../support/socket-units.js";

const network = useNetwork();
const installed = "/usr/local/bin/ilm";
const checkout = join(ilmCommand, "../..");

/** Makes a network namespace after ilm's units have started, and all that they wait for. */
const late = `
[Unit]
After=network.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=ip netns add blue
ExecStart=ip -n blue link set lo up
`;

/** A unit of ours, for the checkout. */
function unitOf(name: string): string {
  return readFileSync(join(dirname(ilmUnit), name), "utf8").replaceAll(installed, ilmCommand);
}

const host = useBootedHost(network, {
  files: {
    ...Object.fromEntries(shownFiles),
    ...Object.fromEntries(
      ["ilm.service", "ilm@.service", "ilm@.path"].map((name) => [
        `/etc/systemd/system/${name}`,
        unitOf(name),
      ]),
    ),
    "/etc/systemd/system/late.service": late,
    "/etc/ilm/blue.yaml": "version: 1\nmappings: [{ port: 80, to: 127.0.1.10:8000 }]\n",
    "/etc/default/ilm": "ILM_RUN_OPTIONS=--metrics 127.0.0.1:9465\n",
    // Of a checkout below /tmp the unit would see nothing: it has a /tmp of its own.
    ...Object.fromEntries(
      ["ilm.service.d", "ilm@.service.d"].map((folder) => [
        `/etc/systemd/system/${folder}/checkout.conf`,
        `[Service]\nBindReadOnlyPaths=${checkout}\n`,
      ]),
    ),
  },
  enabled: [
    "ilm.service",
    "ilm@blue.service",
    "late.service",
    "web.socket",
    "clock.socket",
    "shop.socket",
    "ssh.socket",
  ],
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

test("the rules of a network namespace that was made later are active, and again in the next", async () => {
  const sources = async (): Promise<unknown> => {
    const { stdout } = await host().ilm(["status", "--netns", "blue", "--json"]);
    return (JSON.parse(stdout) as { sources?: unknown }).sources;
  };
  const untilActive = async (): Promise<void> => {
    await eventually("the namespace has its rules", async () =>
      JSON.stringify(await sources()) === '["/etc/ilm/blue.yaml"]' ? true : null,
    );
  };
  await untilActive();
  await host().must(words("ip netns delete blue"));
  await host().must(words("ip netns add blue"));
  await untilActive();
  const log = await host().must(words("journalctl --boot --unit ilm@blue --output cat"));
  expect(log).toContain("/run/netns/blue is gone, or is another network namespace by now");
  // It is the service that is stopped, not what starts it.
  await host().must(words("systemctl stop ilm@blue"));
  const states = "systemctl show --property=ActiveState --value ilm@blue.path ilm@blue.service";
  expect(await host().must(words(states))).toBe("inactive\n\ninactive\n");
});

for (const family of families) {
  const { public: dialled, label } = addressesOf[family];

  test(`who dials over ${label} is served`, async () => {
    expect(await network.client.who("tcp", dialled, 80)).toMatch(/^process/);
    expect(await network.client.who("tcp", dialled, 81)).toMatch(/^process/);
    expect(await network.client.who("udp", dialled, 3700)).toMatch(/^process/);
  });
}
