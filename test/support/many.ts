import type { Network } from "./network.js";

/**
 * Configurations of many mappings, as a program would write them: NDJSON, one exact address each,
 * all of port 80.
 */
export function manyMappings(count: number, to: (index: number) => string): string {
  const lines = Array.from({ length: count }, (_, i) => {
    const on = `10.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}`;
    return JSON.stringify({ name: `m${i}`, port: 80, on, to: to(i) });
  });
  return `${JSON.stringify({ version: 1 })}\n${lines.join("\n")}\n`;
}

/**
 * Two daemons on port 8080 of private addresses, 127.0.1.10 and 127.0.1.11; and public addresses of
 * the server's that the client can dial.
 */
export async function serveWebAndBlog(
  { server, client }: Network,
  addresses: readonly string[],
): Promise<void> {
  for (const address of addresses) {
    await server.must(["ip", "addr", "add", `${address}/32`, "dev", "lo"]);
    await client.must(["ip", "route", "add", `${address}/32`, "via", "203.0.113.1"]);
  }
  for (const [name, address] of [
    ["web", "127.0.1.10"],
    ["blog", "127.0.1.11"],
  ] as const) {
    await server.echo(name, [
      ["tcp", address, 8080],
      ["udp", address, 8080],
    ]);
  }
}
