/**
 * What this host can do. Each failure is distinct and has its own remedy. `doctor` shows all of
 * them; other commands report the first.
 */
import { MINIMUM_KERNEL } from "./minimum.js";
import { Errno } from "./errno.js";
import { existsSync, readFileSync } from "node:fs";
import { endianness, release, version } from "node:os";
import { IlmError } from "../errors.js";
import { isEffective, neededCapabilities } from "./capabilities.js";
import { programName } from "./bpf/program.js";
import { skLookupLinks } from "./bpf/link.js";
import { errnoOf, libbpfFunction } from "./ffi.js";
import { errorCode } from "./folder.js";
import { findCgroup2, openBpffs } from "./mounts.js";
import { netnsInode } from "./netns.js";
import { Pins, pinnedNamespaces } from "./pins.js";
import { loopbackIsUp, loopbackTakesIpv6, sysctl } from "./procfs.js";
import { openRuntimeFolder, runtimePath } from "./runtime-folder.js";

export interface HostCheck {
  readonly name: string;
  readonly severity: "ok" | "warning" | "error";
  readonly ok: boolean;
  readonly found: string;
  /** What to do about it; empty when there is nothing to do. */
  readonly remedy: string;
}

export interface HostReport {
  readonly checks: readonly HostCheck[];
}

const BTF = "/sys/kernel/btf/vmlinux";
const LOCKDOWN = "/sys/kernel/security/lockdown";
const versionString = libbpfFunction<[], string>("const char *libbpf_version_string()");
const linkNextId = libbpfFunction<[number, Uint32Array], number>(
  "int bpf_link_get_next_id(uint32_t start, void *next)",
);

/** Returns those of the capabilities that all commands need which this process does not have. */
function missingCapabilities(): string[] {
  return neededCapabilities.filter((name) => !isEffective(name));
}

/** Returns the errno of a harmless bpf(2) call, or 0 when it works. */
function bpfErrno(): number {
  const result = linkNextId(0, new Uint32Array(1));
  // ENOENT means that there are no links at all.
  return result === 0 || result === -2 ? 0 : -result;
}

/**
 * Returns the mode of kernel_lockdown(7), or undefined when there is none or it cannot be seen
 * because securityfs is not mounted.
 */
function lockdown(): string | undefined {
  const mode = existsSync(LOCKDOWN)
    ? /\[(\w+)\]/.exec(readFileSync(LOCKDOWN, "utf8"))?.[1]
    : undefined;
  return mode === "none" ? undefined : mode;
}

const LOCKDOWN_REMEDY = "Boot with lockdown=integrity, which ilm works under, or without lockdown";

/**
 * Checks that this process can use BPF. Cheap enough for every command that touches the data plane.
 * Throws NOT_PERMITTED, NO_BPF, NO_BTF or NO_LIBBPF.
 */
export function requireBpf(): void {
  if (endianness() !== "LE") {
    throw new IlmError("NO_BPF", "this is a big-endian machine", {
      remedy: "ilm runs on little-endian machines (x86-64, arm64)",
    });
  }
  const missing = missingCapabilities();
  if (missing.length > 0) {
    const are = missing.length === 1 ? "is" : "are";
    throw new IlmError("NOT_PERMITTED", `this needs root: ${missing.join(", ")} ${are} missing`, {
      remedy: "Run as root, e.g. with sudo; in a container, give it these capabilities",
    });
  }
  const errno = bpfErrno();
  if (errno === Errno.EPERM || errno === Errno.EACCES) {
    throw new IlmError("NOT_PERMITTED", "the kernel refuses the bpf system call to this process", {
      remedy: "A seccomp filter, a security module or kernel lockdown forbids it; allow bpf(2)",
    });
  }
  if (errno === Errno.ENOSYS) {
    throw new IlmError("NO_BPF", "this kernel has no bpf system call", {
      remedy: "Use a kernel with CONFIG_BPF_SYSCALL=y, such as Debian's",
    });
  }
  // There is no bpf_probe_read_kernel() then (kernel/bpf/helpers.c, bpf_base_func_proto).
  if (lockdown() === "confidentiality") {
    throw new IlmError(
      "NO_BPF",
      "the kernel is locked down (confidentiality): BPF programs may not read its memory",
      { remedy: LOCKDOWN_REMEDY },
    );
  }
  if (!existsSync(BTF)) {
    throw new IlmError("NO_BTF", `this kernel has no BTF (${BTF} is missing)`, {
      remedy: "Use a kernel with CONFIG_DEBUG_INFO_BTF=y, such as Debian's, and mount /sys",
    });
  }
}

function check(
  name: string,
  severity: HostCheck["severity"],
  found: string,
  remedy: string,
): HostCheck {
  const ok = severity === "ok";
  return { name, severity, ok, found, remedy: ok ? "" : remedy };
}

function kernelVersion(): number[] {
  return release()
    .split(".")
    .map((part) => Number.parseInt(part, 10));
}

/**
 * Reports whether scanning for listeners may hang this kernel. Before 6.5, the tcp iterator held a
 * listener's spinlock while the scan put it into a sockmap, which takes the same lock
 * (net/ipv4/tcp_ipv4.c, bpf_iter_tcp_seq_show). Stable series have the fix; 6.1.176 was tested, see
 * docs/kernels.md.
 */
function mayHangInScan([major = 0, minor = 0, patch = 0]: readonly number[]): boolean {
  if (major > 6 || (major === 6 && minor >= 5)) return false;
  return !(major === 6 && minor === 1 && patch >= 176);
}

function kernelCheck(): HostCheck {
  const [wantedMajor, wantedMinor] = MINIMUM_KERNEL;
  // Debian's release string lacks the patch level: 6.1.0-50 is 6.1.176.
  const debian = /\bDebian (\d+)\.(\d+)\.(\d+)/.exec(version());
  const running = debian === null ? kernelVersion() : debian.slice(1).map(Number);
  const [major = 0, minor = 0] = running;
  const found = `Linux ${release()}`;
  if (major < wantedMajor || (major === wantedMajor && minor < wantedMinor)) {
    return check(
      "kernel",
      "error",
      found,
      `Linux ${MINIMUM_KERNEL.join(".")} or newer is needed; Debian 12 has 6.1`,
    );
  }
  if (mayHangInScan(running)) {
    return check(
      "kernel",
      "warning",
      `${found}: looking for listeners that were there before ilm can hang such a kernel`,
      "Use Linux 6.5 or newer, or 6.1.176 or newer of the 6.1 series (Debian 12)",
    );
  }
  return check("kernel", "ok", found, "");
}

function privilegesCheck(): HostCheck {
  const missing = missingCapabilities();
  return check(
    "privileges",
    missing.length === 0 ? "ok" : "error",
    missing.length === 0 ? "everything that is needed" : `${missing.join(", ")} missing`,
    "Run as root, e.g. with sudo",
  );
}

function libbpfCheck(): HostCheck {
  try {
    return check("libbpf", "ok", versionString(), "");
  } catch (error) {
    if (!(error instanceof IlmError) || error.code !== "NO_LIBBPF") throw error;
    return check("libbpf", "error", error.message, error.remedy ?? "");
  }
}

function bpfCheck(): HostCheck {
  let errno: number;
  try {
    errno = bpfErrno();
  } catch (error) {
    if (!(error instanceof IlmError)) throw error;
    return check("bpf system call", "error", "cannot be tried without libbpf", "Install libbpf1");
  }
  if (errno === 0) return check("bpf system call", "ok", "works", "");
  return check(
    "bpf system call",
    "error",
    errno === Errno.ENOSYS ? "the kernel has none" : "not permitted",
    errno === Errno.ENOSYS
      ? "Use a kernel with CONFIG_BPF_SYSCALL=y"
      : "Run as root; allow bpf(2) where seccomp, a security module or lockdown forbids it",
  );
}

/**
 * Returns the state of the optional module whose kfunc looks up the kernel's own tables of
 * listeners (kmod/).
 */
export function moduleState(): "loaded" | "without-btf" | "absent" {
  if (existsSync("/sys/kernel/btf/ilm_lookup")) return "loaded";
  return existsSync("/sys/module/ilm_lookup") ? "without-btf" : "absent";
}

/** Reports on the module. Its absence is not an error. */
function moduleCheck(): HostCheck {
  const found = {
    loaded:
      "loaded: listeners are found in the kernel's own tables (kfunc), unless `engine: registry`",
    "without-btf": "loaded but unusable: it was built without BTF",
    absent: "not loaded: listeners are found by registration; the module is optional",
  };
  const state = moduleState();
  return check(
    "module ilm_lookup",
    state === "without-btf" ? "warning" : "ok",
    found[state],
    "Build it where the build does not say `Skipping BTF generation` (kmod/README.md), or remove it: rmmod ilm_lookup",
  );
}

function lockdownCheck(): HostCheck {
  const mode = lockdown();
  if (mode === "confidentiality") {
    const found = "confidentiality: BPF programs may not read the kernel's memory";
    return check("kernel lockdown", "error", found, LOCKDOWN_REMEDY);
  }
  const found = mode === undefined ? "none" : `${mode}: only signed modules can be loaded`;
  return check("kernel lockdown", "ok", found, "");
}

function jitCheck(): HostCheck {
  const value = sysctl("net.core.bpf_jit_enable");
  // A kernel that always compiles lacks the setting.
  const off = value === "0";
  return check(
    "BPF JIT",
    off ? "warning" : "ok",
    off ? "off: each lookup costs several times as much" : "on",
    "sysctl -w net.core.bpf_jit_enable=1",
  );
}

/**
 * Checks who may write to the BPF file system. By default the kernel mounts it writable for all,
 * and then any user may be the first to create the folder that holds ilm's state.
 */
function bpffsCheck(): HostCheck {
  const name = "BPF file system";
  const folder = openBpffs();
  if (folder === undefined) {
    const remedy =
      "Nothing to do: `ilm apply` mounts it; by hand: mount -t bpf -o mode=0700 bpf /sys/fs/bpf";
    return check(name, "warning", "not mounted", remedy);
  }
  const { path, mode } = folder;
  folder.close();
  if ((mode & 0o022) === 0) return check(name, "ok", path, "");
  return check(
    name,
    "error",
    `${path} can be written to by every user (mode ${mode.toString(8)}): one of them may hold a name in it that ilm needs`,
    `chmod 0700 ${path}, and mount it so from now on (mode=0700; systemd does so by itself)`,
  );
}

function runtimeFolderCheck(): HostCheck {
  const folder = openRuntimeFolder();
  folder?.close();
  const found = folder === undefined ? "not there yet" : runtimePath;
  return check("runtime folder", "ok", found, "");
}

function cgroupCheck(): HostCheck {
  const path = findCgroup2();
  return check(
    "cgroup v2",
    path === undefined ? "error" : "ok",
    path ?? "not mounted",
    "mount -t cgroup2 none /sys/fs/cgroup/unified (systemd does so by itself)",
  );
}

function loopbackCheck(): HostCheck {
  const up = loopbackIsUp();
  return check(
    "loopback interface",
    up ? "ok" : "error",
    up ? "up, with 127.0.0.1" : "down, or without 127.0.0.1: nothing can use 127.0.0.0/8",
    "ip link set lo up",
  );
}

function ipv6Check(): HostCheck {
  const disabled = !loopbackTakesIpv6();
  return check(
    "IPv6",
    disabled ? "warning" : "ok",
    disabled ? "disabled on lo: services cannot have IPv6 addresses" : "enabled",
    "sysctl -w net.ipv6.conf.lo.disable_ipv6=0",
  );
}

/**
 * Checks for tcx by version (6.6). What the kernel can really do is probed when rules are applied.
 */
function ingressCheck(): HostCheck {
  const [major = 0, minor = 0] = kernelVersion();
  const has = major > 6 || (major === 6 && minor >= 6);
  return check(
    "hand-over at ingress",
    has ? "ok" : "warning",
    has
      ? "possible (tcx): UDP and MPTCP listeners can be destinations as they are"
      : "not possible: UDP needs a running `ilm run`, replies keep the daemon's port, and MPTCP listeners cannot be destinations",
    "Use Linux 6.6 or newer; for a Go daemon on an older one set GODEBUG=multipathtcp=0",
  );
}

/**
 * Returns the names of other sk_lookup programs in this network namespace, each with the link id
 * that bpftool(8) shows.
 */
export function otherLookupPrograms(): string[] {
  const pins = Pins.open(netnsInode());
  const own = pins?.lookupLink();
  const ours = own?.info().id;
  own?.close();
  pins?.close();
  return skLookupLinks(netnsInode())
    .filter((link) => link.id !== ours)
    .map((link) => `${programName(link.programId)} (link ${link.id})`);
}

function otherProgramsCheck(): HostCheck {
  const others = otherLookupPrograms();
  return check(
    "other sk_lookup programs",
    others.length === 0 ? "ok" : "warning",
    others.length === 0 ? "none" : others.join(", "),
    "The kernel runs all of them in the order in which they were attached, and the last that selects a socket wins: make sure they do not handle the same ports; `bpftool link show` lists them",
  );
}

function sharedNetnsPinsCheck(): HostCheck {
  const inodes = pinnedNamespaces();
  return check("namespaces with state", "ok", inodes.length === 0 ? "none" : inodes.join(", "), "");
}

/**
 * Runs all checks for `doctor`. A check without the privileges it needs says so instead of failing
 * the rest.
 */
export function probeHost(): HostReport {
  const guarded = (name: string, run: () => HostCheck): HostCheck => {
    try {
      return run();
    } catch (error) {
      if (error instanceof IlmError && error.code === "UNSAFE_PATH") {
        return check(name, "error", error.message, error.remedy ?? "");
      }
      const errno = errnoOf(error);
      const code = errorCode(error);
      if (
        errno !== Errno.EPERM &&
        errno !== Errno.EACCES &&
        code !== "EACCES" &&
        code !== "EPERM"
      ) {
        throw error;
      }
      return check(name, "warning", "cannot be looked at without root", "Run as root");
    }
  };
  return {
    checks: [
      kernelCheck(),
      privilegesCheck(),
      libbpfCheck(),
      bpfCheck(),
      check(
        "BTF",
        existsSync(BTF) ? "ok" : "error",
        existsSync(BTF) ? BTF : `${BTF} is missing`,
        "Use a kernel with CONFIG_DEBUG_INFO_BTF=y, such as Debian's",
      ),
      lockdownCheck(),
      moduleCheck(),
      jitCheck(),
      guarded("BPF file system", bpffsCheck),
      guarded("runtime folder", runtimeFolderCheck),
      cgroupCheck(),
      loopbackCheck(),
      ipv6Check(),
      ingressCheck(),
      guarded("other sk_lookup programs", otherProgramsCheck),
      guarded("namespaces with state", sharedNetnsPinsCheck),
    ],
  };
}
