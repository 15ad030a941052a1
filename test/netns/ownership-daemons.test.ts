/**
 * Daemons as they are started: as root and then as somebody else, by a socket unit, and moved to
 * another cgroup; and what was established before there was an owner.
 */
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { type Actor, commandAs, owner, stranger } from "../support/actor.js";
import { FIXED, ownedRules, useLabs } from "../support/attacks.js";
import { putInCgroup } from "../support/cgroup.js";
import { kinds, Lab, protocolOf } from "../support/lab.js";
import { addressesOf, families } from "../support/matrix.js";
import { useNetwork } from "../support/network.js";
import { python } from "../support/paths.js";

const network = useNetwork();
const labOf = useLabs(network);
const byUnit = "unit: web.service";
const byUser = `user: ${owner.uid}`;

afterEach(async () => {
  await network.server.stopStarted();
});

afterAll(async () => {
  await network.server.stopAll();
});

/** Binds as root, and answers as who it becomes. */
const drops = `
import os, socket, sys
kind, address, port, uid = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
sock = socket.socket(family, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM, 262 if kind == "mptcp" else 0)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, kind != "udp")
sock.bind((address, port))
os.setgroups([])
os.setgid(uid)
os.setuid(uid)
if kind != "udp":
    sock.listen()
print("ready", flush=True)
answer = b'{"tag": "dropped", "peer": {"address": "", "port": 0}, "local": {"address": "", "port": 0}}\\n'
while True:
    if kind == "udp":
        sock.sendto(answer, sock.recvfrom(100)[1])
    else:
        with sock.accept()[0] as connection:
            connection.sendall(answer)
`;

/** Connects, and asks when it is told to. */
const holds = `
import socket, sys
sock = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
print("connected", flush=True)
for line in sys.stdin:
    sock.sendall(b"hello")
    print(sock.recv(1000).decode(), flush=True)
`;

for (const kind of kinds) {
  for (const family of families) {
    const cell = addressesOf[family];
    const who = async (): Promise<string> =>
      await network.client.who(protocolOf(kind), cell.public, FIXED);

    describe(`${kind} over ${cell.label}`, () => {
      test.each([
        ["user", byUser, {}],
        ["unit", byUnit, { cgroup: "web.service" }],
        ["unit and user", `${byUnit}, ${byUser}`, { cgroup: "web.service" }],
      ] satisfies [string, string, Actor][])(
        "a daemon that binds as root and becomes another user has its service by %s",
        async (_, by, as) => {
          const { server } = network;
          await server.apply(ownedRules(by, "exact"));
          const args = [kind, cell.daemon, String(FIXED), String(owner.uid)];
          const daemon = server.start(await commandAs(as, [python, "-c", drops, ...args]));
          await daemon.waitForOutput(/ready/);
          expect(await who()).toBe("dropped");
        },
      );

      for (const [socketUnit, expected] of [
        ["web.socket", "activated"],
        ["other.socket", "ECONNREFUSED"],
      ] as const) {
        test(`a socket of ${socketUnit} that web.service was given is ${expected === "activated" ? "" : "not "}its own`, async () => {
          const { server } = network;
          await server.unload();
          const manager = await labOf({ cgroup: socketUnit });
          const daemon = await labOf(owner);
          await server.must([
            "ip",
            "addr",
            "replace",
            `${cell.daemon}/${family === 4 ? 32 : 128}`,
            "dev",
            "lo",
          ]);
          await manager.open("socket", kind, cell.daemon, FIXED);
          await server.apply(ownedRules(byUnit, "exact"));
          const path = `\u0000activation-${kind}-${family}`;
          await daemon.do("await", "", { path });
          await Promise.all([
            manager.do("send_away", "socket", { path }),
            daemon.do("take", "taken", { path, tag: "activated" }),
          ]);
          expect(await who()).toBe(expected);
        });
      }

      test("an owner's process that is moved to another cgroup keeps what it has", async () => {
        const { server } = network;
        await server.apply(ownedRules(byUnit, "exact"));
        const lab = await Lab.start(server, owner);
        await lab.open("moved", kind, cell.daemon, FIXED);
        await putInCgroup(lab.process, "other.service");
        expect(await who()).toBe("moved");
        await server.apply(ownedRules(byUser, "exact"));
        await server.apply(ownedRules(byUnit, "exact"));
        expect(await who()).toBe("moved");
        // What it opens from now on is another unit's.
        await lab.do("close_all", "");
        const again = { do: "open", name: "again", kind, address: cell.daemon, port: FIXED };
        expect(await lab.ask(again)).toMatchObject({ errno: "EACCES" });
        await lab.stop();
      });

      if (kind === "udp") return;
      test("a connection that a stranger has got before stays, and he gets no other", async () => {
        const { server, client } = network;
        await server.apply(ownedRules(null, "exact"));
        const his = await labOf(stranger);
        await his.open("stranger", kind, cell.public, FIXED, { reads: 5 });
        const dialler = client.start([python, "-c", holds, cell.public, String(FIXED)]);
        await dialler.waitForOutput(/connected/);
        await server.apply(ownedRules(byUser, "exact"));
        dialler.write("\n");
        await dialler.waitForOutput(/"stranger"/);
        expect(await who()).toBe("ECONNREFUSED");
        await dialler.stop();
        await his.do("close_all", "");
      });
    });
  }
}
