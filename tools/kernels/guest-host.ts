/**
 * Hosts as people have them: NAT, datagrams in fragments, and daemons with socket maps of their
 * own.
 */
import { execFileSync } from "node:child_process";
import type { DataPlane, ActiveEngine } from "../../src/dataplane/types.js";
import { createSocketMap } from "../../src/kernel/bpf/map.js";
import { errnoOf } from "../../src/kernel/ffi.js";
import { tryFionread } from "../../src/kernel/fionread.js";
import { Absent, capability as report, expectEqual, figure } from "./report.js";
import { Socket } from "./sockets.js";
import { app, apply, ask, dial, listen, open, outside, rulesFor, using } from "./stage.js";

const EBUSY = 16;
const families = [4, 6] as const;
const LARGE = "x".repeat(4000);

function nft(rules: string): void {
  execFileSync("/sbin/nft", ["-f", "-"], {
    input: `${rules}\n`,
    stdio: ["pipe", "ignore", "pipe"],
  });
}

/** One NAT rule anywhere is enough. */
export function withNat<T>(body: () => T): T {
  const chain = "chain post { type nat hook postrouting priority 100; }; ";
  try {
    nft(`table ip host { ${chain}}\ntable ip6 host { ${chain}}`);
  } catch (error) {
    throw new Absent(`this kernel has no NAT (${String(error)})`);
  }
  try {
    return body();
  } finally {
    nft("flush ruleset");
  }
}

/** What the daemon got of a datagram that comes in fragments, and what the client got in return. */
function askLarge(family: 4 | 6, daemon: Socket): string {
  const to = { address: outside[family], port: 6000 };
  const client = Socket.connected(to, { kind: "udp", timeout: 1000 });
  return using([client], () => {
    client.send(LARGE, to);
    const got = daemon.receive(true);
    if (got === undefined) return "nothing";
    daemon.send(LARGE, got.from);
    return `${got.text.length} ${client.receive(true)?.text.length ?? "nothing"}`;
  });
}

export async function runHost(engine: ActiveEngine): Promise<void> {
  const rules = rulesFor(engine);
  const lookup = rules().replaceAll('fd5e:ed00::10"]', 'fd5e:ed00::10"], handover: lookup');
  let opened: DataPlane | undefined;
  // Where it is refused, each capability is.
  const plane = (): DataPlane => (opened ??= open());
  const capability = (name: string, prove: () => string | void): Promise<void> =>
    report(engine === "kfunc" ? `engine kfunc: ${name}` : name, () => {
      plane();
      return prove();
    });

  for (const family of families) {
    const to = { address: outside[family], port: 6000 };
    await capability(`NAT in the namespace: UDP over IPv${family}`, () => {
      const daemon = listen(app[family], 6000, { kind: "udp" });
      using([daemon], () => {
        withNat(() => {
          apply(plane(), rules());
          expectEqual("asked", ask(to, daemon), { answer: "pong" });
          expectEqual("TCP", dial(to, []), "refused");
        });
      });
    });
    await capability(`UDP over IPv${family} in fragments, both ways`, () => {
      apply(plane(), lookup);
      const daemon = listen(app[family], 6000, { kind: "udp" });
      execFileSync("/sbin/ip", ["link", "set", "lo", "mtu", "1500"]);
      try {
        using([daemon], () => {
          plane().resync();
          expectEqual("bytes", askLarge(family, daemon), `${LARGE.length} ${LARGE.length}`);
        });
      } finally {
        execFileSync("/sbin/ip", ["link", "set", "lo", "mtu", "65536"]);
      }
    });
  }
  await capability("a daemon's own REUSEPORT_SOCKARRAY takes its listener", () => {
    const own = rules().replaceAll('fd5e:ed00::10"]', 'fd5e:ed00::10"], handover: ingress');
    const put = (): number => {
      const array = createSocketMap("reuseportSockarray", 1);
      const listener = listen(app[4], 6000, { reuseport: true });
      return using([listener], () => {
        try {
          array.put(0, listener.fd);
          expectEqual("dialled", dial({ address: outside[4], port: 6000 }, [listener]), 0);
          return 0;
        } catch (error) {
          if (errnoOf(error) === undefined) throw error;
          return errnoOf(error) ?? 0;
        } finally {
          array.close();
        }
      });
    };
    apply(plane(), rules());
    expectEqual("by default", put(), EBUSY);
    if (engine === "registry" && plane().steers() !== true) {
      throw new Absent("without ingress every listener is put into a socket map");
    }
    apply(plane(), own);
    expectEqual("with handover: ingress", put(), 0);
  });
  if (engine === "registry") {
    figure("FIONREAD of a UDP socket in a socket map", tryFionread());
  }
  opened?.unload();
}
