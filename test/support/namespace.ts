/** A network namespace of the suites: commands and daemons that run in it. */
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Dial, Dialler, type DialOptions } from "./dialler.js";
import { type Echo, Echoes, type EchoOptions, type Listen } from "./echo.js";
import { destroyNamespace, netnsPath } from "./leftovers.js";
import type { Protocol } from "./matrix.js";
import { python, script } from "./paths.js";
import { Background, must, run, type RunOptions, type RunResult } from "./process.js";

/**
 * A refusal is a fact that the suites ask for often, and the kernel's limits on ICMP errors would
 * swallow some: those of a namespace, and before Linux 6.13 those that it shares with the whole
 * machine. Types that are not in the masks have none.
 */
const unlimitedErrors =
  "echo 0 > /proc/sys/net/ipv4/icmp_ratemask; echo > /proc/sys/net/ipv6/icmp/ratemask";

/** Never `ip netns exec`: it remounts /sys and hides cgroup and the BPF file system. */
function within(name: string): readonly string[] {
  return ["nsenter", `--net=${netnsPath(name)}`];
}

export class Namespace {
  readonly name: string;
  readonly path: string;
  readonly inode: number;
  /** A folder for configuration files, keys and logs; goes with the namespace. */
  readonly folder: string;
  #background = new Set<Background>();
  // Not among what tests have started: these stay, and serve the next test.
  readonly #echoes = new Echoes(() => new Background(this.#python("echo.py", [])));
  readonly #dialler = new Dialler(() => new Background(this.#python("dial.py", [])));

  protected constructor(name: string) {
    this.name = name;
    this.path = netnsPath(name);
    this.inode = statSync(this.path).ino;
    this.folder = mkdtempSync(join(tmpdir(), `${name}-`));
  }

  /** Adds a network namespace under a name that tells which process made it, with `lo` up. */
  protected static async add(role: string): Promise<string> {
    const name = `ilm${process.pid}-${randomBytes(3).toString("hex")}-${role}`;
    await must(["ip", "netns", "add", name]);
    await must(["ip", "-n", name, "link", "set", "lo", "up"]);
    await must([...within(name), "sh", "-c", unlimitedErrors]);
    return name;
  }

  /** Gives a name to a network namespace that another program made, such as a container's. */
  protected static async nameFor(role: string, file: string): Promise<string> {
    const name = `ilm${process.pid}-${randomBytes(3).toString("hex")}-${role}`;
    writeFileSync(netnsPath(name), "");
    await must(["mount", "--bind", file, netnsPath(name)]);
    return name;
  }

  inside(command: readonly string[]): readonly string[] {
    return [...within(this.name), ...command];
  }

  async run(command: readonly string[], options?: RunOptions): Promise<RunResult> {
    return await run(this.inside(command), options);
  }

  async must(command: readonly string[], options?: RunOptions): Promise<string> {
    return await must(this.inside(command), options);
  }

  start(command: readonly string[], options?: RunOptions): Background {
    return this.adopt(new Background(this.inside(command), options));
  }

  /** Takes over the end of a process that was started otherwise. */
  adopt(child: Background): Background {
    this.#background.add(child);
    return child;
  }

  startPython(name: string, args: readonly string[]): Background {
    return this.adopt(new Background(this.#python(name, args)));
  }

  #python(name: string, args: readonly string[]): readonly string[] {
    return this.inside([python, script(name), ...args]);
  }

  async dial(
    protocol: Protocol,
    address: string,
    port: number,
    options?: DialOptions,
  ): Promise<Dial> {
    return await this.#dialler.dial(protocol, address, port, options);
  }

  /** Starts a daemon that answers with its tag, and waits until it listens. */
  async echo(tag: string, listen: readonly Listen[], options: EchoOptions = {}): Promise<Echo> {
    return await this.#echoes.start(tag, listen, options);
  }

  /** The tag of the daemon that answers, or the errno: for tables. */
  async who(
    protocol: Protocol,
    address: string,
    port: number,
    options?: DialOptions,
  ): Promise<string> {
    const result = await this.dial(protocol, address, port, options);
    return result.answered ? result.tag : result.errno;
  }

  /** Ends the daemons that `echo` started, and nothing else. */
  async stopDaemons(): Promise<void> {
    await this.#echoes.stopAll();
  }

  /** Ends everything that a test has started here. */
  async stopStarted(): Promise<void> {
    await this.stopDaemons();
    await Promise.all([...this.#background].map((child) => child.stop()));
    this.#background.clear();
  }

  /** Ends that, and what served the tests: no process of ours is left here. */
  async stopAll(): Promise<void> {
    await this.stopStarted();
    await this.#echoes.stop();
    await this.#dialler.stop();
  }

  async destroy(): Promise<void> {
    await this.stopAll();
    await destroyNamespace(this.name);
    rmSync(this.folder, { recursive: true, force: true });
  }
}
