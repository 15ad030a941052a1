// Goal: `make install` puts the program, its man pages and completions where they are looked for,
// and `make uninstall` takes all of them away, but for the configuration.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";

let folder: string;

function install(action: "install" | "uninstall"): void {
  const env = { ...process.env, PREFIX: "/usr/local", DESTDIR: folder };
  execFileSync(resolve("tools/install.sh"), [action], { env, stdio: "pipe" });
}

function installed(): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map(({ parentPath, name }) => join(parentPath, name).slice(folder.length))
    .toSorted();
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ilm-install-"));
  install("install");
});

afterAll(() => {
  rmSync(folder, { recursive: true });
});

test("each man page is in the folder of its section", () => {
  const pages = readdirSync("man");
  expect(pages).toContain("ilm.yaml.5");
  expect(pages).toContain("ilm.1");
  for (const page of pages) {
    const at = `usr/local/share/man/man${page.slice(-1)}/${page}`;
    expect(readFileSync(join(folder, at), "utf8"), page).toBe(
      readFileSync(join("man", page), "utf8"),
    );
  }
});

test("the program works from there", () => {
  const ilm = join(folder, "usr/local/bin/ilm");
  expect(execFileSync(ilm, ["check", "tcp:80=127.0.1.10"], { encoding: "utf8" })).toBe(
    "OK: 0 services, 1 mapping\n",
  );
});

test("every link of the documents leads to a file that is there, too", () => {
  const documents = installed().filter((path) => path.endsWith(".md"));
  const dead = documents.flatMap((path) => {
    const text = readFileSync(join(folder, path), "utf8").replace(/```.*?```/gs, "");
    return [...text.matchAll(/\]\(([^)#\s:]+)(?:#[^)]*)?\)/g)]
      .map(([, to = ""]) => join(dirname(path), to))
      .filter((to) => !existsSync(join(folder, to)))
      .map((to) => `${path}: ${to}`);
  });
  expect(documents.length).toBeGreaterThan(20);
  expect(dead).toEqual([]);
});

test.each(["relative", "./usr", "~/ilm"])("the prefix %s is refused", (PREFIX) => {
  const env = { ...process.env, PREFIX, DESTDIR: `${folder}/` };
  const { status, stderr } = spawnSync(resolve("tools/install.sh"), ["install"], {
    env,
    encoding: "utf8",
  });
  expect(status).toBe(2);
  expect(stderr).toContain("is no absolute path");
});

test("nothing is left after uninstall but the configuration", () => {
  expect(installed().length).toBeGreaterThan(100);
  install("uninstall");
  expect(installed()).toEqual(["/etc/ilm/ilm.yaml"]);
});
