/** What a wide mapping takes from the host's own clients. */
import { describe, expect, test } from "vitest";
import { addressesOf, endpoint, families } from "../support/matrix.js";
import { useNetwork } from "../support/network.js";
import { python } from "../support/paths.js";

const network = useNetwork();

describe("a client of the host's own, on a port that the kernel chose", () => {
  const asks = `
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
s = socket.socket(family, socket.SOCK_DGRAM)
s.settimeout(2)
s.sendto(b"hello", (sys.argv[1], 6900))
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

  for (const family of families) {
    test(`loses its answers to a wide mapping, which check tells, and keeps them with existing: any, IPv${family}`, async () => {
      const { server, client } = network;
      const peer = family === 4 ? "203.0.113.100" : "2001:db8::100";
      await client.echo("peer", [["udp", peer, 6900]]);
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
      const ask = async (): Promise<string> =>
        (await server.must([python, "-c", asks, peer])).trim();
      await server.apply(wide(""));
      await app.waitForOutput(/bound/);
      expect(await ask()).toBe("lost");
      const { stderr } = await server.ask(["check", "-f", server.file(wide(""))]);
      expect(stderr).toContain("ip_local_reserved_ports=32768-60999");
      await server.apply(wide(", existing: any"));
      expect(await ask()).toBe("answered");
      await server.must(["sysctl", "-q", "net.ipv4.ip_local_reserved_ports=32768-60000"]);
      await server.apply(wide("").replace("30000-61000", "30000-60000"));
      expect(await ask()).toBe("answered");
      await server.must(["sysctl", "-q", "net.ipv4.ip_local_reserved_ports="]);
    });
  }
});
