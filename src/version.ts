/** The version of ilm, from the package it was installed with, and the build. */
import { readFileSync } from "node:fs";

/**
 * Looks upwards, so that sources, compiled files and an installed package all find the same
 * package.json.
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

/** Null: there is no such file. */
function textOf(file: URL): string | null {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
    throw error;
  }
}

/** What tools/bundle.ts writes beside the chunks: a digest of all of them, in hexadecimal. */
export const BUILD_FILE = "build";

/**
 * Equal for two runs of the same code. Null: it is not known, as the code does not run from the
 * bundle.
 */
export function buildDigest(): string | null {
  return textOf(new URL(BUILD_FILE, import.meta.url));
}

export const version: string = readVersion();
