/** How long a small command takes, from its start to its end: most of that is node's own start. */
import { spawnSync } from "node:child_process";
import { median, progress } from "./network.js";
import { Site, ilm } from "./sites.js";
import { takeTurns } from "./turns.js";

const ROUNDS = 21;

export interface StartRow {
  readonly command: string;
  /** Medians of the rounds. */
  readonly milliseconds: number;
  /** Median of the rounds' ratios to bare node. */
  readonly ratio: number;
}

function milliseconds([file, ...args]: readonly [string, ...string[]]): number {
  const start = performance.now();
  const { status, stderr } = spawnSync(file, args, { encoding: "utf8" });
  const took = performance.now() - start;
  if (status !== 0) throw new Error(`${file} ${args.join(" ")}: ${stderr}`);
  return took;
}

/** In turns, so that what else the machine does meets all of them alike. */
export function measureStart(): StartRow[] {
  const idle = new Site("i");
  const loaded = new Site("l");
  const at = (site: Site): string => `/run/netns/${site.server}`;
  const commands: readonly (readonly [string, readonly [string, ...string[]]])[] = [
    ["`node -e 0`", [process.execPath, "-e", "0"]],
    ["`ilm --version`", [ilm, "--version"]],
    ["`ilm status`, nothing is loaded", [ilm, "status", "--netns", at(idle)]],
    ["`ilm status`, rules are active", [ilm, "status", "--netns", at(loaded)]],
    ["`ilm mappings`", [ilm, "mappings", "--netns", at(loaded)]],
  ];
  try {
    milliseconds([ilm, "add", "tcp:80=127.0.1.10:8080", "--netns", at(loaded)]);
    progress(`${commands.length} commands, ${ROUNDS} times`);
    const rounds = takeTurns(ROUNDS, commands, ([, command]) => milliseconds(command));
    return commands.map(([command], index) => {
      const of = (pick: (took: number, node: number) => number): number =>
        median(rounds.map((round) => pick(round[index] ?? Number.NaN, round[0] ?? Number.NaN)));
      return { command, milliseconds: of((took) => took), ratio: of((took, node) => took / node) };
    });
  } finally {
    idle.remove();
    loaded.remove();
  }
}
