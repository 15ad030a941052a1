/**
 * On a host whose lo takes no IPv6 addresses, a configuration with such addresses is applied all
 * the same: with a warning, and whole as soon as lo takes them.
 */
import { afterEach, beforeEach, expect, test } from "vitest";
import { eventually, must } from "../support/process.js";
import { useNetwork } from "../support/network.js";

const network = useNetwork();
const rules = `version: 1
services:
  web: { address: [127.0.1.10, "fd5e:ed00::10"], publish: { 6000: 7000 } }
`;

async function setIpv6(disabled: 0 | 1): Promise<void> {
  await network.server.must(["sysctl", "-qw", `net.ipv6.conf.lo.disable_ipv6=${disabled}`]);
}

beforeEach(async () => {
  await setIpv6(1);
});

afterEach(async () => {
  await setIpv6(0);
  await network.server.reset();
});

test("check and apply warn, IPv4 works, and the next apply completes it", async () => {
  const { server, client } = network;
  const file = server.file(rules);
  const check = await server.ilm(["check", "-f", file]);
  expect(check.status, check.text).toBe(0);
  expect(check.stderr).toMatch(
    /:3:3: warning: services\.web: IPv6 is disabled on lo.*disable_ipv6=0/,
  );
  for (const _ of ["first", "again"]) {
    const { stderr } = await server.ilmDone(["apply", "-f", file]);
    expect(stderr).toContain("so fd5e:ed00::10 is not added");
  }
  await server.echo("web", [["tcp", "127.0.1.10", 7000]]);
  expect(await client.who("tcp", "203.0.113.1", 6000)).toBe("web");
  expect((await server.ilmDone(["status"])).stdout).toContain("disable_ipv6=0");
  await setIpv6(0);
  const { stdout, stderr } = await server.ilmDone(["apply", "-f", file]);
  expect(stdout).toContain("fd5e:ed00::10 was added to lo");
  expect(stderr).not.toContain("IPv6");
});

test("run begins, and adds the address once lo takes it", async () => {
  const { server } = network;
  const run = await server.startRun(["-f", server.file(rules)]);
  expect(run.process.stderr).toContain("IPv6 is disabled on lo");
  await setIpv6(0);
  await eventually("the address is there", async () =>
    (await must(["ip", "-n", server.name, "-6", "addr", "show", "lo"])).includes("fd5e:ed00::10")
      ? true
      : null,
  );
});
