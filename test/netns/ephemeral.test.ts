/** What a wide mapping takes from the host's own clients. */
import { describe, expect, test } from "vitest";
import { addressesOf, endpoint, families } from "../support/matrix.js";
import { useNetwork } from "../support/network.js";
import { python } from "../support/paths.js";

const network = useNetwork();

describe("a client of the host's own, on a port that the kernel chose", () => {
  /**
   * Its answer; or with `elsewhere` what comes from another port of whom it asked. How it got its
   * port: by none, or by bind().
   */
  const asks = `
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
s = socket.socket(family, socket.SOCK_DGRAM)
if sys.argv[2] == "bind":
    s.bind(("", 0))
s.settimeout(1)
s.sendto(b"hello", (sys.argv[1], int(sys.argv[3])))
try:
    print("answered" if s.recv(65536) else "nothing")
except TimeoutError:
    print("lost")
`;

  const silent = `
import socket, sys, time
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
s = socket.socket(family, socket.SOCK_DGRAM)
while True:
    try:
        s.bind((sys.argv[1], 6000))
        break
    except OSError:
        time.sleep(0.05)
print("bound", flush=True)
time.sleep(1000)
`;

  const otherwise = `
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
asked, answering = (socket.socket(family, socket.SOCK_DGRAM) for _ in range(2))
asked.bind((sys.argv[1], 6901))
answering.bind((sys.argv[1], 6902))
print("bound", flush=True)
while True:
    answering.sendto(b"here", asked.recvfrom(65536)[1])
`;

  for (const family of families) {
    test(`keeps the answers of those it sent to although a wide mapping covers it, and check tells what it loses, IPv${family}`, async () => {
      const { server, client } = network;
      const peer = family === 4 ? "203.0.113.100" : "2001:db8::100";
      await client.echo("peer", [["udp", peer, 6900]]);
      // Answers from another socket, which was not asked.
      const other = client.start([python, "-c", otherwise, peer]);
      await other.waitForOutput(/bound/);
      const { daemon } = addressesOf[family];
      // One that answers would talk with the peer for ever.
      const app = server.start([python, "-c", silent, daemon]);
      const wide = (more: string): string => `
version: 1
services:
  app: { address: "${daemon}" }
mappings:
  - { protocol: udp, port: 30000-61000, to: "${endpoint(daemon, 6000)}"${more} }
`;
      const ask = async (how: "bind" | "none", port = 6900): Promise<string> =>
        (await server.must([python, "-c", asks, peer, how, String(port)])).trim();
      await server.apply(wide(""));
      await app.waitForOutput(/bound/);
      expect(await ask("none")).toBe("answered");
      expect(await ask("bind")).toBe("answered");
      expect(await ask("none", 6901)).toBe("lost");
      const { stderr } = await server.ask(["check", "-f", server.file(wide(""))]);
      expect(stderr).toContain("ip_local_reserved_ports=32768-60999");
      for (const command of ["status", "doctor"]) {
        expect((await server.ask([command])).text).toContain("ip_local_reserved_ports=32768-60999");
      }
      const run = await server.startRun(["-f", server.file(wide(""))]);
      expect(run.process.stderr + run.process.stdout).toContain(
        "ip_local_reserved_ports=32768-60999",
      );
      await run.stop();
      await server.apply(wide(", existing: never"));
      expect(await ask("none")).toBe("lost");
      await server.apply(wide(", existing: any"));
      expect(await ask("none", 6901)).toBe("answered");
      await server.must(["sysctl", "-q", "net.ipv4.ip_local_reserved_ports=32768-60000"]);
      await server.apply(wide("").replace("30000-61000", "30000-60000"));
      expect(await ask("none", 6901)).toBe("answered");
      await server.must(["sysctl", "-q", "net.ipv4.ip_local_reserved_ports="]);
      await other.stop();
      await app.stop();
    });
  }
});
