/** Grace periods: waiting until no program reads what was active before. */
import { checkedBpf } from "../ffi.js";
import { close } from "../libc.js";
import { mapCreate, BPF_MAP_TYPE_ARRAY, mapUpdate } from "./handle.js";
import { UpdateFlag } from "./map.js";

const BPF_MAP_TYPE_ARRAY_OF_MAPS = 12;

/**
 * Waits, some milliseconds, until every BPF program that was running at the time of the call has
 * ended. An update of a map of maps waits for exactly that before it returns (kernel/bpf/syscall.c,
 * maybe_wait_bpf_programs), and is the only call that promises it.
 */
export function waitForPrograms(): void {
  const inner = checkedBpf("bpf_map_create", mapCreate(BPF_MAP_TYPE_ARRAY, "", 4, 4, 1, null));
  try {
    // struct bpf_map_create_opts (bpf.h of libbpf): sz 0, BTF 8 to 23, inner_map_fd 24.
    const options = new Uint8Array(48);
    const view = new DataView(options.buffer);
    view.setBigUint64(0, 48n, true);
    view.setUint32(24, inner, true);
    const outer = checkedBpf(
      "bpf_map_create",
      mapCreate(BPF_MAP_TYPE_ARRAY_OF_MAPS, "", 4, 4, 1, options),
    );
    try {
      const value = new Uint8Array(Uint32Array.of(inner).buffer);
      checkedBpf("bpf_map_update_elem", mapUpdate(outer, new Uint8Array(4), value, UpdateFlag.any));
    } finally {
      close(outer);
    }
  } finally {
    close(inner);
  }
}
