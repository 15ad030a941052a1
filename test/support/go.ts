/** A daemon that listens with whatever Go takes by default: go/serve.go NAME PORT [ADDRESS]... */
import { python, script } from "./paths.js";
import { run } from "./process.js";

interface GoDaemon {
  /** What it is, for titles. */
  readonly title: string;
  readonly command: readonly string[];
}

/** What stands for it where the compiler cannot be fetched, and does what it does. */
const standIns = {
  "1.19": [python, script("serve.py"), "--go"],
  "1.24": [python, script("serve.py"), "--go", "--mptcp"],
} as const;

export async function buildGo(version: keyof typeof standIns): Promise<GoDaemon> {
  const built = await run(["tools/build-go.sh", version, "test/support/go/serve.go"], {
    timeout_ms: 300_000,
  });
  if (built.status !== 0 && built.status !== 3) {
    throw new Error(`tools/build-go.sh: ${built.stderr}`);
  }
  return built.status === 3
    ? { title: `a program that listens as Go ${version} does`, command: standIns[version] }
    : { title: `a program built with Go ${version}`, command: [built.stdout.trim()] };
}
