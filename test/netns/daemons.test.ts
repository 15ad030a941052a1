/**
 * Real daemons, unchanged, on private addresses: they get the outside's connections and see the
 * outside's addresses.
 */
import { beforeAll, describe, expect, test } from "vitest";
import { type Nginx, type Sshd, startDnsmasq, startNginx, startSshd } from "../support/daemons.js";
import { endpoint, families, addressesOf } from "../support/matrix.js";
import { refused } from "../support/dialler.js";
import { useNetwork } from "../support/network.js";
import { python } from "../support/paths.js";
import { type Background, eventually, words } from "../support/process.js";

const network = useNetwork();

const rules = `
version: 1
services:
  web: { address: [127.0.1.80, "fd5e:ed00::80"] }
  dns: { address: [127.0.1.53, "fd5e:ed00::53"] }
  names: { address: "fd5e:ed00::54" }
  ssh: { address: 127.0.1.22 }
mappings:
  - { port: [80, 8080-8089], to: web }
  - { name: admin, port: 9443, to: "web:81" }
  - { protocol: [tcp, udp], port: 53, to: dns }
  - { name: names, protocol: udp, port: 53, on: "2001:db8::/32", to: names }
  - { port: 2222, to: "ssh:22" }
  - { name: node, protocol: [tcp, udp], port: 3000, to: ["127.0.1.30", "[fd5e:ed00::80]:3000"] }
`;

let nginx: Nginx;
let sshd: Sshd;
let dnsmasq: Background;

beforeAll(async () => {
  const { server } = network;
  await server.apply(rules);
  nginx = await startNginx(server, [
    ["127.0.1.80", 80],
    ["127.0.1.80", 81],
    ["fd5e:ed00::80", 80],
    ["fd5e:ed00::80", 81],
  ]);
  sshd = await startSshd(server, "127.0.1.22", 22);
  dnsmasq = await startDnsmasq(server, ["127.0.1.53", "fd5e:ed00::53"]);
  // dnsmasq drops an IPv6 datagram whose destination is not one of its listen addresses, so over
  // IPv6 and UDP another name server stands beside it, on an address of its own.
  const names = server.startPython("dns.py", ["fd5e:ed00::54", "53"]);
  await names.waitForOutput(/listening/);
});

for (const family of families) {
  const { label, public: address, second, client: clientAddress } = addressesOf[family];
  const daemon = family === 4 ? "127.0.1.80" : "fd5e:ed00::80";
  describe(label, () => {
    test("nginx logs the client's address, whatever address curl dialled", async () => {
      const { client } = network;
      // nginx asks for getsockname() on wildcard listeners only: $server_addr is what it was told
      // to listen on.
      const line = `${clientAddress} ${daemon}:80`;
      for (const dialled of [address, second]) {
        const logged = (): number => nginx.accessLog().filter((entry) => entry === line).length;
        const before = logged();
        expect(await client.curl(dialled, 80)).toBe(line);
        await eventually(`${line} in the access log`, () => (logged() > before ? true : null));
      }
    });

    test("nginx gets the connections of a port remap", async () => {
      expect(await network.client.curl(address, 9443)).toBe(`${clientAddress} ${daemon}:81`);
    });

    test("dig gets its answer over UDP, from the address it asked", async () => {
      for (const dialled of [address, second]) {
        const answer = await network.client.must(
          words(`dig +time=2 +tries=1 @${dialled} daemon.test A`),
        );
        expect(answer).toContain("192.0.2.7");
        expect(answer).toContain(`SERVER: ${dialled}#53(${dialled}) (UDP)`);
        expect(answer).not.toContain("unexpected source");
      }
    });

    test("dig gets dnsmasq's answer over TCP", async () => {
      const answer = await network.client.must([
        "dig",
        "+tcp",
        "+time=2",
        "+tries=1",
        `@${second}`,
        "daemon.test",
      ]);
      expect(answer).toContain("192.0.2.7");
      expect(answer).toContain("(TCP)");
    });

    test("dnsmasq logs the client's address", async () => {
      await network.client.must(
        words(`dig +tcp +time=2 +tries=1 @${address} daemon.test A +short`),
      );
      await eventually("the query in the log", () =>
        dnsmasq.stderr.includes(`query[A] daemon.test from ${clientAddress}`) ? true : null,
      );
    });

    test("nc gets through to nginx", async () => {
      const answer = await network.client.must(["nc", "-w", "3", address, "80"], {
        input: "GET / HTTP/1.0\r\n\r\n",
      });
      expect(answer).toContain("200 OK");
      expect(answer).toContain(`${clientAddress} ${daemon}:80`);
    });
  });
}

test("ssh logs in through a port remap, and sshd sees both real ends", async () => {
  const { client } = network;
  const login = await sshd.ssh(client, "203.0.113.5", 2222, "echo $SSH_CONNECTION");
  expect(login.stderr).toBe("");
  expect(login.stdout).toMatch(/^203\.0\.113\.100 \d+ 203\.0\.113\.5 2222\n$/);
  expect(sshd.process.stderr).toContain("Accepted publickey for root from 203.0.113.100");
});

test("a transfer of 64 MB arrives whole", async () => {
  const { client } = network;
  const login = await sshd.ssh(client, "203.0.113.1", 2222, "head -c 67108864 /dev/zero");
  expect(login.stdout.length).toBe(67_108_864);
});

test("a Node server gets its connections and datagrams", async () => {
  const { server, client } = network;
  const node = server.start([
    "node",
    "-e",
    `const answer = (peer, local) => JSON.stringify({ tag: "node", peer, local }) + "\\n";
     require("node:net").createServer((socket) => socket.end(
       answer({ address: socket.remoteAddress, port: socket.remotePort },
              { address: socket.localAddress, port: socket.localPort })))
       .listen(3000, "127.0.1.30", () => {
         const udp = require("node:dgram").createSocket("udp4");
         udp.on("message", (_, peer) => udp.send(answer(peer, udp.address()), peer.port, peer.address));
         udp.bind(3000, "127.0.1.30", () => console.log("listening"));
       });`,
  ]);
  await node.waitForOutput(/listening/);
  expect(await client.dial("tcp", "203.0.113.5", 3000)).toMatchObject({
    tag: "node",
    peer: { address: "203.0.113.100" },
    local: { address: "203.0.113.5", port: 3000 },
  });
  expect(await client.dial("udp", "203.0.113.5", 3000)).toMatchObject({
    tag: "node",
    peer: { address: "203.0.113.100" },
    repliedFrom: { address: "203.0.113.5", port: 3000 },
  });
});

for (const family of families) {
  const { label, public: address, client: clientAddress } = addressesOf[family];
  test(`a server that listens with MPTCP gets its connections, ${label}`, async () => {
    const { server, client } = network;
    const daemon = family === 4 ? "127.0.1.80" : "fd5e:ed00::80";
    // Go listens so by default since 1.24, and no sockmap takes such a socket.
    const mptcp = server.start([
      python,
      "-c",
      `import json, socket, sys
listener = socket.socket(socket.${family === 4 ? "AF_INET" : "AF_INET6"}, socket.SOCK_STREAM, 262)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("${daemon}", 8080))
listener.listen(16)
print("listening", flush=True)
name = lambda endpoint: {"address": endpoint[0], "port": endpoint[1]}
while True:
    connection, peer = listener.accept()
    line = json.dumps({"tag": "mptcp", "peer": name(peer), "local": name(connection.getsockname())})
    connection.sendall(line.encode())
    connection.close()`,
    ]);
    await mptcp.waitForOutput(/listening/);
    for (let dial = 0; dial < 20; dial += 1) {
      expect(await client.dial("tcp", address, 8080)).toMatchObject({
        tag: "mptcp",
        peer: { address: clientAddress },
        local: { address, port: 8080 },
      });
    }
    expect(await server.dial("tcp", address, 8080)).toMatchObject({ tag: "mptcp" });
    await mptcp.stop();
    expect(await client.dial("tcp", address, 8080)).toEqual(refused);
  });
}

test("a restarted nginx gets the next connection", async () => {
  const { server, client } = network;
  await nginx.process.stop();
  const status = await client.run([
    "curl",
    "-sS",
    "--max-time",
    "5",
    `http://${endpoint("203.0.113.1", 80)}/`,
  ]);
  // curl: 7 is "failed to connect"; a time-out would be 28.
  expect(status.status, status.stderr).toBe(7);
  nginx = await startNginx(server, [["127.0.1.80", 80]]);
  expect(await client.curl("203.0.113.1", 80)).toBe("203.0.113.100 127.0.1.80:80");
});
