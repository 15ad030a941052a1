/**
 * Programs of others at the cgroup hooks that ilm has too, and at those of systemd
 * (SocketBindDeny=, IPAddressDeny=, BPFProgram=): on a unit's cgroup, and on the root before and
 * behind ours. What they allow goes on; what they deny is denied, and leaves nothing wrong.
 */
import { afterAll, afterEach, beforeEach, describe, expect, test } from "vitest";
import { putInCgroup, makeCgroup, removeCgroups, rootCgroup } from "../support/cgroup.js";
import { Lab, stopLabs } from "../support/lab.js";
import { endpoint, matrix } from "../support/matrix.js";
import { useNetwork } from "../support/network.js";
import type { Background, RunResult } from "../support/process.js";

const network = useNetwork();
/**
 * No other suite's: a program that judges packets on the root cgroup knows them by nothing else.
 */
const PORT = 26_200;
const MOVED = PORT + 1;
const REGISTERED = PORT + 2;
const denial = "EPERM";

const rules = `
version: 1
services:
  app: { address: [127.0.1.10, "fd5e:ed00::10"] }
  spare: { address: [127.0.1.11, "fd5e:ed00::11"] }
  registered: { address: [127.0.1.12, "fd5e:ed00::12"], handover: lookup }
mappings:
  - { name: app, protocol: [tcp, udp], port: ${PORT}, to: [app, spare] }
  - { name: moved, protocol: [tcp, udp], port: ${MOVED}, to: "app:${PORT}" }
  - { name: registered, protocol: [tcp, udp], port: ${REGISTERED}, to: [registered, spare] }
`;

let lab: Lab;

beforeEach(async () => {
  lab = await Lab.start(network.server);
  await putInCgroup(lab.process, "stranger.service");
});

afterEach(async () => {
  await stopLabs();
  await network.server.stopStarted();
});

afterAll(async () => {
  await removeCgroups();
});

const hooks = [
  "sock_ops",
  "sock_release",
  "bind",
  "post_bind",
  "connect",
  "sendmsg",
  "ingress",
  "egress",
] as const;
type Hook = (typeof hooks)[number];

const places = [
  "on the unit's cgroup",
  "on the root, before ours",
  "on the root, behind ours",
] as const;
type Place = (typeof places)[number];

type Verdict = "allow" | "deny" | "clear";

async function attach(
  attached: readonly Hook[],
  verdict: Verdict,
  place: Place,
): Promise<Background> {
  const cgroup =
    place === "on the unit's cgroup" ? await makeCgroup("stranger.service") : await rootCgroup();
  const args = [attached.join(), verdict, cgroup, String(PORT)];
  const stranger = network.server.startPython("foreign_cgroup.py", args);
  await stranger.waitForOutput(/attached/);
  return stranger;
}

/** Attaches it and applies the rules, in the order that the place says. */
async function applyWith(
  attached: readonly Hook[],
  verdict: Verdict,
  place: Place,
): Promise<Background> {
  const { server } = network;
  if (place === "on the root, before ours") await server.unload();
  else await server.apply(rules);
  const stranger = await attach(attached, verdict, place);
  if (place === "on the root, before ours") await server.apply(rules);
  return stranger;
}

/**
 * Every daemon is registered, gets what is dialled, answers from there, and is gone when it closes;
 * and nothing went wrong.
 */
async function expectAllWell(): Promise<void> {
  const { server, client } = network;
  const before = server.faults();
  for (const { protocol, family, public: dialled, daemon } of matrix) {
    const what = `${protocol} ${family}`;
    await lab.open("app", protocol, daemon, PORT);
    for (const port of [PORT, MOVED]) {
      expect(await client.dial(protocol, dialled, port), what).toMatchObject({
        tag: "app",
        repliedFrom: { address: dialled, port },
      });
    }
    expect((await server.listeners()).map(({ handover }) => handover)).toEqual([
      protocol === "tcp" ? "sockmap" : "ingress",
    ]);
    await lab.do("close", "app");
    expect(await client.who(protocol, dialled, PORT), what).toBe("ECONNREFUSED");
  }
  expect(server.faults()).toEqual(before);
}

for (const place of places) {
  describe(place, () => {
    test(`what allows all, on every hook at once, changes nothing: ${hooks.join(", ")}`, async () => {
      await applyWith(hooks, "allow", place);
      await expectAllWell();
    });

    test("sock_ops, sock_release: a denial is nothing there", async () => {
      await applyWith(["sock_ops", "sock_release"], "deny", place);
      await expectAllWell();
    });

    for (const hook of ["bind", "post_bind"] as const) {
      test(`${hook}: a bind that it denies fails and leaves no listener, although the socket stays; the next destination has it`, async () => {
        const { server, client } = network;
        const stranger = await applyWith([hook], "deny", place);
        for (const { protocol, family, public: dialled, daemon, daemon3 } of matrix) {
          const what = `${protocol} ${family}`;
          const denied = async (name: string, address: string, port: number) =>
            await lab.ask({ do: "open", name, kind: protocol, address, port, keep: true });
          expect(await denied("app", daemon, PORT), what).toMatchObject({ errno: denial });
          expect(await denied("registered", daemon3, REGISTERED)).toMatchObject({ errno: denial });
          expect(await denied("exact", dialled, REGISTERED)).toMatchObject({ errno: denial });
          expect(await client.who(protocol, dialled, PORT), what).toBe("ECONNREFUSED");
          expect(await client.who(protocol, dialled, REGISTERED), what).toBe("ECONNREFUSED");
        }
        expect(await server.listeners()).toEqual([]);
        await stranger.stop();
        // Who denies behind us is not seen by us: the next apply, or resync of run, finds what came
        // of it.
        if (place === "on the root, behind ours") {
          await server.apply(rules);
        }
        const before = server.faults();
        // Sockets that were denied are open all the while.
        for (const { protocol, family, public: dialled, daemon2 } of matrix) {
          const what = `${protocol} ${family}`;
          await lab.open("spare", protocol, daemon2, PORT);
          await lab.open("spare too", protocol, daemon2, REGISTERED, { tag: "spare" });
          expect(await client.who(protocol, dialled, PORT), what).toBe("spare");
          expect(await client.who(protocol, dialled, REGISTERED), what).toBe("spare");
        }
        expect(server.faults()).toEqual(before);
      });
    }

    test("connect: a destination whose connect() it denies goes on as a listener", async () => {
      const { client, server } = network;
      await applyWith(["connect"], "deny", place);
      for (const {
        protocol,
        family,
        public: dialled,
        client: remote,
        daemon3,
        loopback,
      } of matrix) {
        if (protocol === "tcp") continue;
        await lab.open("registered", protocol, daemon3, REGISTERED);
        await server.apply(rules);
        // To another host none connects from 127.0.0.0/8.
        const peer = { address: family === 4 ? loopback : remote, port: 9 };
        const denied = await lab.ask({ do: "connect", name: "registered", ...peer });
        expect(denied).toMatchObject({ errno: denial });
        if (place === "on the root, behind ours") {
          await server.apply(rules);
        }
        expect(await client.who(protocol, dialled, REGISTERED)).toBe("registered");
        await lab.do("close", "registered");
      }
    });

    test("sendmsg: answers that it denies do not leave, and those after its end do, from where the client dialled", async () => {
      const { client } = network;
      const stranger = await applyWith(["sendmsg"], "deny", place);
      for (const { protocol, public: dialled, daemon } of matrix) {
        await lab.open("app", protocol, daemon, PORT);
        const who = await client.who(protocol, dialled, MOVED, { timeout_s: 0.3 });
        expect(who).toBe(protocol === "tcp" ? "app" : "ETIMEDOUT");
        await lab.do("close", "app");
      }
      await stranger.stop();
      await expectAllWell();
    });

    for (const hook of ["ingress", "egress"] as const) {
      test(`${hook}: packets that it denies do not pass, and those after its end do`, async () => {
        const { client, server } = network;
        const stranger = await applyWith([hook], "deny", place);
        for (const { protocol, public: dialled, daemon, client: remote } of matrix) {
          await lab.open("app", protocol, daemon, PORT);
          // At egress the port is the client's.
          const from = hook === "egress" ? ([remote, PORT] as const) : undefined;
          const options = { timeout_s: 0.3, ...(from !== undefined && { from }) };
          expect(await client.who(protocol, dialled, PORT, options)).not.toBe("app");
          if (protocol === "udp" && hook === "ingress") {
            // Also of what is dropped: all programs of a hook run, and none is told there what
            // another said.
            expect((await server.ask(["flows"])).stdout).toContain(endpoint(dialled, PORT));
          }
          expect(await client.who(protocol, dialled, MOVED)).toBe("app");
          await lab.do("close", "app");
        }
        await stranger.stop();
        await expectAllWell();
      });
    }

    test("sock_ops: who takes away the callbacks that ilm asks for does no harm to listeners that close; the end of others is known at the next apply", async () => {
      const { client, server } = network;
      await applyWith(["sock_ops"], "clear", place);
      await expectAllWell();
      for (const { protocol, public: dialled, daemon, daemon2 } of matrix) {
        if (protocol === "udp") continue;
        // The kernel tells of the end of an MPTCP listener by callback only, and of one that shuts
        // down.
        await lab.open("app", "mptcp", daemon, PORT);
        await lab.do("close", "app");
        await lab.open("app", "tcp", daemon, PORT);
        await lab.do("shutdown", "app");
        await server.apply(rules);
        const before = server.faults();
        await lab.open("spare", "tcp", daemon2, PORT);
        expect(await client.who("tcp", dialled, PORT)).toBe("spare");
        expect(server.faults()).toEqual(before);
        await lab.do("close", "spare");
      }
    });
  });
}

test("a socket whose bind() was denied, and that binds elsewhere, is a listener there and not where it was denied", async () => {
  const { client, server } = network;
  await server.apply(rules);
  for (const { protocol, public: dialled, daemon2, daemon3 } of matrix) {
    const stranger = await attach(["post_bind"], "deny", "on the root, behind ours");
    const open = { do: "open", name: "app", kind: protocol, address: daemon3, port: REGISTERED };
    expect(await lab.ask({ ...open, keep: true })).toMatchObject({ errno: denial });
    await stranger.stop();
    await lab.open("spare", protocol, daemon2, REGISTERED);
    // No mapping leads there.
    await lab.do("bind", "app", { address: daemon3, port: PORT + 50 });
    if (protocol === "tcp") await lab.do("listen", "app");
    if (protocol === "udp") await server.apply(rules);
    expect(await client.who(protocol, dialled, REGISTERED)).toBe("spare");
    await lab.do("close", "app");
    await lab.do("close", "spare");
  }
});

test("who is alone on a hook of the root cgroup (without BPF_F_ALLOW_MULTI) keeps ilm out, which says so and changes nothing; no program can be alone behind ilm", async () => {
  const { server } = network;
  // Another root: the machine's own is for all suites.
  const cgroup = await makeCgroup("alone");
  const root = await rootCgroup();
  const inside = `umount -l ${root}; mount -t cgroup2 cgroup2 ${root}; exec "$@"`;
  const applied = async (): Promise<RunResult> =>
    await server.run([
      "sh",
      "-c",
      `echo $$ >${cgroup}/cgroup.procs; exec unshare --cgroup --mount sh -c '${inside}' sh "$@"`,
      "sh",
      ...server.ilmCommand(["apply", "-f", server.file(rules)]),
    ]);
  await server.unload();
  for (const hook of ["post_bind", "ingress"]) {
    const args = [hook, "alone", cgroup, String(PORT)];
    const stranger = server.startPython("foreign_cgroup.py", args);
    await stranger.waitForOutput(/attached/);
    const refusal = await applied();
    expect(refusal.status).toBe(1);
    expect(refusal.stderr).toMatch(
      /cannot be attached to the root cgroup: another program is alone/,
    );
    expect(refusal.stderr).toContain("bpftool cgroup show");
    expect((await server.status()).loaded).toBe(false);
    stranger.closeInput();
    await stranger.exited;
    expect(await applied()).toMatchObject({ status: 0 });
    const late = server.startPython("foreign_cgroup.py", args);
    expect((await late.exited).stdout).toBe("refused\n");
    await server.unload();
  }
});
