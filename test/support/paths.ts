/** Where things are in the checkout and on the machine. */
import { fileURLToPath } from "node:url";
import { existsSync } from "node:fs";
import { join } from "node:path";

/** The folder of the checkout, with a slash at its end. */
export const root = fileURLToPath(new URL("../../", import.meta.url));

export const ilmCommand = `${root}bin/ilm`;
export const builtRoot = `${root}dist/`;
export const commandHost = `${builtRoot}test/support/command-host.js`;
export const ilmUnit = `${root}contrib/systemd/ilm.service`;
export const documents = `${root}docs`;
export const exampleFolder = `${root}examples`;
/**
 * The distribution's interpreter starts faster than the shims that version managers put first in
 * PATH.
 */
export const python = existsSync("/usr/bin/python3") ? "/usr/bin/python3" : "python3";
/** Where ilm pins what it loads, one folder per network namespace. */
export const pinRoot = "/sys/fs/bpf/ilm";
export const lockRoot = "/run/ilm";

export function script(name: string): string {
  return `${root}test/support/python/${name}`;
}

/** What starts the tools of a host, in a shell. */
export function hostScript(name: string): string {
  return `${root}test/support/hosts/${name}.sh`;
}

/** Where tools/unpack-hosts.sh unpacks what hosts have beside ilm. */
export const hostsTree = join(
  process.env["ILM_HOSTS_CACHE"] ??
    join(process.env["XDG_CACHE_HOME"] ?? "/var/cache", "ilm-hosts"),
  "tree",
);
