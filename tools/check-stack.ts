/**
 * Checks that no chain of calls of a BPF program needs more stack than the oldest kernels allow
 * that load it: the one at hand may count less (private stacks, from Linux 6.13 on).
 */
import { execFileSync } from "node:child_process";
import { deepestChain, STACK_MAX } from "./stack.js";

/** Up to Linux 6.6, frames count as multiples of 32 bytes, then of 16. */
const units: Readonly<Record<string, number>> = {
  lookup: 32,
  registry: 32,
  listing: 32,
  hook: 32,
  // tcx, and the module's kfunc.
  steer: 16,
  "lookup-kfunc": 16,
};

let tooDeep = 0;
for (const [name, unit] of Object.entries(units)) {
  const object = `dist/bpf/${name}.bpf.o`;
  const disassembly = execFileSync("llvm-objdump", ["-d", "-r", "--no-show-raw-insn", object], {
    encoding: "utf8",
    maxBuffer: 2 ** 26,
  });
  const { depth, frames } = deepestChain(disassembly, unit);
  const chain = `${name}: ${depth} of ${STACK_MAX} bytes: ${frames.join(", ")}`;
  console.log(chain);
  if (depth <= STACK_MAX) continue;
  tooDeep += 1;
  console.log("    remedy: do what needs much of it in a function that is not on this chain");
}
process.exitCode = tooDeep === 0 ? 0 : 1;
