/** The file `copyright` of the Debian package, in Debian's format (DEP-5). */
import { readFileSync } from "node:fs";
import { bundledPackages, type Contained, nativePackages } from "./licences.js";
import type { Release } from "./release.js";
import { LIBRARY } from "./stage.js";

interface OfNode {
  /** Its path in the package, without a leading slash. */
  readonly node: string;
  readonly nodeVersion: string;
  /** The file with its licences. */
  readonly notices: string;
}

/** As Debian names the licences that npm packages have by SPDX. */
const debianNames: Readonly<Record<string, string>> = { MIT: "Expat", ISC: "ISC" };

export function copyright(release: Release, { node, nodeVersion, notices }: OfNode): string {
  const ours = `${release.year} the authors of bpf-inet-lookup-manager`;
  const library = LIBRARY;
  const bundled = bundledPackages();
  const native = nativePackages();
  const isc = bundled.find(({ license }) => license === "ISC");
  const parts = [
    "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: bpf-inet-lookup-manager",
    files("*", [ours], "Expat"),
    files(`${library}/dist/src/bundle/*`, [ours, ...holders(bundled)], "Expat and ISC", bundled),
    files(`${library}/node_modules/*`, holders(native), "Expat", native),
    files(
      `${library}/dist/bpf/*`,
      [ours, "2013-2015 Alexei Starovoitov <ast@kernel.org>"],
      "GPL-2.0-only or BSD-2-Clause",
    ) +
      "\nComment: Macros and inline functions of libbpf's headers are compiled into them. Those are\n LGPL-2.1 or BSD-2-Clause; here, the latter.",
    files(`usr/share/doc/ilm/kmod/*`, [ours], "GPL-2.0-only"),
    files(node, ["Node.js contributors"], "Node"),
    `License: Expat\n${indent(withoutHolders(readFileSync("LICENSE", "utf8")))}`,
    `License: ISC\n${indent(withoutHolders(isc?.text ?? ""))}`,
    `License: GPL-2.0-only\n Version 2 of the GNU General Public License, which Debian has in\n ${GPL}.`,
    `License: GPL-2.0-only or BSD-2-Clause\n The programs for the kernel, as you choose: under version 2 of the GNU General Public\n License, which Debian has in ${GPL}, or under this one:\n .\n${indent(readFileSync("LICENSES/BSD-2-Clause.txt", "utf8").trim())}`,
    `License: Node\n Node.js ${nodeVersion} is licensed as /${notices} says, which also has the licences\n of all that it contains.`,
  ];
  return `${parts.join("\n\n")}\n`;
}

/** A paragraph about files, with a comment that names whose code is in them. */
function files(
  path: string,
  copyrights: readonly string[],
  license: string,
  inside: readonly Contained[] = [],
): string {
  const named = inside.map((one) => {
    const name = debianNames[one.license];
    if (name === undefined) throw new Error(`no name in Debian for the licence ${one.license}`);
    return ` ${one.name} ${one.version} (${name}), ${one.source}`;
  });
  const comment = named.length === 0 ? "" : `\nComment: What is inside:\n${named.join("\n")}`;
  return `Files: ${path}\nCopyright: ${copyrights.join("\n ")}\nLicense: ${license}${comment}`;
}

const GPL = "/usr/share/common-licenses/GPL-2";
const HOLDER = /^Copyright (?:\([cC]\) )?(.+)$/gm;

/** Returns who has the copyright, as their licences say. Throws when one does not. */
function holders(inside: readonly Contained[]): string[] {
  return inside.flatMap(({ name, text }) => {
    const found = [...text.matchAll(HOLDER)].map(([, holder = ""]) => plain(holder));
    if (found.length === 0) throw new Error(`the licence of ${name} names nobody`);
    return found.map((holder) => `${holder} (${name})`);
  });
}

/** Without Markdown's links, and with single spaces. */
function plain(text: string): string {
  return text.replace(/\[([^\]]+)\]\([^)]*\)/g, "$1").replace(/ {2,}/g, " ");
}

/** The text of a licence that many have, without its title and who has the copyright. */
function withoutHolders(text: string): string {
  return text
    .split("\n")
    .filter((line) => !/^(MIT License|ISC License|Copyright )/.test(line))
    .join("\n")
    .trim();
}

/** As continuation lines of a field. */
function indent(text: string): string {
  return text
    .split("\n")
    .map((line) => (line.trim() === "" ? " ." : ` ${line.trimEnd()}`))
    .join("\n");
}
