/**
 * Writes src/abi/generated.ts from the BTF of the built BPF objects (structs) and from the #defines
 * and enums of bpf/abi.h.
 * `--check` writes nothing and fails when the file is stale. Needs bpftool.
 */
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";

const objects = ["registry", "lookup", "steer", "listing"].map((name) => `dist/bpf/${name}.bpf.o`);
const target = "src/abi/generated.ts";

interface BtfMember {
  name: string;
  type_id: number;
  bits_offset: number;
}
interface BtfType {
  id: number;
  kind: string;
  name: string;
  type_id?: number;
  size?: number;
  nr_elems?: number;
  members?: BtfMember[];
  values?: { name: string; val: number }[];
}

type Kind = "u8" | "u16" | "u32" | "u64" | "bytes";
interface Field {
  name: string;
  kind: Kind;
  offset: number;
  size: number;
}

const camel = (name: string): string =>
  name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
const pascal = (name: string): string => camel(`_${name}`);

/**
 * Adds the layouts of one object's `struct ilm_*` and bpf_sk_lookup to `structs`, with nested
 * structs and unions flattened. Throws when two objects disagree.
 */
function readObject(path: string, structs: Map<string, { size: number; fields: Field[] }>): void {
  const dump = JSON.parse(
    execFileSync("bpftool", ["-j", "btf", "dump", "file", path], { encoding: "utf8" }),
  ) as { types: BtfType[] };
  const types = new Map(dump.types.map((type) => [type.id, type]));
  const resolve = (id: number): BtfType => {
    let type = types.get(id);
    while (type !== undefined && ["TYPEDEF", "VOLATILE", "CONST"].includes(type.kind)) {
      type = types.get(type.type_id ?? 0);
    }
    if (type === undefined) throw new Error(`${path}: BTF type ${id} is missing`);
    return type;
  };
  const fieldsOf = (type: BtfType, base: number): Field[] =>
    (type.members ?? []).flatMap((member): Field[] => {
      const offset = base + member.bits_offset / 8;
      const inner = resolve(member.type_id);
      if (inner.kind === "STRUCT" || inner.kind === "UNION") return fieldsOf(inner, offset);
      // Pointers (bpf_sk_lookup.sk) and padding mean nothing to user space.
      if (inner.kind === "PTR" || member.name === "zero" || member.name === "(anon)") return [];
      const name = camel(member.name);
      if (inner.kind === "ARRAY") {
        const size = (inner.nr_elems ?? 0) * (resolve(inner.type_id ?? 0).size ?? 0);
        return [{ name, kind: "bytes", offset, size }];
      }
      if (inner.kind !== "INT") throw new Error(`${path}: ${member.name} is a ${inner.kind}`);
      const size = inner.size ?? 0;
      return [{ name, kind: `u${size * 8}` as Kind, offset, size }];
    });
  for (const type of dump.types) {
    if (type.kind !== "STRUCT") continue;
    if (!type.name.startsWith("ilm_") && type.name !== "bpf_sk_lookup") continue;
    // A struct without members is only a declaration, in an object that does not look inside.
    if ((type.members ?? []).length === 0) continue;
    const layout = { size: type.size ?? 0, fields: fieldsOf(type, 0) };
    const known = structs.get(type.name);
    if (known !== undefined && JSON.stringify(known) !== JSON.stringify(layout)) {
      throw new Error(`${path}: struct ${type.name} is laid out differently in another object`);
    }
    structs.set(type.name, layout);
  }
}

function readHeader(text: string): string[] {
  const lines: string[] = [];
  for (const [, name, value] of text.matchAll(
    /^#define (ILM_[A-Z0-9_]+) (0x[0-9a-f]+|\d+)U?\b/gm,
  )) {
    lines.push(`export const ${name} = ${value};`);
  }
  for (const [, name, body] of text.matchAll(/^enum ilm_([a-z_]+) \{([^}]*)\}/gm)) {
    const values = (body ?? "")
      .replaceAll(/\/\*.*?\*\//gs, "")
      .split(",")
      .map((part) => part.trim())
      .filter((part) => part !== "");
    lines.push(`export const ${pascal(name ?? "")}Code = {`);
    values.forEach((value, index) => {
      lines.push(
        `  ${value.replace(new RegExp(`^ILM_${(name ?? "").toUpperCase()}_`), "")}: ${index},`,
      );
    });
    lines.push("} as const;");
  }
  return lines;
}

function typeOf(kind: Kind): string {
  if (kind === "bytes") return "Uint8Array";
  return kind === "u64" ? "bigint" : "number";
}

function reader(field: Field): string {
  const at = field.offset === 0 ? "at" : `at + ${field.offset}`;
  switch (field.kind) {
    case "bytes":
      return `bytesAt(view, ${at}, ${field.size})`;
    case "u8":
      return `view.getUint8(${at})`;
    case "u16":
      return `view.getUint16(${at}, true)`;
    case "u32":
      return `view.getUint32(${at}, true)`;
    case "u64":
      return `view.getBigUint64(${at}, true)`;
  }
}

function writer(field: Field): string {
  const at = field.offset === 0 ? "at" : `at + ${field.offset}`;
  switch (field.kind) {
    case "bytes":
      return `putBytes(view, ${at}, ${field.size}, value.${field.name});`;
    case "u8":
      return `view.setUint8(${at}, value.${field.name});`;
    case "u16":
      return `view.setUint16(${at}, value.${field.name}, true);`;
    case "u32":
      return `view.setUint32(${at}, value.${field.name}, true);`;
    case "u64":
      return `view.setBigUint64(${at}, value.${field.name}, true);`;
  }
}

function render(): string {
  const structs = new Map<string, { size: number; fields: Field[] }>();
  for (const path of objects) readObject(path, structs);
  const out = [
    "/* Generated by tools/generate-abi.ts from the BPF objects' BTF and bpf/abi.h. Do not edit. */",
    'import { bytesAt, putBytes, type Layout } from "./layout.js";',
    "",
    ...readHeader(readFileSync("bpf/abi.h", "utf8")),
    "",
  ];
  for (const [name, { size, fields }] of [...structs].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const type = pascal(name.replace(/^ilm_/, ""));
    out.push(`export interface ${type} {`);
    for (const field of fields) out.push(`  ${field.name}: ${typeOf(field.kind)};`);
    out.push("}", "");
    out.push(`export const ${camel(name.replace(/^ilm_/, ""))}Layout: Layout<${type}> = {`);
    out.push(`  size: ${size},`, `  read: (view, at) => ({`);
    for (const field of fields) out.push(`    ${field.name}: ${reader(field)},`);
    out.push("  }),", "  write: (view, at, value) => {");
    for (const field of fields) out.push(`    ${writer(field)}`);
    out.push("  },", "};", "");
  }
  const raw = out.join("\n");
  return execFileSync("node_modules/.bin/oxfmt", ["--stdin-filepath", target], {
    encoding: "utf8",
    input: raw,
  });
}

const text = render();
let current = "";
try {
  current = readFileSync(target, "utf8");
} catch (error) {
  if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
}
if (process.argv.includes("--check")) {
  if (text !== current) {
    console.error(`${target} is stale; run: make generate`);
    process.exitCode = 1;
  }
} else if (text !== current) {
  // Writing only what changed lets a build know whether to compile again.
  writeFileSync(target, text);
}
