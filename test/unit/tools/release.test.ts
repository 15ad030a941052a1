// Goal: a release is one command, which says what is wrong and then changes nothing. Its git is
// real; make and .ci/run are stand-ins, as each takes minutes.
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { refuseUnlessReady } from "../../../tools/release.js";

let folder: string;

function write(name: string, text: string, mode = 0o644): void {
  const path = join(folder, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  chmodSync(path, mode);
}

function read(name: string): string {
  return readFileSync(join(folder, name), "utf8");
}

function git(...words: readonly string[]): string {
  return execFileSync("git", words, { cwd: folder, encoding: "utf8" }).trim();
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ilm-release-"));
  const own = ["package.json", "package-lock.json", "CHANGELOG.md"];
  const module = ["kmod/ilm_lookup.c", "kmod/dkms.conf", "kmod/README.md"];
  for (const name of [...own, ...module]) write(name, readFileSync(name, "utf8"));
  write(".gitignore", "dist\nbin\n");
  write(".ci/run", "#!/bin/sh\nexit 0\n", 0o755);
  const packaged = "mkdir -p dist/packages && echo a >dist/packages/ilm_9.8.7-1_amd64.deb";
  write("bin/make", `#!/bin/sh\n[ "$1" != package ] || { ${packaged}; }\n`, 0o755);
  write("CHANGELOG.md", "# Changes\n\n## 9.8.7 (unreleased)\n\nAll.\n");
  git("init", "--quiet", "--initial-branch=main");
  git("config", "user.name", "a maintainer");
  git("config", "user.email", "maintainer@example.org");
  git("add", ".");
  git("commit", "--quiet", "--message", "all");
});

afterEach(() => {
  rmSync(folder, { recursive: true });
});

function release(version: string): { readonly status: number | null; readonly text: string } {
  const tool = join(process.cwd(), "dist/tools/release.js");
  const path = `${folder}/bin:${process.env["PATH"] ?? ""}`;
  const options = { cwd: folder, encoding: "utf8", env: { ...process.env, PATH: path } } as const;
  const { status, stdout, stderr } = spawnSync(process.execPath, [tool, version], options);
  return { status, text: stdout + stderr };
}

test("it writes the version everywhere, commits, packages and tags", () => {
  expect(release("9.8.7")).toMatchObject({ status: 0 });
  expect(git("describe", "--tags")).toBe("v9.8.7");
  expect(git("log", "-1", "--format=%s")).toBe("Release 9.8.7");
  expect(git("status", "--porcelain")).toBe("");
  expect(JSON.parse(read("package.json"))).toMatchObject({ version: "9.8.7" });
  const lock = JSON.parse(read("package-lock.json")) as { packages: Record<string, object> };
  expect(lock).toMatchObject({ version: "9.8.7" });
  expect(lock.packages[""]).toMatchObject({ version: "9.8.7" });
  expect(read("kmod/dkms.conf")).toContain('PACKAGE_VERSION="9.8.7"');
  expect(read("kmod/ilm_lookup.c")).toContain('MODULE_VERSION("9.8.7")');
  expect(read("kmod/README.md")).not.toMatch(/ilm-lookup[-/](?!9\.8\.7)\d/);
  expect(read("CHANGELOG.md")).toMatch(/^## 9\.8\.7 \(\d{4}-\d\d-\d\d\)$/m);
  const check = ["--check", "--quiet", "SHA256SUMS"];
  execFileSync("sha256sum", check, { cwd: join(folder, "dist/packages") });
});

test.each([
  ["its tests fail", ".ci/run", "exit 1"],
  ["it cannot be packaged", "bin/make", '[ "$1" != package ]'],
  ["there is no package afterwards", "bin/make", "exit 0"],
  ["it is ended during its tests", ".ci/run", "kill -TERM $PPID; exec sleep 600"],
  ["it is interrupted during its tests", ".ci/run", "kill -INT $PPID; sleep 600; sleep 600"],
  [
    "it is ended and a step ends well all the same",
    ".ci/run",
    "kill -HUP $PPID; trap '' HUP; sleep 1",
  ],
])("when %s the checkout is as it was", (_, program, does) => {
  write(program, `#!/bin/sh\n${does}\n`, 0o755);
  if (program === ".ci/run") git("commit", "--quiet", "--all", "--message", "fails");
  const before = git("rev-parse", "HEAD");
  const { status, text } = release("9.8.7");
  expect(status).toBe(1);
  expect(text).toContain("there is no release, and the checkout is as it was");
  expect(git("rev-parse", "HEAD")).toBe(before);
  expect(git("status", "--porcelain")).toBe("");
  expect(git("tag")).toBe("");
});

test("it needs a section of what is new", () => {
  const { status, text } = release("9.8.8");
  expect(status).toBe(1);
  expect(text).toContain('has no section "## 9.8.8 (unreleased)": say there what is new');
  expect(git("status", "--porcelain")).toBe("");
});

const ready = { branch: "main", changed: "", tagged: false, now: "1.9.0" };

test.each([
  ["1.10", {}, "is no version: write MAJOR.MINOR.PATCH"],
  ["v1.10.0", {}, "is no version"],
  ["01.10.0", {}, "is no version"],
  ["1.8.9", {}, "1.8.9 comes before 1.9.0"],
  ["1.10.0", { tagged: true }, "is tagged already"],
  ["1.10.0", { branch: "topic" }, "this is topic"],
  ["1.10.0", { changed: " M README.md" }, "commit or drop first"],
])("%s of %o is refused: %s", (version, differs, reason) => {
  expect(() => {
    refuseUnlessReady(version, { ...ready, ...differs });
  }).toThrow(reason);
});

test.each(["1.9.0", "1.9.1", "1.10.0", "2.0.0"])("%s may follow 1.9.0", (version) => {
  refuseUnlessReady(version, ready);
});
