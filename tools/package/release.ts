/** What is packaged: its version, and the time that all files in the packages have. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

export interface Release {
  readonly version: string;
  /** Of the commit, in seconds since the epoch, so that two builds of it give the same bytes. */
  readonly time: number;
  readonly year: number;
  readonly maintainer: string;
}

export function readRelease(): Release {
  const manifest = JSON.parse(readFileSync("package.json", "utf8")) as { readonly version: string };
  const stated = process.env["SOURCE_DATE_EPOCH"];
  const time = Number(
    stated ?? execFileSync("git", ["log", "-1", "--format=%ct"], { encoding: "utf8" }).trim(),
  );
  if (!Number.isSafeInteger(time)) {
    throw new Error(`SOURCE_DATE_EPOCH is no number of seconds: ${String(stated)}`);
  }
  const control = readFileSync("contrib/debian/control", "utf8");
  const maintainer = /^Maintainer: (.*)$/m.exec(control)?.[1];
  if (maintainer === undefined) throw new Error("contrib/debian/control names no maintainer");
  return {
    version: manifest.version,
    time,
    year: new Date(time * 1000).getUTCFullYear(),
    maintainer,
  };
}
