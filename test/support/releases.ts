/**
 * Older releases of the program, built from test/releases, for states that they make themselves.
 */
import { execFileSync } from "node:child_process";
import { ILM_ABI_VERSION } from "../../src/abi/generated.js";
import { must } from "./process.js";
import type { Server } from "./server.js";

const archive = "test/releases/releases.tar.xz";

/**
 * The formats of the state that older releases write, each by the last release that did, in order.
 */
export function olderFormats(): readonly number[] {
  const listed = execFileSync("tar", ["-tJf", archive, "--wildcards", "*/COMMIT"], {
    encoding: "utf8",
  });
  return listed
    .trim()
    .split("\n")
    .map((path) => Number.parseInt(path, 10))
    .filter((format) => format !== ILM_ABI_VERSION);
}

/** Reports whether the release tells a newer one's state, and replaces it only when told to. */
export function refusesNewer(format: number): boolean {
  return format >= 9;
}

export class Release {
  readonly format: number;
  readonly #path: string;

  private constructor(format: number, path: string) {
    this.format = format;
    this.#path = path;
  }

  /**
   * Builds it, which takes seconds the first time. A build that fails throws with what the compiler
   * says.
   */
  static async build(format: number): Promise<Release> {
    const built = await must(["tools/build-release.sh", String(format)], { timeout_ms: 500_000 });
    return new Release(format, built.trim());
  }

  /** The path of its command. */
  get command(): string {
    return this.#path;
  }

  /**
   * Runs a command of it on the server's namespace, which has to succeed; gives what it printed.
   */
  async done(server: Server, args: readonly string[]): Promise<string> {
    return await must([this.#path, ...args, "--netns", server.path]);
  }
}
