/**
 * Folders by descriptor. A path may lead elsewhere a moment later; a descriptor may not. So a
 * folder is opened once, without following links, and checked by its descriptor, and everything in
 * it is reached through that: the path /proc/self/fd/N/NAME opens what openat(N, NAME) opens,
 * because the kernel jumps to the open folder and looks up no names on the way (fs/proc/base.c,
 * proc_pid_get_link). Unlike openat(), it also serves bpf(BPF_OBJ_PIN) before Linux 6.5, and bind()
 * and connect() of unix sockets.
 */
import {
  type Stats,
  close as closeCall,
  closeSync,
  constants,
  existsSync,
  fstatSync,
  fsync as fsyncCall,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmdirSync,
  statfsSync,
  symlinkSync,
  unlinkSync,
  writeFile as writeFileCall,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { promisify } from "node:util";
import { IlmError, nodeErrno, unavailable } from "../errors.js";

const close = promisify(closeCall);
const fsync = promisify(fsyncCall);
const writeFile = promisify(writeFileCall);

/**
 * The flag of open(2) for a descriptor that stands for a place in the tree and needs no read
 * permission there.
 */
const O_PATH = 0o10000000;
const ON_FOLDER = O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW;
const STICKY = 0o1000;
const WRITABLE_BY_OTHERS = 0o022;
/** How often to retry after losing a race that no process of ours runs. */
const ATTEMPTS = 100;

/**
 * Who may put things into a folder of ours: only we (`private`), or also others who cannot remove
 * or replace what is ours (`shared`: the sticky bit).
 */
type Trust = "private" | "shared";

/** Returns the code of a failed node:fs call, such as ENOENT, or undefined for any other error. */
export function errorCode(error: unknown): string | undefined {
  return nodeErrno(error);
}

/** Returns the result of `action`, or undefined when it fails with one of these codes. */
export function unless<T>(codes: readonly string[], action: () => T): T | undefined {
  try {
    return action();
  } catch (error) {
    if (codes.includes(errorCode(error) ?? "")) return undefined;
    throw error;
  }
}

/** Runs `action`. Returns false when it fails with one of these codes. */
function succeeds(action: () => void, ...codes: readonly string[]): boolean {
  return unless(codes, () => (action(), true)) ?? false;
}

function unsafe(path: string, found: string, remedy: string): IlmError {
  return new IlmError("UNSAFE_PATH", `${path} ${found}; nothing was read from it, or changed`, {
    remedy,
  });
}

/**
 * Returns the remedy for something that another user may have planted. It may be ours after all,
 * such as the history after a `chmod`: so it is moved away, and not removed.
 */
function removal(path: string): string {
  return `Another user may have put it there. See whose it is (ls -ld ${path}), move it away (mv ${path} ${path}-suspect), and keep others out of ${dirname(path)} (chmod go-w ${dirname(path)})`;
}

/** Returns what is wrong with the file or folder, or undefined when nothing is. */
function distrust({ uid, mode }: Stats, trust: Trust): string | undefined {
  if (uid !== 0 && uid !== process.geteuid?.()) return `belongs to the user ${uid}, not to root`;
  const open = (mode & WRITABLE_BY_OTHERS) !== 0;
  if (!open || (trust === "shared" && (mode & STICKY) !== 0)) return undefined;
  return `can be written to by others (mode ${(mode & 0o7777).toString(8)})`;
}

export class Folder {
  /** The path for messages. Nothing is reached through it. */
  readonly path: string;
  #fd: number;

  private constructor(fd: number, path: string) {
    this.#fd = fd;
    this.path = path;
  }

  /**
   * Opens a folder. Returns undefined when it does not exist. Throws UNSAFE_PATH when it, or a
   * folder on the way, is a link, does not belong to root (or us), or lets others replace what is
   * in it.
   */
  static open(path: string): Folder | undefined {
    let folder = new Folder(openSync("/", ON_FOLDER), "/");
    for (const name of path.split("/").filter((part) => part !== "")) {
      const around = folder;
      try {
        const inside = around.#enter(name, "shared");
        if (inside === undefined) return undefined;
        folder = inside;
      } finally {
        around.close();
      }
    }
    return folder;
  }

  /**
   * Opens a folder that no other user may put anything into. Returns undefined when it does not
   * exist. Throws UNSAFE_PATH.
   */
  static openPrivate(path: string): Folder | undefined {
    const around = Folder.open(dirname(path));
    try {
      return around?.folder(basename(path));
    } finally {
      around?.close();
    }
  }

  #enter(name: string, trust: Trust): Folder | undefined {
    const path = join(this.path, name);
    let fd: number | undefined;
    try {
      fd = this.#told(name, "opened", () =>
        unless(["ENOENT"], () => openSync(this.at(name), ON_FOLDER)),
      );
    } catch (error) {
      if (errorCode(error) !== "ENOTDIR") throw error;
      throw unsafe(path, "is a link or a file, not a folder", removal(path));
    }
    if (fd === undefined) return undefined;
    const wrong = distrust(fstatSync(fd), trust);
    if (wrong === undefined) return new Folder(fd, path);
    closeSync(fd);
    const close = `Give it to root and close it to others: chown root ${path} && chmod go-w ${path}`;
    throw unsafe(path, wrong, trust === "shared" ? close : removal(path));
  }

  /**
   * Returns the result of `action`. If the host runs short of something, the error names the path.
   */
  #told<T>(name: string, done: string, action: () => T): T {
    try {
      return action();
    } catch (error) {
      const what = `${join(this.path, name)} cannot be ${done}`;
      throw unavailable(what, errorCode(error) ?? "", error) ?? error;
    }
  }

  /**
   * Returns a path that reaches `name` in this very folder, for calls that take no descriptor. It
   * is valid until `close`.
   */
  at(name: string): string {
    if (name === "" || name === "." || name === ".." || name.includes("/")) {
      throw new IlmError("INTERNAL", `not the name of something in a folder: ${name}`);
    }
    return `${this.#self}/${name}`;
  }

  get #self(): string {
    if (this.#fd < 0) {
      throw new IlmError("INTERNAL", `the folder ${this.path} was used when closed`);
    }
    return `/proc/self/fd/${this.#fd}`;
  }

  /** The f_type of statfs(2). */
  get fileSystem(): number {
    return statfsSync(this.#self).type;
  }

  get mode(): number {
    return fstatSync(this.#fd).mode & 0o7777;
  }

  /**
   * Opens a folder in this one that no other user can write to. Returns undefined when it does not
   * exist. Throws UNSAFE_PATH.
   */
  folder(name: string): Folder | undefined {
    return this.#enter(name, "private");
  }

  /**
   * Opens a folder in this one that no other user can write to, and creates it with this mode when
   * it does not exist. Throws UNSAFE_PATH.
   */
  makeFolder(name: string, mode = 0o700): Folder {
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      const isNew =
        !this.has(name) &&
        this.#told(name, "made", () => succeeds(() => mkdirSync(this.at(name), mode), "EEXIST"));
      const folder = this.#orWithout(isNew ? name : null, () => this.folder(name));
      // Another command, removing it while empty, may have been as quick.
      if (folder !== undefined) return folder;
    }
    const path = join(this.path, name);
    throw unsafe(path, "vanishes whenever it is made", removal(path));
  }

  /** Removes a new folder where it cannot be opened: that takes no descriptor, and opening does. */
  #orWithout<T>(name: string | null, open: () => T): T {
    try {
      return open();
    } catch (error) {
      if (name !== null) succeeds(() => rmdirSync(this.at(name)), "ENOENT", "ENOTEMPTY");
      throw error;
    }
  }

  /**
   * Opens a file in this folder, with O_PATH by default, and returns its descriptor, which the
   * caller closes. Returns undefined when it does not exist. Throws UNSAFE_PATH.
   */
  openFile(name: string, flags = O_PATH, mode = 0o600): number | undefined {
    const path = join(this.path, name);
    let fd: number | undefined;
    try {
      fd = this.#told(name, "opened", () =>
        unless(["ENOENT"], () => openSync(this.at(name), flags | constants.O_NOFOLLOW, mode)),
      );
    } catch (error) {
      if (errorCode(error) !== "ELOOP") throw error;
      throw unsafe(path, "is a link", removal(path));
    }
    if (fd === undefined) return undefined;
    const stats = fstatSync(fd);
    const wrong = stats.isFile() ? distrust(stats, "private") : "is not a file";
    if (wrong === undefined) return fd;
    closeSync(fd);
    throw unsafe(path, wrong, removal(path));
  }

  /** Returns the text of a file in this folder; undefined without one. Throws UNSAFE_PATH. */
  readText(name: string): string | undefined {
    return this.readBytes(name)?.toString("utf8");
  }

  /** Returns the content of a file in this folder; undefined without one. Throws UNSAFE_PATH. */
  readBytes(name: string): Buffer | undefined {
    const fd = this.openFile(name, constants.O_RDONLY);
    if (fd === undefined) return undefined;
    try {
      return readFileSync(fd);
    } finally {
      closeSync(fd);
    }
  }

  /** Replaces a file in one step, so that no reader, and no power failure, sees half of it. */
  async replaceText(name: string, text: string, mode: number): Promise<void> {
    const next = `.${name}.new`;
    this.remove(next);
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL;
    const fd = this.openFile(next, flags, mode);
    if (fd === undefined) throw new IlmError("INTERNAL", `${join(this.path, name)} was not made`);
    try {
      await writeFile(fd, text);
      await fsync(fd);
    } finally {
      await close(fd);
    }
    this.rename(next, name);
  }

  /** Puts a link to another name in this folder in the place of whatever has this name. */
  replaceLink(name: string, target: string): void {
    const next = `.${name}.new`;
    this.remove(next);
    this.#told(name, "made", () => {
      symlinkSync(target, this.at(next));
    });
    this.rename(next, name);
  }

  /**
   * Replaces a file in one step, at once. `lasts` says that it must survive a power failure from
   * now on; without that, one may leave the previous file, or an empty one.
   */
  replaceNow(name: string, data: string | Uint8Array, lasts: boolean): void {
    const next = `.${name}.new`;
    this.remove(next);
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL;
    const fd = this.openFile(next, flags);
    if (fd === undefined) throw new IlmError("INTERNAL", `${join(this.path, name)} was not made`);
    try {
      writeFileSync(fd, data);
      if (lasts) fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    this.rename(next, name);
  }

  /** Returns a descriptor of the folder itself that flock(2) accepts. The caller closes it. */
  openSelf(): number {
    return openSync(this.#self, constants.O_RDONLY | constants.O_DIRECTORY);
  }

  has(name: string): boolean {
    return existsSync(this.at(name));
  }

  names(): string[] {
    return readdirSync(this.#self);
  }

  /** Returns the size of a file in bytes; 0 when it does not exist. */
  sizeOf(name: string): number {
    return lstatSync(this.at(name), { throwIfNoEntry: false })?.size ?? 0;
  }

  /** Renames, replacing an empty folder or a file. */
  rename(from: string, to: string): void {
    this.#told(to, "made", () => {
      renameSync(this.at(from), this.at(to));
    });
  }

  /**
   * Removes whatever has this name: a link, not its target; a folder with its contents. Returns
   * false when nothing had the name. Never leaves the folder, whoever renames things in it
   * meanwhile. Throws UNSAFE_PATH rather than enter another file system, or chase what somebody
   * recreates again and again.
   */
  remove(name: string): boolean {
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      const found = lstatSync(this.at(name), { throwIfNoEntry: false });
      if (found === undefined) return false;
      const isFile = !found.isDirectory();
      if (isFile && this.#told(name, "removed", () => this.#unlink(name))) return true;
      let inside: Folder;
      try {
        const fd = this.#told(name, "opened", () => openSync(this.at(name), ON_FOLDER));
        inside = new Folder(fd, join(this.path, name));
      } catch (error) {
        if (errorCode(error) === "ENOENT") return false;
        if (errorCode(error) === "ENOTDIR") continue;
        throw error;
      }
      try {
        if (fstatSync(inside.#fd).dev !== fstatSync(this.#fd).dev) {
          throw unsafe(inside.path, "is a mount point", `Unmount it: umount ${inside.path}`);
        }
        for (const entry of inside.names()) {
          if (!inside.#told(entry, "removed", () => inside.#unlink(entry))) inside.remove(entry);
        }
      } finally {
        inside.close();
      }
      if (this.#told(name, "removed", () => this.#rmdir(name, "ENOTDIR"))) return true;
    }
    const path = join(this.path, name);
    throw unsafe(path, "comes back whenever it is removed", removal(path));
  }

  #unlink(name: string): boolean {
    return succeeds(() => unlinkSync(this.at(name)), "ENOENT", "EISDIR");
  }

  #rmdir(name: string, ...codes: readonly string[]): boolean {
    return succeeds(() => rmdirSync(this.at(name)), "ENOENT", "ENOTEMPTY", ...codes);
  }

  /** Removes a folder if it is empty. Returns false when it does not exist or is not empty. */
  removeIfEmpty(name: string): boolean {
    return this.#told(name, "removed", () => this.#rmdir(name));
  }

  close(): void {
    if (this.#fd < 0) return;
    const fd = this.#fd;
    this.#fd = -1;
    closeSync(fd);
  }
}
