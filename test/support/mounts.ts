/**
 * A mount namespace with a BPF file system of its own: what is pinned there is one test's, and gone
 * with it.
 */
import { existsSync, readdirSync } from "node:fs";
import type { Namespace } from "./namespace.js";
import { pinRoot } from "./paths.js";
import { must } from "./process.js";

export class Mounts {
  readonly #pid: number;

  private constructor(pid: number) {
    this.#pid = pid;
  }

  /** It ends with the processes of `owner`, whose network namespace must be there already. */
  static async make(owner: Namespace): Promise<Mounts> {
    // All BPF file systems go, also one that is mounted elsewhere: ilm would take the first that it
    // finds.
    const script = "umount --all --types bpf && echo ready && exec sleep infinity";
    const unshare = ["unshare", "--mount", "--propagation", "private"];
    const holder = owner.start([...unshare, "sh", "-c", script]);
    await holder.waitForOutput(/ready/);
    const mounts = new Mounts(holder.pid);
    await mounts.addBpffs();
    return mounts;
  }

  /** nsenter execs the command, so the process is the same. */
  inside(command: readonly string[]): readonly string[] {
    return ["nsenter", `--mount=/proc/${this.#pid}/ns/mnt`, ...command];
  }

  async must(command: readonly string[]): Promise<string> {
    return await must(this.inside(command));
  }

  async addBpffs(): Promise<void> {
    await this.must(["mount", "-t", "bpf", "-o", "mode=0700", "bpf", "/sys/fs/bpf"]);
  }

  async removeBpffs(): Promise<void> {
    await this.must(["umount", "--all", "--types", "bpf"]);
  }

  /** The folders of registries, generations and program sets, of all network namespaces. */
  numbered(): readonly string[] {
    return this.#paths()
      .map((path) => path.split("/").slice(1).join("/"))
      .filter((name) => /^(generation|programs|registry)-\d+$/.test(name));
  }

  /** Everything below ilm's folder, without the numbers that count generations and registries. */
  pins(): readonly string[] {
    return this.#paths()
      .map((path) => path.replace(/(generation|programs|registry)-\d+/, "$1"))
      .sort();
  }

  #paths(): readonly string[] {
    const folder = `/proc/${this.#pid}/root${pinRoot}`;
    return existsSync(folder) ? readdirSync(folder, { recursive: true, encoding: "utf8" }) : [];
  }
}
