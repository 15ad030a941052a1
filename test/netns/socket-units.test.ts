/**
 * Socket units of a real systemd as destinations: what docs/socket-units.md shows, from the first
 * dial to an idle stop, restarts and failures.
 */
import { beforeEach, describe, expect, test } from "vitest";
import { refused } from "../support/dialler.js";
import { addressesOf, endpoint, families, type Protocol } from "../support/matrix.js";
import { useNetwork } from "../support/network.js";
import { python } from "../support/paths.js";
import { eventually } from "../support/process.js";
import {
  answering,
  answerPath,
  configurationPath,
  shownFiles,
  useSocketUnits,
} from "../support/socket-units.js";

const network = useNetwork();
const units = useSocketUnits(
  network,
  (shown) => `${shown}
  talk: { address: [127.0.1.30, "fd5e:ed00::30"], unit: talk.service, wildcard: rewrite, publish: { 82/udp: 7010 } }
  crash: { address: [127.0.1.31, "fd5e:ed00::31"], unit: crash.service, publish: [7000] }
  alone: { address: [127.0.1.32, "fd5e:ed00::32"], unit: alone.service, publish: [7001] }
`,
);

test("the page shows a configuration, a program and units", () => {
  expect([...shownFiles.keys()].filter((path) => path.endsWith(".socket")).length).toBe(4);
  expect(shownFiles.has(configurationPath)).toBe(true);
  expect(shownFiles.has(answerPath)).toBe(true);
});

interface Example {
  readonly name: string;
  readonly protocol: Protocol;
  /** What is dialled, and the port of the sockets. */
  readonly port: number;
  readonly own: number;
  readonly what: string;
  /** Those that the page does not show. */
  readonly units?: Readonly<Record<string, string>>;
}

const examples: readonly Example[] = [
  { name: "web", protocol: "tcp", port: 80, own: 80, what: "on its own address" },
  { name: "clock", protocol: "udp", port: 3700, own: 3700, what: "on its own address" },
  { name: "shop", protocol: "tcp", port: 81, own: 80, what: "on every address, rewritten" },
  {
    name: "talk",
    protocol: "udp",
    port: 82,
    own: 7010,
    what: "on every address, rewritten",
    units: { "talk.socket": "[Socket]\nListenDatagram=7010\n", "talk.service": answering },
  },
];

for (const { name, protocol, port, own, what, units: more } of examples) {
  describe(`${protocol.toUpperCase()}, ${what}`, () => {
    const named = [`${name}.socket`, `${name}.service`] as const;

    beforeEach(async () => {
      if (more !== undefined) await units.host.units(more);
    });

    for (const family of families) {
      const { public: dialled, label } = addressesOf[family];

      test(`the first to dial starts the service, and is served by it, over ${label}`, async () => {
        const { client } = network;
        await units.systemctl(`start ${named[0]}`);
        expect(await units.stateOf(named[1])).toBe("inactive");
        const waiting = (await units.listenersAt(own)).filter(({ unit }) => unit === named[0]);
        expect(waiting.length).toBe(what.includes("rewritten") ? 1 : 2);
        for (const row of waiting) expect(row).toMatchObject({ pid: 1, command: "systemd" });
        const explained = await units.says("explain", protocol, endpoint(dialled, port));
        expect(explained).toMatch(`systemd (pid 1) for ${named[0]}`);

        const first = await client.dial(protocol, dialled, port);
        expect(first).toMatchObject({ answered: true, repliedFrom: { address: dialled, port } });
        const pid = Number(await units.show("MainPID", named[1]));
        expect(await client.who(protocol, dialled, port)).toBe(`process ${pid}`);
        expect(first).toMatchObject({ tag: `process ${pid}` });
        const serving = (await units.listenersAt(own)).filter(({ unit }) => unit === named[0]);
        expect(serving.map((row) => row.pid)).toEqual(waiting.map(() => pid));
      });
    }

    test("it ends when it is idle and starts with the next dial, and no dial fails", async () => {
      await units.host.units({
        [`${named[1]}.d/hasty.conf`]:
          "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart=\nExecStart=/usr/bin/python3 /usr/local/lib/answer.py 0.02\n",
        [`${named[0]}.d/hasty.conf`]: "[Socket]\nTriggerLimitIntervalSec=0\n",
      });
      await units.systemctl(`start ${named[0]}`);
      const load = await network.client.load(protocol, addressesOf[4].public, port, 60);
      const starts = new Set<string>();
      await eventually("it was started five times", async () => {
        starts.add(await units.show("InvocationID", named[1]));
        return starts.size > 5 ? true : null;
      });
      const { answered, failed } = await load.stop();
      expect(failed).toEqual({});
      expect(Object.keys(answered).length).toBeGreaterThan(3);
      await units.untilState(named[1], "inactive");
      expect(await network.client.who(protocol, addressesOf[6].public, port)).toMatch(/^process/);
    });

    test("restarts of the service, daemon-reload and daemon-reexec fail no dial", async () => {
      await units.systemctl(`start ${named[0]}`);
      const load = await network.client.load(protocol, addressesOf[6].public, port);
      for (const command of [`restart ${named[1]}`, "daemon-reload", "daemon-reexec"]) {
        await units.systemctl(command);
        expect(await network.client.who(protocol, addressesOf[4].public, port)).toMatch(/^proc/);
      }
      await units.systemctl(`stop ${named[1]}`);
      expect(await network.client.who(protocol, addressesOf[4].public, port)).toMatch(/^process/);
      const { answered, failed } = await load.stop();
      expect(failed).toEqual({});
      expect(Object.keys(answered).length).toBeGreaterThan(1);
    });
  });
}

test("a proxy starts a daemon that takes no sockets, and both end when nobody is connected", async () => {
  await units.host.units({
    "page.service.d/hasty.conf":
      "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart=\nExecStart=/lib/systemd/systemd-socket-proxyd --exit-idle-time=1s 127.0.1.14:80\n",
  });
  await units.systemctl("start page.socket");
  for (const family of families) {
    expect(await units.stateOf("nginx.service")).toBe("inactive");
    expect(await network.client.curl(addressesOf[family].public, 8080)).toContain("nginx");
    await units.untilState("page.service", "inactive");
    await units.untilState("nginx.service", "inactive");
  }
  // Nothing but the proxy leads to it.
  expect(await network.client.dial("tcp", addressesOf[4].public, 80)).toMatchObject(refused);
});

test("Debian's ssh.socket starts sshd on the service's address, dialled on another port", async () => {
  await units.host.must(["ssh-keygen", "-A"]);
  await units.systemctl("start ssh.socket");
  expect(await units.stateOf("ssh.service")).toBe("inactive");
  const reads =
    "import socket, sys; print(socket.create_connection((sys.argv[1], 2222), 30).recv(200).decode())";
  for (const family of families) {
    const greeting = await network.client.must([python, "-c", reads, addressesOf[family].public]);
    expect(greeting).toContain("OpenSSH");
  }
  expect(await units.stateOf("ssh.service")).toBe("active");
  const rows = await units.listenersAt(22);
  expect(rows).toMatchObject([{ address: "127.0.1.22", command: "sshd", unit: "ssh.socket" }]);
});

test("RuntimeMaxSec= ends a service, and the next dial starts it again", async () => {
  await units.host.units({ "web.service.d/old.conf": "[Service]\nRuntimeMaxSec=1\n" });
  await units.systemctl("start web.socket");
  const dial = async (): Promise<string> =>
    await network.client.who("tcp", addressesOf[4].public, 80);
  const first = await dial();
  expect(first).toMatch(/^process/);
  await units.untilState("web.service", "failed");
  const second = await dial();
  expect(second).toMatch(/^process/);
  expect(second).not.toBe(first);
});

describe("a restart of the socket unit", () => {
  test("without Requires=, leaves the running service alone, and the unit does not come back", async () => {
    await units.start({
      "alone.socket": "[Socket]\nListenStream=127.0.1.32:7001\n",
      "alone.service": answering,
    });
    const dial = async (): Promise<string> =>
      await network.client.who("tcp", addressesOf[4].public, 7001);
    const before = await dial();
    expect(before).toMatch(/^process/);
    await units.failing("restart alone.socket");
    expect(await units.stateOf("alone.socket")).toBe("inactive");
    expect(await dial()).toBe(before);
    expect((await units.listenersAt(7001))[0]).toMatchObject({ unit: "alone.service" });
    await units.systemctl("stop alone.service");
    expect(await dial()).toBe("ECONNREFUSED");
  });

  test("with Requires=, restarts both", async () => {
    await units.systemctl("start web.socket");
    const dial = async (): Promise<string> =>
      await network.client.who("tcp", addressesOf[6].public, 80);
    const before = await dial();
    await units.systemctl("restart web.socket");
    expect(await units.stateOf("web.socket")).toBe("active");
    const after = await dial();
    expect(after).toMatch(/^process/);
    expect(after).not.toBe(before);
  });
});

describe("a service that fails each time", () => {
  const dial = async (): Promise<string> =>
    await network.client.who("tcp", addressesOf[4].public, 7000);

  test("its socket unit fails: dials are refused, and audit names the unit", async () => {
    await units.start({
      "crash.socket": "[Socket]\nListenStream=127.0.1.31:7000\n",
      "crash.service": "[Service]\nExecStart=/bin/false\n",
    });
    // It waits in the queue of a socket that systemd then closes.
    expect(await dial()).toBe("ECONNRESET");
    await units.untilState("crash.socket", "failed");
    expect(await units.show("Result", "crash.socket")).toBe("service-start-limit-hit");
    expect(await dial()).toBe("ECONNREFUSED");
    expect(await units.says("explain", "tcp", "203.0.113.1:7000")).toContain(
      "(crash): nothing listens",
    );
    expect(await units.says("doctor")).not.toMatch(/crash|127\.0\.1\.31|7000/);
    expect(await units.says("mappings", "--down")).toMatch(
      /^tcp:7000 .* 127\.0\.1\.31 \(crash\) +none since /m,
    );
    const audit = await units.says("audit", "--kind", "service-unserved");
    expect(audit).toMatch(/service crash\n.*nobody serves it/);
    expect(audit).toContain("Start its daemon (unit crash.service), or crash.socket if it has one");

    await units.host.units({ "crash.service": answering });
    await units.systemctl("reset-failed crash.service crash.socket");
    await units.systemctl("start crash.socket");
    expect(await dial()).toMatch(/^process/);
  });

  test("one that is started too often, too", async () => {
    await units.start({
      "crash.socket":
        "[Socket]\nListenStream=127.0.1.31:7000\nTriggerLimitBurst=2\nTriggerLimitIntervalSec=1h\n",
      "crash.service": `[Unit]\nStartLimitIntervalSec=0\n${answering.replace("600", "0")}`,
    });
    const tags: string[] = [];
    await eventually("a dial is refused", async () => {
      tags.push(await dial());
      return tags.at(-1) === "ECONNREFUSED" ? true : null;
    });
    expect(await units.show("Result", "crash.socket")).toBe("trigger-limit-hit");
  });
});
