/** Links: programs where they are attached. */
import { libbpfFunction, checkedBpf } from "../ffi.js";
import type { Folder } from "../folder.js";
import { Handle, info, open } from "./handle.js";
import type { BpfProgram } from "./program.js";

/** The values of enum bpf_attach_type, from include/uapi/linux/bpf.h. */
export const AttachType = {
  cgroupInetIngress: 0,
  cgroupInetSockCreate: 2,
  cgroupInet4Bind: 8,
  cgroupInet4Getsockname: 31,
  cgroupInet6Getsockname: 32,
  cgroupInet6Bind: 9,
  cgroupInet4Connect: 10,
  cgroupInet6Connect: 11,
  cgroupInetPostBind4: 12,
  cgroupInetPostBind6: 13,
  cgroupSockOps: 3,
  cgroupUdp4Sendmsg: 14,
  cgroupUdp6Sendmsg: 15,
  traceIter: 28,
  cgroupInetSockRelease: 34,
  skLookup: 36,
  tcxIngress: 46,
  tcxEgress: 47,
} as const;

export type AttachType = (typeof AttachType)[keyof typeof AttachType];

const linkCreate = libbpfFunction<[number, number, number, Uint8Array | null], number>(
  "int bpf_link_create(int program, int target, int type, const void *options)",
);

const linkUpdate = libbpfFunction<[number, number, null], number>(
  "int bpf_link_update(int link, int program, const void *options)",
);

const progQuery = libbpfFunction<
  [number, number, number, Uint32Array, Uint32Array, Uint32Array],
  number
>(
  "int bpf_prog_query(int target, int type, uint32_t flags, void *attach_flags, void *ids, void *count)",
);

const linkNextId = libbpfFunction<[number, Uint32Array], number>(
  "int bpf_link_get_next_id(uint32_t start, void *next)",
);

const linkDetach = libbpfFunction<[number], number>("int bpf_link_detach(int fd)");

const linkFdById = libbpfFunction<[number], number>("int bpf_link_get_fd_by_id(uint32_t id)");

export interface LinkInfo {
  readonly type: number;
  readonly id: number;
  readonly programId: number;
  /** The inode number of the network namespace, for links on one. */
  readonly netnsInode: number;
  /** The interface index, for links on an interface; 0 when that is gone. */
  readonly interfaceIndex: number;
  readonly attachType: number;
  /**
   * Whether the link is attached, for links on cgroups, namespaces and interfaces. A link that
   * was detached, or whose target is gone, only keeps its program alive.
   */
  readonly isAttached: boolean;
  readonly isOnCgroup: boolean;
}

const BPF_LINK_TYPE_CGROUP = 3;

const BPF_LINK_TYPE_NETNS = 5;

export class BpfLink extends Handle {
  /**
   * Reads struct bpf_link_info: type 0, id 4, prog_id 8; netns: netns_ino 16, attach_type 20; tcx:
   * ifindex 16, attach_type 20; cgroup: cgroup_id 16 (64 bits). For a detached link, the target is
   * 0.
   */
  info(): LinkInfo {
    const view = info(this.fd, 64);
    const type = view.getUint32(0, true);
    return {
      type,
      id: view.getUint32(4, true),
      programId: view.getUint32(8, true),
      netnsInode: view.getUint32(16, true),
      interfaceIndex: view.getUint32(16, true),
      attachType: view.getUint32(20, true),
      isOnCgroup: type === BPF_LINK_TYPE_CGROUP,
      isAttached:
        type === BPF_LINK_TYPE_CGROUP
          ? view.getBigUint64(16, true) !== 0n
          : view.getUint32(16, true) !== 0,
    };
  }

  /** Detaches the link from its target. Whoever holds it then only keeps its program alive. */
  detach(): void {
    checkedBpf("bpf_link_detach", linkDetach(this.fd));
  }

  /** Swaps the program atomically. */
  update(program: BpfProgram): void {
    checkedBpf("bpf_link_update", linkUpdate(this.fd, program.fd, null));
  }
}

export function openLink(folder: Folder, name: string): BpfLink | undefined {
  const fd = open(folder, name);
  return fd === undefined ? undefined : new BpfLink(fd);
}

/**
 * Detaches a pinned link, if there is one, and removes its pin. Without the pin alone, the kernel
 * lets go of the program some time later (kernel/bpf/inode.c, bpf_free_inode, after a grace
 * period): until then it could not be attached to the same interface again.
 */
export function removeLink(folder: Folder, name: string): void {
  const link = openLink(folder, name);
  link?.detach();
  link?.close();
  folder.remove(name);
}

/**
 * Pinned links that are checked again and again. A link that was there is found by its id, in half
 * as many calls.
 */
export class KnownLinks {
  readonly #ids = new Map<string, number>();

  /**
   * Returns the state of a pinned link, or undefined when it is not there. `names` is what the
   * folder contains.
   */
  info(folder: Folder, names: readonly string[], name: string): LinkInfo | undefined {
    const id = this.#ids.get(name);
    const known = id !== undefined && names.includes(name) ? infoOf(linkById(id)) : undefined;
    if (known?.isAttached === true) return known;
    // It is a different link by now, or this process may not ask by id.
    const found = infoOf(openLink(folder, name));
    if (found?.isAttached === true) this.#ids.set(name, found.id);
    else this.#ids.delete(name);
    return found;
  }

  /** Pins a link. */
  pin(link: BpfLink, folder: Folder, name: string): void {
    link.pin(folder, name);
    this.#ids.set(name, link.info().id);
  }

  /** Reports whether the link was attached when it was last looked at, and its pin is gone. */
  isLost(names: readonly string[], name: string): boolean {
    return this.#ids.has(name) && !names.includes(name);
  }

  /** Removes a link that is not needed any more, as `removeLink` does. */
  remove(folder: Folder, name: string): void {
    removeLink(folder, name);
    this.#ids.delete(name);
  }
}

function infoOf(link: BpfLink | undefined): LinkInfo | undefined {
  try {
    return link?.info();
  } finally {
    link?.close();
  }
}

/**
 * Attaches a program. `target` is a descriptor of the cgroup or network namespace, the interface
 * index for tcx, or 0 for iterators.
 */
export function attach(program: BpfProgram, target: number, type: AttachType): BpfLink {
  return new BpfLink(checkedBpf("bpf_link_create", linkCreate(program.fd, target, type, null)));
}

/** From include/uapi/linux/bpf.h. */
const BPF_F_BEFORE = 8;

/**
 * Attaches before all other programs on the interface in that direction (kernel/bpf/mprog.c): what
 * they let pass would not reach a later one.
 */
export function attachFirst(
  program: BpfProgram,
  interfaceIndex: number,
  type: typeof AttachType.tcxIngress | typeof AttachType.tcxEgress,
): BpfLink {
  // struct bpf_link_create_opts (bpf.h of libbpf): sz 0, flags 8.
  const options = new Uint8Array(16);
  const view = new DataView(options.buffer);
  view.setBigUint64(0, 16n, true);
  view.setUint32(8, BPF_F_BEFORE, true);
  const fd = linkCreate(program.fd, interfaceIndex, type, options);
  return new BpfLink(checkedBpf("bpf_link_create", fd));
}

/** BPF_MPROG_MAX, from include/linux/bpf_mprog.h. */
const CHAIN_MAX = 64;

/** Returns the ids of the programs on an interface, in the order in which they run. */
export function chainOf(
  interfaceIndex: number,
  type: typeof AttachType.tcxIngress | typeof AttachType.tcxEgress,
): number[] {
  const ids = new Uint32Array(CHAIN_MAX);
  const number = Uint32Array.of(CHAIN_MAX);
  checkedBpf("bpf_prog_query", progQuery(interfaceIndex, type, 0, new Uint32Array(1), ids, number));
  return [...ids.subarray(0, number[0])];
}

/**
 * Yields all links of the machine, in no particular order. Each is closed when the next is
 * requested.
 */
export function* allLinks(): Generator<BpfLink> {
  const next = new Uint32Array(1);
  for (let id = 0; linkNextId(id, next) === 0; id = next[0] ?? 0) {
    const fd = linkFdById(next[0] ?? 0);
    // It is gone meanwhile.
    if (fd < 0) continue;
    const link = new BpfLink(fd);
    try {
      yield link;
    } finally {
      link.close();
    }
  }
}

/** Detaches every link that has one of these programs. */
export function detachPrograms(programIds: ReadonlySet<number>): void {
  for (const link of allLinks()) {
    const { programId, isAttached } = link.info();
    if (isAttached && programIds.has(programId)) link.detach();
  }
}

/** Opens another descriptor of a link by its id. Returns undefined when it is gone. */
export function linkById(id: number): BpfLink | undefined {
  const fd = linkFdById(id);
  return fd < 0 ? undefined : new BpfLink(fd);
}

/** Returns all sk_lookup links of a network namespace, in no particular order. */
export function skLookupLinks(netnsInode: number): LinkInfo[] {
  const found: LinkInfo[] = [];
  for (const link of allLinks()) {
    const entry = link.info();
    if (entry.type !== BPF_LINK_TYPE_NETNS || entry.attachType !== AttachType.skLookup) continue;
    if (entry.netnsInode === netnsInode) found.push(entry);
  }
  return found;
}
