/**
 * Socket units of a real systemd as destinations: whose their sockets are, and what options of
 * socket units do.
 */
import { describe, expect, test } from "vitest";
import { useBootedHost } from "../support/booted-host.js";
import { refused } from "../support/dialler.js";
import { addressesOf, endpoint, families, protocols } from "../support/matrix.js";
import { useNetwork } from "../support/network.js";
import { eventually, words } from "../support/process.js";
import {
  answering,
  answerPath,
  configurationPath,
  shownFiles,
  useSocketUnits,
} from "../support/socket-units.js";

const network = useNetwork();

const rules = `version: 1
services:
  named: { address: [127.0.1.31, "fd5e:ed00::31"], unit: named.service, publish: [7001] }
  inetd: { address: [127.0.1.32, "fd5e:ed00::32"], unit: inetd.service, publish: [7002] }
  many: { address: [127.0.1.33, "fd5e:ed00::33"], user: root, publish: [7003] }
  mixed: { address: [127.0.1.34, "fd5e:ed00::34"], unit: mixed.service, wildcard: rewrite, publish: [7004] }
  six: { address: [127.0.1.35, "fd5e:ed00::35"], unit: six.service, wildcard: rewrite, publish: [7005, 7005/udp] }
  both: { address: [127.0.1.36, "fd5e:ed00::36"], unit: both.service, wildcard: rewrite, publish: [7006] }
  mptcp: { address: [127.0.1.37, "fd5e:ed00::37"], unit: mptcp.service, wildcard: rewrite, publish: [7007] }
  four: { address: [127.0.1.40, "fd5e:ed00::40"], unit: four.service, wildcard: rewrite, publish: [7011] }
mappings:
  - { name: every-address, protocol: [tcp, udp], port: 7100, to: "*:7101" }
`;
const units = useSocketUnits(network, () => rules);

/** A daemon that answers on the socket that it is passed, and on another that it binds itself. */
const mixed = `
import json, selectors, socket
selector = selectors.DefaultSelector()
beside = socket.create_server(("::", 7004), family=socket.AF_INET6, reuse_port=True, dualstack_ipv6=True)
for tag, sock in ("passed", socket.socket(fileno=3)), ("bound", beside):
    selector.register(sock, selectors.EVENT_READ, json.dumps({"tag": tag}).encode())
while True:
    for key, _ in selector.select():
        with key.fileobj.accept()[0] as connection:
            connection.sendall(key.data)
`;

describe("whose its sockets are", () => {
  test("a socket unit with another name than the service's is a stranger, and audit says so", async () => {
    await units.host.units({
      "other.socket": "[Socket]\nListenStream=127.0.1.31:7001\nService=named.service\n",
      "named.service": answering,
    });
    await units.failing("start other.socket");
    expect(await units.stateOf("other.socket")).toBe("failed");
    await units.untilLogged(/other\.socket: .*Permission denied/);
    const audit = await units.says("audit", "--kind", "refused");
    expect(audit).toContain("systemd, for a socket unit (");
    expect(audit).toContain("belongs to service named (unit named.service)");
    expect(audit).toContain("name it as the service's `unit`");
  });

  test("one that was there before the service had an owner gets nothing any more, and explain says so", async () => {
    const { public: dialled } = addressesOf[4];
    await units.apply(rules.replace("unit: named.service, ", ""));
    await units.start({
      "other.socket": "[Socket]\nListenStream=127.0.1.31:7001\nService=named.service\n",
      "named.service": answering,
    });
    expect(await network.client.who("tcp", dialled, 7001)).toMatch(/^process/);
    await units.apply(rules);
    expect(await network.client.who("tcp", dialled, 7001)).toBe("ECONNREFUSED");
    const explained = await units.says("explain", "tcp", endpoint(dialled, 7001));
    expect(explained).toContain(
      ", from other.socket) on 127.0.1.31:7001 listens, but gets nothing",
    );
    expect(explained).toContain("the address belongs to service named (unit named.service)");
    expect(await units.says("audit", "--kind", "foreign-address")).toContain("unit other.socket");
  });

  test("Accept=yes needs no service of the name: systemd holds the listener, and starts one each", async () => {
    await units.start({
      "inetd.socket":
        "[Socket]\nListenStream=127.0.1.32:7002\nListenStream=[fd5e:ed00::32]:7002\nAccept=yes\n",
      "inetd@.service": `[Service]\nStandardInput=socket\nStandardOutput=socket\nExecStart=echo '{"tag": "%i"}'\n`,
    });
    const tags = new Set<string>();
    for (const family of families) {
      for (let i = 0; i < 2; i++) {
        tags.add(await network.client.who("tcp", addressesOf[family].public, 7002));
      }
    }
    expect(tags.size).toBe(4);
    for (const tag of tags) expect(tag).toMatch(/^[0-3]-/);
    for (const row of await units.listenersAt(7002)) {
      expect(row).toMatchObject({ pid: 1, unit: "inetd.socket" });
    }
  });
});

describe("where systemd cannot filter by cgroup", () => {
  const other = useNetwork();
  const confined = useBootedHost(other, { withoutBpf: true });

  test("its sockets are in init.scope: a service with user has them, and one with unit has not", async () => {
    await confined().units({
      "web.socket": "[Socket]\nListenStream=127.0.1.10:7000\nListenStream=127.0.1.11:7001\n",
      "web.service": answering,
    });
    confined().write(answerPath, shownFiles.get(answerPath) ?? "");
    await confined().must(words("systemctl start web.socket"));
    confined().write(
      configurationPath,
      `version: 1
services:
  by-unit: { address: 127.0.1.10, unit: web.service, publish: [7000] }
  by-user: { address: 127.0.1.11, user: daemon, publish: [7001] }
`,
    );
    await confined().ilmDone(["apply", "-f", configurationPath]);
    const rows = (await confined().ilmDone(["listeners", "--json"])).json();
    expect(rows).toMatchObject([{ unit: "init.scope" }, { unit: "init.scope" }]);
    const { public: dialled } = addressesOf[4];
    expect(await other.client.who("tcp", dialled, 7000)).toBe("ECONNREFUSED");
    expect(await other.client.who("tcp", dialled, 7001)).toMatch(/^process/);
  });
});

describe("ReusePort=yes", () => {
  async function tagsOf(port: number, count: number): Promise<ReadonlySet<string>> {
    const tags = new Set<string>();
    await eventually(`${count} answer`, async () => {
      const { public: dialled } = addressesOf[tags.size % 2 === 0 ? 4 : 6];
      tags.add(await network.client.who("tcp", dialled, port));
      return tags.size >= count ? true : null;
    });
    return tags;
  }

  test("several socket units share a service's address, and each starts its own", async () => {
    const socket =
      "[Socket]\nReusePort=yes\nListenStream=127.0.1.33:7003\nListenStream=[fd5e:ed00::33]:7003\n";
    await units.start({
      "many@.service": answering,
      "many@1.socket": socket,
      "many@2.socket": socket,
    });
    for (const tag of await tagsOf(7003, 2)) expect(tag).toMatch(/^process/);
    expect(await units.stateOf("many@1.service")).toBe("active");
    expect(await units.stateOf("many@2.service")).toBe("active");
    const from = (await units.listenersAt(7003)).map(({ unit }) => unit);
    expect(new Set(from)).toEqual(new Set(["many@1.socket", "many@2.socket"]));
  });

  test("a socket unit and a daemon that binds itself share a rewritten wildcard", async () => {
    await units.start({
      "mixed.socket": "[Socket]\nReusePort=yes\nListenStream=7004\n",
      "mixed.service": `[Service]\nExecStart=/usr/bin/python3 /usr/local/lib/mixed.py\n`,
    });
    units.host.write("/usr/local/lib/mixed.py", mixed);
    const tags = await tagsOf(7004, 2);
    expect(tags).toEqual(new Set(["bound", "passed"]));
    const rows = await units.listenersAt(7004);
    expect(new Set(rows.map(({ unit }) => unit))).toEqual(
      new Set(["mixed.service", "mixed.socket"]),
    );
    for (const row of rows) expect(row).toMatchObject({ address: "127.0.1.34", groupSize: 2 });
  });
});

test("BindIPv6Only=ipv6-only, rewritten: the service's IPv6 address, and no IPv4", async () => {
  await units.start({
    "six.socket": "[Socket]\nListenStream=7005\nListenDatagram=7005\nBindIPv6Only=ipv6-only\n",
    "six.service": answering,
  });
  for (const protocol of protocols) {
    const { client } = network;
    expect(await client.dial(protocol, addressesOf[4].public, 7005)).toMatchObject(refused);
    expect(await client.who(protocol, addressesOf[6].public, 7005)).toMatch(/^process/);
  }
  for (const row of await units.listenersAt(7005)) {
    expect(row).toMatchObject({ address: "fd5e:ed00::35", v6only: true, unit: "six.socket" });
  }
  const unserved = await units.says("audit", "--kind", "mapping-unserved");
  expect(unserved).not.toContain("7005");
});

test("on 0.0.0.0, rewritten: the service's IPv4 address, and no IPv6", async () => {
  await units.start({
    "four.socket": "[Socket]\nListenStream=0.0.0.0:7011\n",
    "four.service": answering,
  });
  const { client } = network;
  expect(await client.who("tcp", addressesOf[4].public, 7011)).toMatch(/^process/);
  expect(await client.dial("tcp", addressesOf[6].public, 7011)).toMatchObject(refused);
  expect(await units.listenersAt(7011)).toMatchObject([
    { address: "127.0.1.40", family: 4, unit: "four.socket" },
  ]);
});

test("on every address without a rewrite, it is the destination of a mapping to *", async () => {
  await units.start({
    "every.socket": "[Socket]\nListenStream=7101\nListenDatagram=7101\n",
    "every.service": answering,
  });
  for (const family of families) {
    for (const protocol of protocols) {
      const who = await network.client.who(protocol, addressesOf[family].public, 7100);
      expect(who).toMatch(/^process/);
    }
  }
  const audit = await units.says("audit", "--kind", "wildcard");
  expect(audit).toContain("unit every.socket");
});

test("an MPTCP listener, where systemd knows SocketProtocol=mptcp, and else a TCP listener", async () => {
  await units.start({
    "mptcp.socket": "[Socket]\nListenStream=7007\nSocketProtocol=mptcp\n",
    "mptcp.service": answering,
  });
  const version = Number(/^systemd (\d+)/.exec(await units.systemctl("--version"))?.[1]);
  const kind = version >= 257 ? "mptcp" : "tcp";
  expect(await units.listenersAt(7007)).toMatchObject([{ kind, unit: "mptcp.socket" }]);
  for (const family of families) {
    const dial = await network.client.dial("tcp", addressesOf[family].public, 7007, {
      mptcp: true,
    });
    expect(dial).toMatchObject({ answered: true, mptcp: kind === "mptcp" });
  }
});

describe("what is to be avoided", () => {
  test("without FreeBind= the IPv6 address has to be there", async () => {
    await units.host.units({
      "early.socket": "[Socket]\nListenStream=[fd5e:ed00::99]:7009\n",
      "early.service": answering,
    });
    await units.failing("start early.socket");
    expect(await units.stateOf("early.socket")).toBe("failed");
    await units.start({
      "early.socket": "[Socket]\nListenStream=[fd5e:ed00::99]:7009\nFreeBind=yes\n",
    });
    expect(await units.stateOf("early.socket")).toBe("active");
  });

  test("the wildcard address and the service's own in one socket unit are the same address", async () => {
    await units.host.units({
      "both.socket": "[Socket]\nListenStream=7006\nListenStream=127.0.1.36:7006\n",
      "both.service": answering,
    });
    await units.failing("start both.socket");
    expect(await units.stateOf("both.socket")).toBe("failed");
    await units.untilLogged(/both\.socket: .*Address already in use/);
  });
});
