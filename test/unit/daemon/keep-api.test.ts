// Goal: a daemon whose socket goes stays within reach, and does not lose its rules over it.
import { mkdtempSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { keepApi } from "../../../src/daemon/keep-api.js";
import type { ApiServer } from "../../../src/daemon/server.js";
import { socketIdentity } from "../../../src/api/socket-path.js";
import { IlmError } from "../../../src/errors.js";

let folder: string;
let path: string;
let lines: string[];
/** What was done, in its order. */
let steps: string[];
let kept: ApiServer | null;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ilm-keep-"));
  path = join(folder, "1.sock");
  lines = [];
  steps = [];
  kept = null;
});

afterEach(async () => {
  await kept?.close();
  rmSync(folder, { recursive: true });
});

async function serve(): Promise<ApiServer> {
  steps.push("serve");
  rmSync(path, { force: true });
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return {
    close: () =>
      new Promise((resolve) => {
        steps.push("close");
        server.close(() => {
          resolve();
        });
      }),
  };
}

async function keep(first: () => Promise<ApiServer> = serve): Promise<void> {
  let next = first;
  kept = await keepApi({
    path,
    serve: () => {
      const now = next;
      next = serve;
      return now();
    },
    log: {
      log: (_, message) => {
        lines.push(message);
      },
    },
    settled: () => {
      steps.push("settled");
      return Promise.resolve();
    },
    lookMs: 5,
  });
}

async function servedAgain(): Promise<void> {
  await vi.waitFor(
    () => {
      expect(lines.at(-1)).toBe(`the API is served on ${path} again`);
    },
    { timeout: 10_000, interval: 5 },
  );
}

test("a socket that is removed is made again, once, when what came in over it is answered", async () => {
  await keep();
  unlinkSync(path);
  await servedAgain();
  expect(socketIdentity(path)).not.toBeNull();
  expect(steps).toEqual(["serve", "settled", "close", "serve"]);
  expect(lines).toEqual([`${path} is gone: recreating it`, `the API is served on ${path} again`]);
});

test("a file in the place of the socket does not stay there", async () => {
  await keep();
  unlinkSync(path);
  writeFileSync(path, "");
  await servedAgain();
  expect(socketIdentity(path)).not.toBeNull();
});

test("a socket for which there was no room at first is made when there is", async () => {
  const cause = Object.assign(new Error("listen ENOSPC"), { code: "ENOSPC" });
  await keep(() => Promise.reject(new IlmError("SYSCALL", "cannot listen", { cause })));
  expect(lines[0]).toMatch(/^no API: .*1\.sock cannot be made: its file system is full.*df -i/);
  await servedAgain();
});

test("what does not pass ends the start", async () => {
  await expect(keep(() => Promise.reject(new IlmError("UNSAFE_PATH", "a link")))).rejects.toThrow(
    "a link",
  );
});
