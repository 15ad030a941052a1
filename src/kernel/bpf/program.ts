/** Programs: opened by pin or by id, and run. */
import koffi from "koffi";
import { libbpfFunction, checkedBpf } from "../ffi.js";
import type { Folder } from "../folder.js";
import { close } from "../libc.js";
import { Handle, duplicate, info, open, objInfo, textAt } from "./handle.js";
import { BpfMap } from "./map.js";

const mapFdById = libbpfFunction<[number], number>("int bpf_map_get_fd_by_id(uint32_t id)");

const progFdById = libbpfFunction<[number], number>("int bpf_prog_get_fd_by_id(uint32_t id)");

const progBindMap = libbpfFunction<[number, number, null], number>(
  "int bpf_prog_bind_map(int program, int map, const void *options)",
);

const testRun = libbpfFunction<[number, Uint8Array], number>(
  "int bpf_prog_test_run_opts(int program, void *options)",
);

/**
 * Buffers whose addresses a running call has. V8 may collect a buffer after its last use in
 * JavaScript, and an address is none.
 */
const held = new Set<Uint8Array>();

/** Runs a program on buffers that the options have the addresses of. */
function runHolding(fd: number, options: Uint8Array, buffers: readonly Uint8Array[]): void {
  for (const buffer of buffers) held.add(buffer);
  try {
    checkedBpf("bpf_prog_test_run", testRun(fd, options));
  } finally {
    for (const buffer of buffers) held.delete(buffer);
  }
}

/** A loaded program (struct bpf_prog_info: type 0, id 4). */
export class BpfProgram extends Handle {
  /** Returns the same program with a descriptor of its own. */
  duplicate(): BpfProgram {
    return new BpfProgram(duplicate(this.fd));
  }

  get id(): number {
    return info(this.fd, 232).getUint32(4, true);
  }

  /**
   * Runs BPF_PROG_TEST_RUN with a context and no data. Returns the program's result and the context
   * afterwards. `averageNs` is the mean of `repeat` runs, as measured by the kernel, in
   * nanoseconds.
   */
  testRun(
    context: Uint8Array,
    repeat = 0,
  ): { result: number; context: Uint8Array; averageNs: number } {
    // struct bpf_test_run_opts (bpf.h of libbpf): sz 0, data_in 8, data_out 16, sizes 24 28, ctx_in
    // 32, ctx_out 40, sizes 48 52, retval 56, repeat 60, duration 64, flags 68, cpu 72, batch_size
    // 76.
    const options = new Uint8Array(80);
    const view = new DataView(options.buffer);
    const out = new Uint8Array(context.byteLength);
    const input = context.slice();
    view.setBigUint64(0, 80n, true);
    view.setBigUint64(32, koffi.address(input), true);
    view.setBigUint64(40, koffi.address(out), true);
    view.setUint32(48, context.byteLength, true);
    view.setUint32(52, out.byteLength, true);
    view.setInt32(60, repeat, true);
    runHolding(this.fd, options, [input, out]);
    return {
      result: view.getUint32(56, true),
      context: out,
      averageNs: view.getUint32(64, true),
    };
  }

  /**
   * Runs BPF_PROG_TEST_RUN with a packet, from its link header on, as if it were on lo of this
   * network namespace. Returns the program's result.
   */
  testRunOn(packet: Uint8Array): number {
    const options = new Uint8Array(80);
    const view = new DataView(options.buffer);
    view.setBigUint64(0, 80n, true);
    view.setBigUint64(8, koffi.address(packet), true);
    view.setUint32(24, packet.byteLength, true);
    runHolding(this.fd, options, [packet]);
    return view.getUint32(56, true);
  }
}

export function openProgram(folder: Folder, name: string): BpfProgram | undefined {
  const fd = open(folder, name);
  return fd === undefined ? undefined : new BpfProgram(fd);
}

/** An upper limit for the number of maps that a program of ours has. */
const PROGRAM_MAPS_MAX = 64;

/**
 * Opens the program's first map whose name ends with `ending`. The caller closes it. Returns
 * undefined when the program has no such map or is gone.
 */
export function mapOfProgram(programId: number, ending: string): BpfMap | undefined {
  const fd = progFdById(programId);
  if (fd < 0) return undefined;
  const ids = new Uint32Array(PROGRAM_MAPS_MAX);
  // struct bpf_prog_info: nr_map_ids 52, map_ids 56. The structure itself says what to return.
  const bytes = new Uint8Array(232);
  const view = new DataView(bytes.buffer);
  view.setUint32(52, ids.length, true);
  view.setBigUint64(56, koffi.address(ids), true);
  try {
    checkedBpf("bpf_obj_get_info_by_fd", objInfo(fd, bytes, Uint32Array.of(bytes.length)));
  } finally {
    close(fd);
  }
  for (const id of ids.subarray(0, Math.min(view.getUint32(52, true), ids.length))) {
    const mapFd = mapFdById(id);
    if (mapFd < 0) continue;
    const map = new BpfMap(mapFd);
    if (map.name.endsWith(ending)) return map;
    map.close();
  }
  return undefined;
}

/**
 * Returns the constants that the program was loaded with (its map .rodata), or undefined when it
 * has none or is gone.
 */
export function constantsOf(programId: number): Uint8Array | undefined {
  const map = mapOfProgram(programId, ".rodata");
  try {
    return map?.lookup(new Uint8Array(4));
  } finally {
    map?.close();
  }
}

/**
 * Binds a map to a program (BPF_PROG_BIND_MAP): the map then lives as long as the program, which
 * need not read it, and can be found through it.
 */
export function bindMap(program: BpfProgram, map: BpfMap): void {
  checkedBpf("bpf_prog_bind_map", progBindMap(program.fd, map.fd, null));
}

/** Opens a program by its id. The caller closes it. Returns undefined when it is gone. */
export function programById(id: number): BpfProgram | undefined {
  const fd = progFdById(id);
  return fd < 0 ? undefined : new BpfProgram(fd);
}

/**
 * Returns the name the program was loaded with, at most 15 characters, or an empty string when it
 * is gone (struct bpf_prog_info: name 64).
 */
export function programName(id: number): string {
  const program = programById(id);
  if (program === undefined) return "";
  const view = info(program.fd, 232);
  program.close();
  return textAt(view, 64);
}
