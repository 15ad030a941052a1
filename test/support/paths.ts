/** Where things are in the checkout and on the machine. */
import { fileURLToPath } from "node:url";
import { existsSync } from "node:fs";

const root = fileURLToPath(new URL("../../", import.meta.url));

export const ilmCommand = `${root}bin/ilm`;
export const builtRoot = `${root}dist/`;
export const commandHost = `${builtRoot}test/support/command-host.js`;
export const exampleFolder = `${root}examples`;
/** The distribution's interpreter starts faster than the shims that version managers put first in PATH. */
export const python = existsSync("/usr/bin/python3") ? "/usr/bin/python3" : "python3";
/** Where ilm pins what it loads, one folder per network namespace. */
export const pinRoot = "/sys/fs/bpf/ilm";
export const lockRoot = "/run/ilm";

export function script(name: string): string {
  return `${root}test/support/python/${name}`;
}
