/** The file that `ilm adopt` writes, and by which it knows again what it has done. */
import { createHash } from "node:crypto";
import { basename, dirname, resolve } from "node:path";
import { loadDesired } from "../control/desired.js";
import { IlmError } from "../errors.js";
import { Folder } from "../kernel/folder.js";
import type { Prefix } from "../model/address.js";
import type { RuleSet } from "../model/rules.js";
import type { KnownService } from "./facts.js";
import { HOLD, publishedText } from "./text.js";

const FIRST =
  "# Written by `ilm adopt`. Change it as you like: it is yours then, and adopt leaves it alone.";

/** Returns the whole file: a head by which it is known again, and the configuration. */
export function fileText(configuration: string): string {
  return `${FIRST}\n# sha256: ${digestOf(configuration)}\n${configuration}`;
}

function digestOf(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/** Reports whether this is what adopt has written, and nobody has changed. */
export function isUnchanged(text: string): boolean {
  const [first, second = ""] = text.split("\n", 2);
  if (first !== FIRST) return false;
  const rest = text.slice(FIRST.length + 1 + second.length + 1);
  return second === `# sha256: ${digestOf(rest)}`;
}

export interface AdoptFile {
  readonly path: string;
  /** The services that an earlier run has written; empty without a file. */
  readonly known: readonly KnownService[];
  readonly exists: boolean;
  /** The /48 that the file names; null when it names none. */
  readonly ula: Prefix | null;
}

/** Reads the file of an earlier run. Throws USAGE for one that somebody else has written. */
export async function readAdoptFile(given: string): Promise<AdoptFile> {
  const path = resolve(given);
  const text = readIn(path);
  if (text === undefined) return { path, known: [], exists: false, ula: null };
  if (!isUnchanged(text)) {
    throw new IlmError(
      "USAGE",
      text.startsWith(FIRST)
        ? `${path} has been changed since \`ilm adopt\` wrote it`
        : `${path} exists, and \`ilm adopt\` did not write it`,
      {
        remedy:
          "Nothing was changed. Write `-f FILE` with another name, or add services to it by hand: `ilm adopt --dry-run -f /tmp/new.yaml` prints them.",
      },
    );
  }
  const { file } = await loadDesired({ paths: [path], mappings: [] });
  return { path, known: knownServices(file.read()), exists: true, ula: file.head.ula ?? null };
}

/** Returns the services of a configuration with the ports that lead to them. */
export function knownServices({ services, mappings }: RuleSet): KnownService[] {
  return services.flatMap(({ name, owner, addresses, mptcp }) => {
    if (name === HOLD) return [];
    const ports = new Map<string, { protocol: "tcp" | "udp"; port: number }>();
    for (const { protocol, ports: ranges, to, on } of mappings) {
      if (on.length > 0 || !to.some(({ service }) => service === name)) continue;
      for (const { first } of ranges) {
        ports.set(`${protocol} ${first}`, { protocol, port: first });
      }
    }
    return {
      name,
      unit: owner?.unit ?? null,
      user: owner?.user === undefined ? null : String(owner.user),
      addresses,
      publish: publishedText([...ports.values()]),
      mptcpOff: mptcp === "off",
    };
  });
}

function readIn(path: string): string | undefined {
  const folder = Folder.open(dirname(path));
  try {
    return folder?.readText(basename(path));
  } finally {
    folder?.close();
  }
}

/** Opens the folder of a file, and makes it when it does not exist. */
function folderOf(path: string): Folder {
  const place = dirname(path);
  const folder = Folder.open(place);
  if (folder !== undefined) return folder;
  const around = Folder.open(dirname(place));
  if (around === undefined) {
    throw new IlmError("NOT_FOUND", `the folder ${dirname(place)} does not exist`, {
      remedy: `Make it, or write -f FILE with another one.`,
    });
  }
  try {
    return around.makeFolder(basename(place), 0o755);
  } finally {
    around.close();
  }
}

/** Replaces the file in one step. */
export async function writeAdoptFile(path: string, configuration: string): Promise<void> {
  const folder = folderOf(path);
  try {
    await folder.replaceText(basename(path), fileText(configuration), 0o644);
  } finally {
    folder.close();
  }
}

/** Removes the file; what it said has been undone. */
export function removeAdoptFile(path: string): void {
  const folder = Folder.open(dirname(path));
  try {
    folder?.remove(basename(path));
  } finally {
    folder?.close();
  }
}
