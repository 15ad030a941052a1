/**
 * The same beside an older release, in turns: whole commands, and look-ups by the programs that
 * each of them loads. Both read the same files. ILM_BENCH_RELEASE names the older one by the format
 * of its state (test/releases/README.md).
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { programById } from "../src/kernel/bpf/program.js";
import { skLookupLinks } from "../src/kernel/bpf/link.js";
import { ownNetnsPath } from "../src/kernel/netns.js";
import type { Mapping } from "../src/model/mapping.js";
import { version } from "../src/version.js";
import { rounds, timed } from "./apply.js";
import {
  type Kept,
  emptyProgram,
  listenForAll,
  mappingsOf,
  measureHot,
  measureSingles,
  scenarios,
  singles,
} from "./lookup.js";
import { median, progress } from "./network.js";
import { ilm, root } from "./sites.js";

/**
 * The last one with a program set for each generation, in which a change cost what there is and not
 * what it changes.
 */
const BEFORE = "7";
const REPEATS = 3;
const REPEATS_MS = 20_000;

/** A measurement of both releases, with the older one first. */
export interface Beside {
  readonly what: string;
  readonly values: readonly (readonly [older: number, now: number])[];
}

export interface ReleaseResult {
  readonly format: string;
  /** Seconds, in the order of the sizes. */
  readonly commands: Beside[];
  /** Nanoseconds above the empty program, too. */
  readonly hot: Beside[];
  readonly single: Beside[];
}

interface Release {
  readonly name: string;
  /** The path of its command. */
  readonly ilm: string;
}

function buildRelease(format: string): Release {
  const path = execFileSync(join(root, "tools", "build-release.sh"), [format], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  });
  return { name: `state format ${format}`, ilm: path.trim() };
}

/** `changed`: the last mapping leads elsewhere. */
function write(folder: string, mappings: readonly Mapping[], changed: boolean): string {
  const file = join(folder, changed ? "changed.ndjson" : "rules.ndjson");
  const lines = mappings.map(({ name, ports, on, to }, i) => {
    const [destination] = to;
    if (destination === undefined) throw new Error(`${name} leads nowhere`);
    const address = changed && i === mappings.length - 1 ? "127.0.1.12" : destination.address;
    return JSON.stringify({
      name,
      port: ports[0]?.first,
      ...(on.length > 0 && { on }),
      to: `${address}:${destination.port}`,
    });
  });
  writeFileSync(file, `${lines.join("\n")}\n`);
  return file;
}

/** Loads the rules by the release's own command, and keeps the program, which keeps its tables. */
function keep(release: Release, folder: string, kind: Kept["kind"], size: number): Kept {
  const file = write(folder, mappingsOf(kind, size), false);
  // Not what it says: of many of the prefixes that they can never match.
  execFileSync(release.ilm, ["apply", "-f", file], { stdio: "ignore" });
  const [link] = skLookupLinks(statSync(ownNetnsPath).ino);
  const program = link && programById(link.programId);
  if (program === undefined) throw new Error(`${release.name} has loaded nothing`);
  timed(release.ilm, "unload");
  progress(`${release.name}, ${size} mappings, ${kind}: loaded`);
  return { release: release.name, kind, size, program };
}

const commandNames = [
  "`ilm apply`, all new",
  "`ilm apply`, nothing changed",
  "`ilm apply`, one mapping changed",
  "`ilm add`, one mapping more",
] as const;

/** One after the other, as each finds what the one before it left. */
function runAll({ ilm: command }: Release, file: string, changed: string): number[] {
  const seconds = (...words: string[]): number => timed(command, ...words).seconds;
  const all = [
    seconds("apply", "-f", file),
    seconds("apply", "-f", file),
    seconds("apply", "-f", changed),
    seconds("add", "tcp:9000=127.0.1.10:8080"),
  ];
  timed(command, "unload");
  return all;
}

/** In the network namespace that the process is in. */
export async function measureRelease(sizes: readonly number[]): Promise<ReleaseResult> {
  const format = process.env["ILM_BENCH_RELEASE"] ?? BEFORE;
  const older = buildRelease(format);
  const now: Release = { name: version, ilm };
  const folder = mkdtempSync(join(tmpdir(), "ilm-bench-"));
  const empty = emptyProgram();
  const servers = await listenForAll();
  const kept: Kept[] = [];
  try {
    const bySize: (readonly (readonly [number, number])[])[] = [];
    for (const size of sizes) {
      const mappings = mappingsOf("exact", size);
      const [file, changed] = [write(folder, mappings, false), write(folder, mappings, true)];
      const results = await rounds(REPEATS, REPEATS_MS, () => [
        runAll(older, file, changed),
        runAll(now, file, changed),
      ]);
      const medianOf = (who: number, what: number): number =>
        median(results.map((round) => round[who]?.[what] ?? Number.NaN));
      bySize.push(commandNames.map((_, what) => [medianOf(0, what), medianOf(1, what)]));
      progress(`${size} mappings: commands of both, ${results.length} rounds`);
    }
    for (const size of sizes) {
      for (const kind of ["exact", "prefix"] as const) {
        for (const release of [older, now]) kept.push(keep(release, folder, kind, size));
      }
    }
    const hot = measureHot(empty, kept);
    const single = measureSingles(empty, kept);
    const both = (of: (size: number, release: string) => number): Beside["values"] =>
      sizes.map((size) => [of(size, older.name), of(size, now.name)]);
    return {
      format,
      commands: commandNames.map((what, i) => ({
        what,
        values: bySize.map((column) => column[i] ?? [Number.NaN, Number.NaN]),
      })),
      hot: scenarios
        .filter(({ kind }) => kind !== "over")
        .map((scenario) => ({
          what: scenario.name,
          values: both((size, release) => hot.above(scenario, size, release)),
        })),
      single: singles.map((each) => ({
        what: each.name,
        values: both((size, release) => single.above(each, size, release)),
      })),
    };
  } finally {
    for (const server of servers) server.close();
    for (const { program } of kept) program.close();
    empty.close();
    rmSync(folder, { recursive: true, force: true });
  }
}
