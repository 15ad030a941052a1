/** The version of ilm, from the package it was installed with. */
import { readFileSync } from "node:fs";

/** Looks upwards, so that sources, compiled files and an installed package all find the same package.json. */
function readVersion(): string {
  for (let folder = new URL("./", import.meta.url); ; folder = new URL("../", folder)) {
    const version = versionIn(new URL("package.json", folder));
    if (version !== null) return version;
    if (folder.pathname === "/") throw new Error("package.json of ilm was not found");
  }
}

function versionIn(file: URL): string | null {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
    throw error;
  }
  const manifest: unknown = JSON.parse(text);
  if (typeof manifest !== "object" || manifest === null) return null;
  if (!("name" in manifest) || manifest.name !== "bpf-inet-lookup-manager") return null;
  return "version" in manifest && typeof manifest.version === "string" ? manifest.version : null;
}

export const version: string = readVersion();
