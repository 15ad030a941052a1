/**
 * The product as a library, working in another network namespace than the rest of the process: what
 * only prepares a test needs no process of its own. The suites run it as it is built, because the
 * BPF objects are found from there.
 */
import { checkRules } from "../../src/compile/compile.js";
import { loadDesired } from "../../src/control/desired.js";
import { performChange } from "../../src/control/perform.js";
import { openDataPlane } from "../../src/dataplane/open.js";
import { type DataPlaneOptions } from "../../src/dataplane/install/state.js";
import type { DataPlane, Faults } from "../../src/dataplane/types.js";
import { configurationError } from "../../src/errors.js";
import { enterNetns, ownNetnsPath } from "../../src/kernel/netns.js";
import { emptyRules } from "../../src/model/rules.js";
import { openSync } from "node:fs";

const home = `/proc/self/fd/${openSync(ownNetnsPath, "r")}`;

/** Nothing else of this process may run meanwhile, so `work` cannot wait for anything. */
function inside<Result>(netns: string, work: () => Result): Result {
  enterNetns(netns);
  try {
    return work();
  } finally {
    enterNetns(home);
  }
}

/** Every call is made in the namespace, and what is between the calls is not. */
function openIn(netns: string, options?: DataPlaneOptions): DataPlane {
  return new Proxy(
    inside(netns, () => openDataPlane(options)),
    {
      get: (target, key) => {
        const member: unknown = Reflect.get(target, key, target);
        if (typeof member !== "function") return member;
        return (...args: unknown[]): unknown =>
          inside(netns, () => Reflect.apply(member, target, args) as unknown);
      },
    },
  );
}

/** What `ilm apply -f FILE` does, also when a daemon is running. */
export async function applyFile(
  netns: string,
  path: string,
  options?: DataPlaneOptions,
): Promise<void> {
  const { sources, given, file } = await loadDesired({ paths: [path], mappings: [] });
  const problems = checkRules({ ...emptyRules, sources, file: file.read() });
  if (problems.some(({ severity }) => severity === "error")) throw configurationError(problems);
  const dataPlane = openIn(netns, options);
  try {
    await performChange(dataPlane, { kind: "apply", sources, given, file });
  } finally {
    dataPlane.close();
  }
}

/** What `ilm off` and `ilm on` do, with nothing between them. */
export function switchOffAndOn(netns: string): void {
  const dataPlane = openIn(netns);
  try {
    dataPlane.setOff(true);
    dataPlane.setOff(false);
  } finally {
    dataPlane.close();
  }
}

/** What went wrong in the kernel, as `status` tells it; null: nothing is loaded. */
export function faultsIn(netns: string): Faults | null {
  const dataPlane = openIn(netns);
  try {
    return dataPlane.faults();
  } finally {
    dataPlane.close();
  }
}

/** The number of the generation that decides; null: none. */
export function generationIn(netns: string): number | null {
  const dataPlane = openIn(netns);
  try {
    return dataPlane.active()?.generation ?? null;
  } finally {
    dataPlane.close();
  }
}

/** Watches decisions as so many `ilm monitor`; returns what ends them. */
export function watchIn(netns: string, readers: number): () => void {
  const dataPlane = openIn(netns);
  const streams = Array.from({ length: readers }, () =>
    dataPlane.watch({
      protocol: null,
      local: null,
      ports: null,
      remote: null,
      mappings: null,
      verdicts: null,
      every: 1,
      perSecond: 1,
    }),
  );
  return () => {
    for (const stream of streams) stream.close();
    dataPlane.close();
  };
}

/** What `ilm unload` does, also when a daemon is running. */
export async function unload(netns: string): Promise<void> {
  const dataPlane = openIn(netns);
  try {
    await performChange(dataPlane, { kind: "unload" });
  } finally {
    dataPlane.close();
  }
}
