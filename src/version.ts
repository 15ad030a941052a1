/** The version of ilm, from the package it was installed with, and its build. */
import { readFileSync } from "node:fs";

/**
 * Reads the version from package.json. Searches upwards, so that sources, compiled files and an
 * installed package all find the same file.
 */
function readVersion(): string {
  for (let folder = new URL("./", import.meta.url); ; folder = new URL("../", folder)) {
    const version = versionIn(new URL("package.json", folder));
    if (version !== null) return version;
    if (folder.pathname === "/") throw new Error("package.json of ilm was not found");
  }
}

function versionIn(file: URL): string | null {
  const text = textOf(file);
  if (text === null) return null;
  const manifest: unknown = JSON.parse(text);
  if (typeof manifest !== "object" || manifest === null) return null;
  if (!("name" in manifest) || manifest.name !== "bpf-inet-lookup-manager") return null;
  return "version" in manifest && typeof manifest.version === "string" ? manifest.version : null;
}

/** Returns the text of a file, or null when there is no such file. */
function textOf(file: URL): string | null {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
    throw error;
  }
}

/**
 * The name of the file that tools/bundle.ts writes beside the chunks: their digest, in hexadecimal.
 */
export const BUILD_FILE = "build";

/**
 * Returns a digest that is equal for two runs of the same code, or null when the code does not run
 * from the bundle.
 */
export function buildDigest(): string | null {
  return textOf(new URL(BUILD_FILE, import.meta.url));
}

export const version: string = readVersion();
