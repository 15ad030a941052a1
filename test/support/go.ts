/** A daemon that listens with whatever Go takes by default: go/listen.go ADDRESS [TAG]. */
import { python } from "./paths.js";
import { run } from "./process.js";

/**
 * What stands for it where the compiler cannot be fetched (a status of 3), and does what it does.
 */
const standIn = `
import socket, sys
address, port = sys.argv[1].rsplit(":", 1)
address = address.strip("[]")
family = socket.AF_INET if "." in address else socket.AF_INET6
try:
    listener = socket.socket(family, socket.SOCK_STREAM, 262)
except OSError:
    listener = socket.socket(family, socket.SOCK_STREAM)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
if not address:
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
listener.bind((address, int(port)))
listener.listen()
print("listening", flush=True)
while True:
    listener.accept()[0].sendall((sys.argv[2:] or ["go"])[0].encode())
`;

export interface GoListener {
  /** What it is, for titles. */
  readonly title: string;
  readonly command: readonly string[];
}

export async function buildGoListener(): Promise<GoListener> {
  const built = await run(["tools/build-go.sh", "test/support/go/listen.go"], {
    timeout_ms: 300_000,
  });
  if (built.status !== 0 && built.status !== 3) {
    throw new Error(`tools/build-go.sh: ${built.stderr}`);
  }
  return built.status === 3
    ? { title: "a program that listens as Go 1.24 does", command: [python, "-c", standIn] }
    : { title: "a program built with Go 1.24", command: [built.stdout.trim()] };
}
