/**
 * The kernel's variables that our programs read where the running kernel tells their addresses.
 * libbpf takes them for resolvable once the kernel's BTF names them; the verifier refuses the
 * program when the kernel's symbol table lacks them (kernel/bpf/verifier.c, check_pseudo_btf_id),
 * as without CONFIG_KALLSYMS_ALL.
 */
import { closeSync, openSync, readSync } from "node:fs";
import { unless } from "../folder.js";

/** Those of bpf/softirq.h; a kernel has one of them at most. */
const variables: readonly string[] = ["__preempt_count", "pcpu_hot"];

/** Read in parts: where the kernel orders symbols by offset, these are among the first. */
const PART = 1 << 16;

let known: ReadonlySet<string> | undefined;

/** Returns those of `variables` that the kernel's symbol table has; none if it is kept from us. */
function resolvable(): ReadonlySet<string> {
  if (known !== undefined) return known;
  const found = new Set<string>();
  const file = unless(["ENOENT", "EACCES", "EPERM"], () => openSync("/proc/kallsyms", "r"));
  if (file === undefined) return (known = found);
  try {
    const part = Buffer.alloc(PART);
    let rest = "";
    while (found.size === 0) {
      const length = readSync(file, part);
      if (length === 0) break;
      const lines = (rest + part.toString("latin1", 0, length)).split("\n");
      rest = lines.pop() ?? "";
      // An address, a type, a name; a module's symbol has more.
      const names = new Set(lines.map((line) => line.slice(line.lastIndexOf(" ") + 1)));
      for (const name of variables.filter((one) => names.has(one))) found.add(name);
    }
  } finally {
    closeSync(file);
  }
  return (known = found);
}

/**
 * Gives the variables that the running kernel cannot resolve another name in an object file, which
 * no kernel has, so that libbpf leaves them out as it does with any weak symbol that is missing.
 */
export function renameUnresolvable(bytes: Buffer): void {
  const places = variables.flatMap((name) =>
    placesOf(bytes, name).map((place) => ({ name, place })),
  );
  if (places.length === 0) return;
  const has = resolvable();
  const wrong = places.filter(({ name }) => !has.has(name));
  for (const { name, place } of wrong) bytes.write("_", place + name.length - 1, "latin1");
}

/** Finds where a name stands in a table of strings, of ELF or of BTF. */
function placesOf(bytes: Buffer, name: string): number[] {
  const text = `\0${name}\0`;
  const places: number[] = [];
  for (let at = bytes.indexOf(text); at !== -1; at = bytes.indexOf(text, at + 1)) {
    places.push(at + 1);
  }
  return places;
}
