/** Makes a Debian package of an installed tree. */
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { fetchKoffi, fetchNode, nodeVersion } from "./fetched.js";
import { copyright } from "./copyright.js";
import { BYTECODE_FILE } from "../../src/start.js";
import type { Machine } from "./machine.js";
import type { Release } from "./release.js";
import { LIBRARY, stage } from "./stage.js";

/** The name of the package, and of its folders in /usr/lib and /usr/share/doc. */
const NAME = "ilm";
const NODE = `/usr/lib/${NAME}/bin/node`;
/** The licences of Node and of what it contains: too much for the file that says the others. */
const NOTICES = `usr/share/doc/${NAME}/node-notices.gz`;

export interface DebOptions {
  /** How hard dpkg-deb tries, e.g. `["-Zxz"]`. */
  readonly compression: readonly string[];
}

/** Builds the package of one kind of machine into `output`, and returns its path. */
export function buildDeb(
  release: Release,
  machine: Machine,
  output: string,
  { compression }: DebOptions,
): string {
  const version = `${release.version}-1`;
  const path = join(output, `${NAME}_${version}_${machine.debian}.deb`);
  const root = mkdtempSync(join(tmpdir(), "ilm-deb-"));
  try {
    chmodSync(root, 0o755);
    const node = fetchNode(machine);
    install(root, machine, node);
    document(root, release, version);
    writeFileSync(join(root, NOTICES), gzip(readFileSync(join(node, "LICENSE"))));
    control(root, version, machine);
    settleModes(root);
    execFileSync(
      "dpkg-deb",
      ["--root-owner-group", ...compression, "--build", root, `${path}.new`],
      {
        env: { ...process.env, SOURCE_DATE_EPOCH: String(release.time), LC_ALL: "C.UTF-8" },
        stdio: ["ignore", "ignore", "inherit"],
      },
    );
    renameSync(`${path}.new`, path);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
  return path;
}

function install(root: string, machine: Machine, node: string): void {
  stage(root, { NODE, KOFFI: fetchKoffi(machine) });
  // Its symbol table is a seventh of it. llvm-strip does it for every kind of machine.
  execFileSync("llvm-strip", [
    "--strip-unneeded",
    "-o",
    join(root, NODE),
    join(node, "bin", "node"),
  ]);
  chmodSync(join(root, NODE), 0o755);
  // V8 does not make the same bytes twice, and compiles what it finds none for.
  rmSync(join(root, LIBRARY, "dist/src/bundle", BYTECODE_FILE));
}

/** What /usr/share/doc has in Debian. */
function document(root: string, release: Release, version: string): void {
  // postinst copies the sample: contrib/debian/postinst says why.
  renameSync(join(root, "etc/ilm/ilm.yaml"), join(root, "usr/share", NAME, "ilm.yaml"));
  rmSync(join(root, "etc"), { recursive: true });
  const folder = join(root, "usr/share/doc", NAME);
  rmSync(join(folder, "LICENSE"));
  rmSync(join(folder, "LICENSES"), { recursive: true });
  writeFileSync(
    join(folder, "copyright"),
    copyright(release, { node: NODE.slice(1), nodeVersion, notices: NOTICES }),
  );
  const changes = readFileSync(join(folder, "CHANGELOG.md"));
  unlinkSync(join(folder, "CHANGELOG.md"));
  const readme = join(folder, "README.md");
  const text = readFileSync(readme, "utf8");
  writeFileSync(
    readme,
    text.replaceAll("](CHANGELOG.md)", "](changelog.gz)").replaceAll("](LICENSE)", "](copyright)"),
  );
  writeFileSync(join(folder, "changelog.gz"), gzip(changes));
  const entry = `${NAME} (${version}) unstable; urgency=medium

  * ${release.version}: /usr/share/doc/${NAME}/changelog.gz says what is new.

 -- ${release.maintainer}  ${new Date(release.time * 1000).toUTCString().replace("GMT", "+0000")}
`;
  writeFileSync(join(folder, "changelog.Debian.gz"), gzip(Buffer.from(entry)));
  for (const page of walk(join(root, "usr/share/man"))) {
    writeFileSync(`${page}.gz`, gzip(readFileSync(page)));
    unlinkSync(page);
  }
  const overrides = join(root, "usr/share/lintian/overrides");
  mkdirSync(overrides, { recursive: true });
  copyFileSync("contrib/debian/lintian-overrides", join(overrides, NAME));
  // zsh searches this one.
  const zsh = join(root, "usr/share/zsh");
  if (existsSync(join(zsh, "site-functions"))) {
    renameSync(join(zsh, "site-functions"), join(zsh, "vendor-completions"));
  }
}

/** Without a time, which would make every build another. */
function gzip(content: Buffer): Buffer {
  return gzipSync(content, { level: 9 });
}

function control(root: string, version: string, { debian }: Machine): void {
  const folder = join(root, "DEBIAN");
  const size = Math.ceil(walk(root).reduce((sum, file) => sum + lstatSync(file).size, 0) / 1024);
  mkdirSync(folder);
  const template = readFileSync("contrib/debian/control", "utf8");
  const fields = { VERSION: version, ARCHITECTURE: debian, SIZE: String(size) };
  const text = Object.entries(fields).reduce(
    (before, [name, value]) => before.replaceAll(`@${name}@`, value),
    template,
  );
  writeFileSync(join(folder, "control"), text);
  for (const script of ["postinst", "prerm", "postrm"]) {
    cpSync(join("contrib/debian", script), join(folder, script));
    chmodSync(join(folder, script), 0o755);
  }
  const sums = walk(root)
    .filter((file) => !file.startsWith(folder))
    .filter((file) => lstatSync(file).isFile())
    .map((file) => file.slice(root.length + 1))
    .toSorted();
  const text5 = execFileSync("md5sum", sums, { cwd: root, maxBuffer: 2 ** 24 });
  writeFileSync(join(folder, "md5sums"), text5);
}

/** Whatever umask the builder has. */
function settleModes(root: string): void {
  for (const entry of readdirSync(root, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isDirectory()) chmodSync(path, 0o755);
    if (entry.isFile()) chmodSync(path, lstatSync(path).mode & 0o111 ? 0o755 : 0o644);
  }
}

function walk(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name));
}
