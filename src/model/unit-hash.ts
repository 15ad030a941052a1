/** The numbers by which the kernel's programs know systemd units (bpf/identity.h, hash_unit). */
const BASIS = 0xcbf29ce484222325n;
const PRIME = 0x100000001b3n;

/**
 * The names before which systemd writes `_` in a cgroup's name (src/basic/cgroup-util.c,
 * cg_needs_escape).
 */
const escaped =
  /^(?:[_.]|notify_on_release$|release_agent$|tasks$|cgroup\.|(?:cpu|cpuacct|cpuset|io|blkio|memory|devices|pids|bpf-firewall|bpf-devices|bpf-foreign|bpf-socket-bind|bpf-restrict-network-interfaces)\.)/;

/** Returns the name of a unit's cgroup. */
export function cgroupName(unit: string): string {
  return escaped.test(unit) ? `_${unit}` : unit;
}

/**
 * Hashes the name of a unit to 64 bits. A socket unit has the hash of the service of its name. The
 * hash of anything but these two is odd.
 */
export function unitHash(unit: string): bigint {
  const name = cgroupName(unit);
  const stem = name.replace(/(?<=.)\.(?:service|socket)$/s, "");
  const bytes = Buffer.from(stem);
  let hash = BASIS;
  for (let at = 0; at < bytes.length; at += 8) {
    const word = Buffer.alloc(8);
    bytes.copy(word, 0, at, at + 8);
    hash = BigInt.asUintN(64, (hash ^ word.readBigUInt64LE()) * PRIME);
    hash ^= hash >> 32n;
  }
  return (hash & ~1n) | (stem === name ? 1n : 0n);
}
