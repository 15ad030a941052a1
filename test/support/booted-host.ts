/**
 * A host with a real systemd over the machine's own root, or over that of a fresh Debian, in the
 * network namespace of the suite's server, so that the suite's client dials it. It has every
 * program and unit of its root, and starts none by itself. Its mounts, processes, cgroups and BPF
 * file system are its own and are gone when it stops. It does not outlive the process that booted
 * it. systemd knows that it is in a container: units with ConditionVirtualization=!container do not
 * start.
 */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { afterAll, beforeAll } from "vitest";
import { makeCgroup, removeCgroup } from "./cgroup.js";
import type { Network } from "./network.js";
import { hostScript, ilmCommand, root } from "./paths.js";
import { Background, eventually, must, run, type RunOptions, type RunResult } from "./process.js";
import { IlmResult, type Server } from "./server.js";

/** Where units of the administrator are; the machine's own are not there. */
export const unitFolder = "/etc/systemd/system";

/** What `systemctl is-system-running` says when whatever starts by itself has started. */
const booted = ["running", "degraded"];

/** What is below these is the host's own. */
const ownFolders = ["/tmp/", "/run/", "/dev/shm/"];

/** Reports whether the host does not see the path through its root, so that it has to be bound. */
function isHidden(path: string): boolean {
  return statSync(path).dev !== statSync("/").dev || ownFolders.some((one) => path.startsWith(one));
}

function put(path: string, content: string, mode = 0o644): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content, { mode });
}

/** A host for the suite that calls this: from before its first test until after its last. */
export function useBootedHost(network: Network, options: BootOptions = {}): () => BootedHost {
  let host: BootedHost | null = null;
  beforeAll(async () => {
    host = await BootedHost.boot(network.server, options);
  });
  afterAll(async () => {
    await host?.stop();
  });
  return () => {
    if (host === null) throw new Error("the host is booted in beforeAll: use it in tests only");
    return host;
  };
}

export interface BootOptions {
  /** The folder of the Debian to boot (test/support/debian-root.ts); default: the machine's own. */
  readonly debian?: string;
  /** systemd and what it starts may not call bpf(2), as in many containers; our commands may. */
  readonly withoutBpf?: boolean;
  /** Files that are there before it boots. */
  readonly files?: Readonly<Record<string, string>>;
  /** Units that start as it boots. */
  readonly enabled?: readonly string[];
}

/** Wants what starts at boot; test/support/hosts/boot.sh makes it. */
const wants = `${unitFolder}/booted-host.target.wants`;

export class BootedHost {
  readonly #process: Background;
  /** Below our own, as removeCgroup takes it. */
  readonly #slice: string;
  /** The top of its hierarchy, in the machine's file system. */
  readonly #cgroup: string;
  /** Its PID 1, as the machine counts; 0: not there yet. */
  #manager = 0;

  private constructor(process: Background, slice: string, folder: string) {
    this.#process = process;
    this.#slice = slice;
    this.#cgroup = join(folder, "payload");
  }

  /** Boots it, and waits until systemd says that it has started all that it will. */
  static async boot(
    server: Server,
    { debian, withoutBpf = false, files = {}, enabled = [] }: BootOptions = {},
  ): Promise<BootedHost> {
    const mounts = mkdtempSync(join(server.folder, "booted-"));
    const prepared = mkdtempSync(join(server.folder, "prepared-"));
    // As the root folder has it.
    chmodSync(prepared, 0o755);
    for (const [path, content] of Object.entries(files)) put(join(prepared, path), content);
    for (const unit of enabled) put(join(prepared, wants, unit), "");
    const slice = `${server.name}-${basename(mounts)}.slice`;
    const cgroup = await makeCgroup(slice);
    // A process namespace ends with its first process, which ends with ours.
    const unshare =
      "setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --mount-proc";
    const command = [
      "sh",
      "-c",
      `echo $$ >"$0" && exec ${unshare} sh "$@"`,
      join(cgroup, "cgroup.procs"),
      hostScript("boot"),
      debian ?? "/",
      mounts,
      prepared,
      withoutBpf ? "~bpf" : "bpf",
      // What is needed to run ilm there.
      ...(debian === undefined
        ? [root.replace(/\/$/, ""), dirname(dirname(process.execPath))].filter(isHidden)
        : []),
    ];
    const host = new BootedHost(new Background(server.inside(command)), slice, cgroup);
    try {
      await host.#untilBooted();
      // What hosts have, and containers have not.
      await host.must(["mount", "--bind", "/proc/sys/net", "/proc/sys/net"]);
      await host.must(["mount", "-o", "remount,bind,rw", "/proc/sys/net"]);
    } catch (error) {
      await host.stop();
      const { stdout, stderr } = host.#process;
      throw new Error(`no host could be booted: ${String(error)}\n${stdout}${stderr}`, {
        cause: error,
      });
    }
    return host;
  }

  async #untilBooted(): Promise<void> {
    const scope = join(this.#cgroup, "init.scope/cgroup.procs");
    this.#manager = await eventually("systemd has put itself in its place", () => {
      if (!this.#process.running) throw new Error("systemd-nspawn has ended");
      const [first] = existsSync(scope) ? readFileSync(scope, "utf8").split("\n") : [];
      return first === undefined || first === "" ? null : Number(first);
    });
    mkdirSync(join(this.#cgroup, "commands.scope"));
    let said = "";
    await eventually("systemd has started what starts by itself", async () => {
      if (!this.#process.running) throw new Error("systemd-nspawn has ended");
      const asked = await this.run(["systemctl", "is-system-running"]);
      said = asked.stdout.trim() + asked.stderr.trim();
      return booted.includes(said) ? true : null;
    }).catch((error: unknown) => {
      throw new Error(`is-system-running says: ${said}`, { cause: error });
    });
  }

  /** A command in the host's namespaces and its hierarchy of cgroups, as root. */
  inside(command: readonly string[]): readonly string[] {
    const enter = `nsenter -t ${this.#manager} --mount --uts --ipc --net --pid --cgroup --root --wd`;
    return [
      "sh",
      "-c",
      `echo $$ >"$0" && exec ${enter} setpriv --pdeathsig KILL "$@"`,
      join(this.#cgroup, "commands.scope/cgroup.procs"),
      ...command,
    ];
  }

  async run(command: readonly string[], options?: RunOptions): Promise<RunResult> {
    return await run(this.inside(command), options);
  }

  async must(command: readonly string[], options?: RunOptions): Promise<string> {
    return await must(this.inside(command), options);
  }

  /** Starts a command that stays; whoever calls this stops it, or the host's end does. */
  start(command: readonly string[], options?: RunOptions): Background {
    return new Background(this.inside(command), options);
  }

  /** Runs a command of the product on the host. */
  async ilm(args: readonly string[], options?: RunOptions): Promise<IlmResult> {
    return new IlmResult(await this.run([ilmCommand, ...args], options));
  }

  /** Runs a command of the product on the host, which has to succeed. */
  async ilmDone(args: readonly string[]): Promise<IlmResult> {
    const result = await this.ilm(args);
    if (result.status === 0) return result;
    throw new Error(`ilm ${args.join(" ")}: exit ${result.status}\n${result.text}`);
  }

  /** Where a file of the host is, for the machine. */
  path(file: string): string {
    return `/proc/${this.#manager}/root${file}`;
  }

  /** Writes a file of the host, with the folders that it needs. */
  write(file: string, content: string, mode = 0o644): void {
    put(this.path(file), content, mode);
  }

  /** Writes units, or drop-ins ("nginx.service.d/own.conf"), and has systemd read them. */
  async units(contents: Readonly<Record<string, string>>): Promise<void> {
    for (const [name, content] of Object.entries(contents)) {
      this.write(join(unitFolder, name), content);
    }
    await this.must(["systemctl", "daemon-reload"]);
  }

  /** Ends it and everything in it, at once. */
  async stop(): Promise<void> {
    await this.#process.stop();
    await removeCgroup(this.#slice);
  }
}
