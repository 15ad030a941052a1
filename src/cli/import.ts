/** `ilm import`: what others have, as a configuration of ours. Reads only, and puts nothing in force. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { formatImported, type Imported } from "../config/imported.js";
import { ExitStatus, IlmError } from "../errors.js";
import { isLoopback4, type Address } from "../model/address.js";
import { print, type Context } from "./context.js";

export interface ImportOptions {
  /** `LABEL=DESTINATION` each. */
  readonly label?: readonly string[];
}

/** Failed when something could not be said: the rest is printed all the same. */
export async function importRules(
  context: Context,
  format: "tubular" | "nft",
  file: string | undefined,
  options: ImportOptions,
): Promise<ExitStatus> {
  const imported =
    format === "tubular" ? await fromTubular(file, options.label ?? []) : await fromNft(file);
  for (const line of imported.unsaid) process.stderr.write(`not said: ${line}\n`);
  print(context, { mappings: imported.entries, unsaid: imported.unsaid }, () =>
    formatImported(imported),
  );
  return imported.unsaid.length === 0 ? ExitStatus.done : ExitStatus.failed;
}

async function fromTubular(file: string | undefined, labels: readonly string[]): Promise<Imported> {
  if (file === undefined) {
    throw new IlmError("USAGE", "no file of bindings was given", {
      remedy: "Write `ilm import tubular FILE`, or - for standard input.",
    });
  }
  const { importTubular } = await import("../config/import-tubular.js");
  const destinations = labels.map((text): [string, string] => {
    const equals = text.indexOf("=");
    if (equals > 0) return [text.slice(0, equals), text.slice(equals + 1)];
    throw new IlmError("USAGE", `--label ${JSON.stringify(text)} has no destination`, {
      remedy: "Write it as --label foo=127.0.1.10:80.",
    });
  });
  return importTubular(parse(read(file), file), new Map(destinations));
}

async function fromNft(file: string | undefined): Promise<Imported> {
  const { importNft } = await import("../config/import-nft.js");
  const text = file === undefined ? askNft() : read(file);
  const own = new Set(
    Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map((one) => one.address)),
  );
  const isLocal = (address: Address): boolean => isLoopback4(address) || own.has(address);
  return importNft(parse(text, file ?? "nft -j list ruleset"), isLocal);
}

function askNft(): string {
  try {
    return execFileSync("nft", ["-j", "list", "ruleset"], { encoding: "utf8" });
  } catch (cause) {
    throw new IlmError("NOT_FOUND", "nft could not be asked for its ruleset", {
      cause,
      remedy: "Run `nft -j list ruleset > FILE` where it can, and `ilm import nft FILE` here.",
    });
  }
}

function read(file: string): string {
  try {
    return readFileSync(file === "-" ? 0 : file, "utf8");
  } catch (cause) {
    throw new IlmError("NOT_FOUND", `${file} cannot be read`, { cause, remedy: "Check the path." });
  }
}

function parse(text: string, file: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new IlmError("USAGE", `${file} is not JSON`, {
      cause,
      remedy: "tubular keeps its bindings as JSON, and nft prints it with -j.",
    });
  }
}
