/**
 * The capabilities of this process (capabilities(7)), and starting again with fewer. Capabilities
 * belong to a thread, and node has several; only execve(2) ends the others.
 */
import { readFileSync } from "node:fs";
import { checked, libcFunction } from "./ffi.js";

/** The numbers of include/uapi/linux/capability.h. */
const numbers = {
  CAP_CHOWN: 0,
  CAP_DAC_OVERRIDE: 1,
  CAP_DAC_READ_SEARCH: 2,
  CAP_FOWNER: 3,
  CAP_FSETID: 4,
  CAP_KILL: 5,
  CAP_SETGID: 6,
  CAP_SETUID: 7,
  CAP_SETPCAP: 8,
  CAP_LINUX_IMMUTABLE: 9,
  CAP_NET_BIND_SERVICE: 10,
  CAP_NET_BROADCAST: 11,
  CAP_NET_ADMIN: 12,
  CAP_NET_RAW: 13,
  CAP_IPC_LOCK: 14,
  CAP_IPC_OWNER: 15,
  CAP_SYS_MODULE: 16,
  CAP_SYS_RAWIO: 17,
  CAP_SYS_CHROOT: 18,
  CAP_SYS_PTRACE: 19,
  CAP_SYS_PACCT: 20,
  CAP_SYS_ADMIN: 21,
  CAP_SYS_BOOT: 22,
  CAP_SYS_NICE: 23,
  CAP_SYS_RESOURCE: 24,
  CAP_SYS_TIME: 25,
  CAP_SYS_TTY_CONFIG: 26,
  CAP_MKNOD: 27,
  CAP_LEASE: 28,
  CAP_AUDIT_WRITE: 29,
  CAP_AUDIT_CONTROL: 30,
  CAP_SETFCAP: 31,
  CAP_MAC_OVERRIDE: 32,
  CAP_MAC_ADMIN: 33,
  CAP_SYSLOG: 34,
  CAP_WAKE_ALARM: 35,
  CAP_BLOCK_SUSPEND: 36,
  CAP_AUDIT_READ: 37,
  CAP_PERFMON: 38,
  CAP_BPF: 39,
  CAP_CHECKPOINT_RESTORE: 40,
} as const;
export type Capability = keyof typeof numbers;

/**
 * What ilm cannot do without. CAP_SYS_ADMIN is for objects that are found by their ids, such as
 * the programs on an interface or state whose pins were removed (kernel/bpf/syscall.c,
 * bpf_prog_get_fd_by_id), and for mounting the BPF file system; it includes CAP_BPF and
 * CAP_PERFMON. CAP_NET_ADMIN is for programs on networks and cgroups, and for addresses.
 */
export const neededCapabilities = ["CAP_NET_ADMIN", "CAP_SYS_ADMIN"] as const;

/** The capabilities that this kernel may have: a set has 64 bits. */
const BITS = 64;
const CAPABILITY_VERSION_3 = 0x20080522;
const PR_CAPBSET_DROP = 24;
const F_SETFD = 2;
const STANDARD_DESCRIPTORS = [0, 1, 2];

const nativeCapset = libcFunction<[Uint32Array, Uint32Array], number>(
  "int capset(void *header, const void *data)",
);
const nativePrctl = libcFunction<[number, number, number, number, number], number>(
  "int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)",
);
const nativeFcntl = libcFunction<[number, number, number], number>(
  "int fcntl(int fd, int command, int argument)",
);
const nativeExecve = libcFunction<
  [string, readonly (string | null)[], readonly (string | null)[]],
  number
>("int execve(const char *path, const char **argv, const char **envp)");

/** Returns the capability of this name, in any case and with or without CAP_, or undefined. */
export function capabilityOf(text: string): Capability | undefined {
  const upper = text.toUpperCase();
  const name = upper.startsWith("CAP_") ? upper : `CAP_${upper}`;
  return Object.hasOwn(numbers, name) ? (name as Capability) : undefined;
}

type SetName = "CapEff" | "CapPrm" | "CapBnd";

function readSet(name: SetName): bigint {
  const status = readFileSync("/proc/self/status", "utf8");
  return BigInt(`0x${new RegExp(`^${name}:\\s*([0-9a-f]+)`, "m").exec(status)?.[1] ?? "0"}`);
}

function has(set: bigint, bit: number): boolean {
  return ((set >> BigInt(bit)) & 1n) === 1n;
}

/** Reports whether this process may use the capability now. */
export function isEffective(capability: Capability): boolean {
  return has(readSet("CapEff"), numbers[capability]);
}

function bitOf(capability: Capability): bigint {
  return 1n << BigInt(numbers[capability]);
}

/** Returns the names of a set, and the numbers of those that are newer than this code. */
function namesOf(set: bigint): string[] {
  const names = new Map<number, string>(Object.entries(numbers).map(([name, bit]) => [bit, name]));
  return Array.from({ length: BITS }, (_, bit) => bit)
    .filter((bit) => has(set, bit))
    .map((bit) => names.get(bit) ?? `capability ${bit}`);
}

/** Returns the names of what this process may use, or make itself able to use, beyond `kept`. */
export function capabilitiesBeyond(kept: readonly Capability[]): string[] {
  return namesOf(beyond(kept));
}

function beyond(kept: readonly Capability[]): bigint {
  const keep = kept.reduce((set, capability) => set | bitOf(capability), 0n);
  return readSet("CapPrm") & ~keep;
}

/**
 * Gives up all capabilities but these for the program that this process executes next, and for
 * this thread. For root that takes the bounding set, which only CAP_SETPCAP can narrow: without it,
 * the next program has them again.
 */
function giveUp(kept: readonly Capability[]): void {
  const permitted = readSet("CapPrm");
  const keep = permitted & ~beyond(kept);
  if (has(readSet("CapEff"), numbers.CAP_SETPCAP)) {
    const bounding = readSet("CapBnd");
    for (let bit = 0; bit < BITS; bit += 1) {
      if (!has(bounding, bit) || has(keep, bit)) continue;
      checked("prctl PR_CAPBSET_DROP", nativePrctl(PR_CAPBSET_DROP, bit, 0, 0, 0));
    }
  }
  const low = Number(keep & 0xffffffffn);
  const high = Number(keep >> 32n);
  // struct __user_cap_data_struct[2]: effective, permitted, inheritable. What is not inheritable
  // leaves the ambient set too. For root, execve() adds what the bounding set still has; another
  // user keeps what is inheritable and ambient.
  const inherited = process.geteuid?.() === 0 ? [0, 0] : [low, high];
  const data = Uint32Array.of(low, low, inherited[0] ?? 0, high, high, inherited[1] ?? 0);
  checked("capset", nativeCapset(Uint32Array.of(CAPABILITY_VERSION_3, 0), data));
}

/**
 * Starts this very program again, as the same process, with the same arguments and no other
 * capabilities than these. Returns only by throwing SYSCALL.
 */
export function startAgainWith(
  kept: readonly Capability[],
  env: Readonly<Record<string, string | undefined>>,
): never {
  giveUp(kept);
  const { execPath, execArgv, argv } = process;
  const variables = Object.entries(env).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}=${value}`],
  );
  const command = [execPath, ...execArgv, ...argv.slice(1)];
  // Node closes them on execve() too (uv_disable_stdio_inheritance).
  for (const fd of STANDARD_DESCRIPTORS) nativeFcntl(fd, F_SETFD, 0);
  checked(`execve ${execPath}`, nativeExecve(execPath, [...command, null], [...variables, null]));
  throw new Error("execve() returned");
}
