/**
 * The server's namespace: the product, driven through its command line, and the daemons it serves.
 */
import type { DataPlaneOptions } from "../../src/dataplane/install/state.js";
import type { Faults } from "../../src/dataplane/types.js";
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Conversation } from "./conversation.js";
import { type Protocol, endpoint } from "./matrix.js";
import type * as Library from "./in-namespace.js";
import { Namespace } from "./namespace.js";
import { builtRoot, commandHost, ilmCommand } from "./paths.js";
import { Background, eventually, run, type RunOptions, type RunResult } from "./process.js";
import type { ListenerRow, MappingRow, Status } from "./shapes.js";

/** `ilm run` in the background. */
export interface IlmRun {
  readonly process: Background;
  /** Every line it said to the service manager. */
  notified(): string;
  stop(signal?: NodeJS.Signals): Promise<RunResult>;
}

export class IlmResult {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;

  constructor(result: RunResult) {
    this.status = result.status;
    this.stdout = result.stdout;
    this.stderr = result.stderr;
  }

  /** Standard output as JSON: all of it, because `--json` has it for itself. */
  json(): unknown {
    try {
      return JSON.parse(this.stdout);
    } catch (error) {
      throw new Error(`not JSON (exit ${this.status}): ${this.stdout}\n${this.stderr}`, {
        cause: error,
      });
    }
  }

  /** Everything that a person would see. */
  get text(): string {
    return this.stdout + this.stderr;
  }
}

function done(args: readonly string[], result: IlmResult): IlmResult {
  if (result.status === 0) return result;
  throw new Error(`ilm ${args.join(" ")}: exit ${result.status}\n${result.text}`);
}

const library = (await import(`${builtRoot}test/support/in-namespace.js`)) as typeof Library;

export class Server extends Namespace {
  #files = 0;
  // It stays, and serves the next test.
  readonly #commands = new Conversation(() => new Background(this.inside(["node", commandHost])));

  static async make(): Promise<Server> {
    return new Server(await Namespace.add("server"));
  }

  /** Writes a configuration file and gives its path. */
  file(content: string, name?: string): string {
    this.#files += 1;
    const path = join(this.folder, name ?? `rules-${this.#files}.yaml`);
    writeFileSync(path, content);
    return path;
  }

  /** Runs a command of the product on this namespace. */
  async ilm(args: readonly string[], options?: RunOptions): Promise<IlmResult> {
    return new IlmResult(await run(this.ilmCommand(args), options));
  }

  ilmCommand(args: readonly string[]): readonly string[] {
    return [ilmCommand, ...args, "--netns", this.path];
  }

  /** Runs a command that has to succeed. */
  async ilmDone(args: readonly string[], options?: RunOptions): Promise<IlmResult> {
    return done(args, await this.ilm(args, options));
  }

  /** What a command says that only reads, without a process of its own. */
  async ask(args: readonly string[]): Promise<IlmResult> {
    return new IlmResult((await this.#commands.ask(args)) as RunResult);
  }

  /** What a command says that only reads and has to succeed, without a process of its own. */
  async askDone(args: readonly string[]): Promise<IlmResult> {
    return done(args, await this.ask(args));
  }

  async #see(verb: string): Promise<unknown> {
    return (await this.askDone([verb, "--json"])).json();
  }

  /**
   * Prepares a test: what `ilm apply` does, without its process. The same rules again cost next to
   * nothing.
   */
  async apply(rules: string, options?: DataPlaneOptions): Promise<void> {
    // The place of a mapping is part of it.
    const name = `rules-${createHash("sha256").update(rules).digest("hex").slice(0, 16)}.yaml`;
    await library.applyFile(this.path, this.file(rules, name), options);
  }

  /** Prepares a test: what `ilm unload` does, without its process. */
  async unload(): Promise<void> {
    await library.unload(this.path);
  }

  /** What `ilm off` and `ilm on` do, with nothing between them. */
  switchOffAndOn(): void {
    library.switchOffAndOn(this.path);
  }

  /** What went wrong in the kernel, as `status` tells it. Throws when nothing is loaded. */
  faults(): Faults {
    const faults = library.faultsIn(this.path);
    if (faults === null) throw new Error("nothing is loaded");
    return faults;
  }

  /** The number of the generation that decides, as `status` tells it; null: none. */
  generation(): number | null {
    return library.generationIn(this.path);
  }

  async status(): Promise<Status> {
    return (await this.#see("status")) as Status;
  }

  async mappings(): Promise<readonly MappingRow[]> {
    return (await this.#see("mappings")) as readonly MappingRow[];
  }

  async listeners(): Promise<readonly ListenerRow[]> {
    return (await this.#see("listeners")) as readonly ListenerRow[];
  }

  /** Starts `ilm run` and waits until it tells its service manager that it is ready. */
  async startRun(args: readonly string[]): Promise<IlmRun> {
    this.#files += 1;
    const socket = join(this.folder, `notify-${this.#files}`);
    const manager = this.startPython("notify.py", [socket]);
    await manager.waitForOutput(/listening/);
    const process = new Background(this.ilmCommand(["run", ...args]), {
      env: { NOTIFY_SOCKET: socket },
    });
    this.adopt(process);
    await Promise.race([
      manager.waitForOutput(/^READY=1$/m),
      process.exited.then((result) => {
        throw new Error(
          `ilm run ended (${result.status ?? result.signal}) before it was ready\n${result.stdout}${result.stderr}`,
        );
      }),
    ]);
    return {
      process,
      notified: () => manager.stdout,
      stop: async (signal = "SIGTERM") => {
        const result = await process.stop(signal);
        await manager.stop();
        return result;
      },
    };
  }

  /**
   * Starts `ilm monitor`, and knocks until it has seen something: from then on it sees everything.
   */
  async startMonitor(args: readonly string[], knock: () => Promise<void>): Promise<Background> {
    const monitor = this.adopt(new Background(this.ilmCommand(["monitor", ...args])));
    await eventually("the monitor shows a decision", async () => {
      await knock();
      return monitor.stdout.includes("203.0.113.") ? true : null;
    });
    return monitor;
  }

  /** Starts `ilm monitor` for people, and waits until it watches: it prints its heading then. */
  async watch(...args: readonly string[]): Promise<Background> {
    const monitor = this.adopt(new Background(this.ilmCommand(["monitor", ...args])));
    await monitor.waitForOutput(/^TIME .*\n/);
    return monitor;
  }

  /** Has so many others watch, without processes; returns what ends them. */
  watchers(count: number): () => void {
    return library.watchIn(this.path, count);
  }

  /** Waits until something listens there, as `ss` sees it. */
  async waitForListener(protocol: Protocol, address: string, port: number): Promise<void> {
    await eventually(`${protocol} ${endpoint(address, port)} listens`, async () => {
      const filter = [
        "-H",
        "-n",
        "-l",
        protocol === "tcp" ? "-t" : "-u",
        "src",
        endpoint(address, port),
      ];
      const sockets = await this.must(["ss", ...filter]);
      return sockets.trim() === "" ? null : true;
    });
  }

  /** Addresses on `lo` beyond 127.0.0.1 and ::1. */
  async loopbackAddresses(): Promise<readonly string[]> {
    const shown = await this.must(["ip", "-j", "addr", "show", "dev", "lo"]);
    const [lo] = JSON.parse(shown) as readonly {
      readonly addr_info: readonly { readonly local: string }[];
    }[];
    return (lo?.addr_info ?? [])
      .map((info) => info.local)
      .filter((address) => address !== "127.0.0.1" && address !== "::1");
  }

  /** Back to a namespace without daemons and without ilm. */
  async reset(): Promise<void> {
    await this.stopStarted();
    await this.unload();
  }

  override async stopAll(): Promise<void> {
    await super.stopAll();
    await this.#commands.stop();
  }

  override async destroy(): Promise<void> {
    await this.stopAll();
    try {
      await this.unload();
    } finally {
      await super.destroy();
    }
  }
}
