/** The licences of everything inside the packages: ours, and of what is bundled. */
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

interface Manifest {
  readonly version: string;
  readonly license: string;
  readonly homepage?: string;
  readonly repository?: string | { readonly url: string };
}

/** Something of others that the packages contain. */
export interface Contained {
  readonly name: string;
  readonly version: string;
  /** SPDX. */
  readonly license: string;
  /** Its own text, with who has the copyright. */
  readonly text: string;
  readonly source: string;
}

function readManifest(folder: string): Manifest {
  return JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Manifest;
}

/** Adds the licence in that folder. Throws when there is none. */
function containedAs(what: Omit<Contained, "text">, folder: string): Contained {
  const file = readdirSync(folder).find((entry) => /^licen[cs]e(\.(txt|md))?$/i.test(entry));
  if (file === undefined) throw new Error(`${what.name} has no file with its licence`);
  return { ...what, text: readFileSync(join(folder, file), "utf8").trim() };
}

function contained(name: string): Contained {
  const folder = join("node_modules", name);
  if (!existsSync(folder)) throw new Error(`${folder} is missing: run npm ci`);
  const { version, license, homepage, repository } = readManifest(folder);
  const source = typeof repository === "object" ? repository.url : (repository ?? homepage ?? "");
  return containedAs({ name, version, license, source }, folder);
}

/** Returns the npm packages whose code is in the bundle. */
export function bundledPackages(): Contained[] {
  const { dependencies } = JSON.parse(readFileSync("package.json", "utf8")) as {
    readonly dependencies: Readonly<Record<string, string>>;
  };
  return Object.keys(dependencies).map((name) => contained(name));
}

/** Returns what is compiled into koffi's native code: koffi, and headers with code in them. */
export function nativePackages(): Contained[] {
  const koffi = contained("koffi");
  const headers = ["node-addon-api", "node-api-headers"].map((name) => {
    const version = `as in koffi ${koffi.version}`;
    const what = { name, version, license: "MIT", source: `https://github.com/nodejs/${name}` };
    return containedAs(what, join("node_modules/koffi/vendor", name));
  });
  return [koffi, ...headers];
}

/** Writes them one after another, for a package that has one file for all. */
export function licenceText(contained: readonly Contained[]): string {
  const parts = contained.map(
    ({ name, version, license, source, text }) =>
      `${"=".repeat(72)}\n${name} ${version} (${license})\n${source}\n\n${text}\n`,
  );
  return `This package contains the following software of others.\n\n${parts.join("\n")}`;
}
