// Goal: `check` says whether a configuration is valid, and asks for no privileges.
import { beforeEach, expect, test } from "vitest";
import { check } from "../../../../src/cli/commands/check.js";
import type { Context } from "../../../../src/cli/shell/context.js";
import type { SourceOptions } from "../../../../src/cli/shell/load.js";
import { ExitStatus, IlmError } from "../../../../src/errors.js";
import { bad, doubtful, good, put } from "./files.js";
import { World } from "./world.js";

let world: World;

/** Whatever needs privileges fails. */
beforeEach(() => {
  world = new World();
  const forbidden = new IlmError("NOT_PERMITTED", "this needs root");
  for (const name of ["openDataPlane", "performChange", "lookAround", "probeHost"] as const) {
    world.failures.set(name, forbidden);
  }
});

const checking =
  (options: SourceOptions, ...mappings: string[]) =>
  (context: Context): Promise<ExitStatus> =>
    check(context, options, mappings);

test("a valid file is OK, and counted", async () => {
  const command = checking({ file: [put("rules.yaml", good)] });
  expect(await world.end(false, command)).toEqual({
    out: "OK: 1 service, 2 mappings\n",
    err: "",
    status: ExitStatus.done,
  });
  expect(await world.json("check", command)).toEqual({
    valid: true,
    problems: [],
    services: 1,
    mappings: 2,
  });
});

test("arguments are checked with the services of their file", async () => {
  const file = put("rules.yaml", good);
  expect(await world.text(checking({ file: [file] }, "udp:53=web:5353"))).toBe(
    "OK: 1 service, 3 mappings\n",
  );
});

test("a warning leaves a file valid, and has its place and what would be right", async () => {
  const file = put("rules.yaml", doubtful);
  const { out, err, status } = await world.end(false, checking({ file: [file] }));
  expect(out).toBe("OK: 0 services, 1 mapping, 1 warning\n");
  expect(err).toMatch(
    /^ilm: .*rules\.yaml:3:\d+: warning: mappings\[0\]\.to: .*; to keep this mapping off/,
  );
  expect(status).toBe(ExitStatus.done);
  expect((await world.end(true, checking({ file: [file] }))).err).toBe("");
  expect(await world.json("check", checking({ file: [file] }))).toMatchObject({
    valid: true,
    problems: [{ severity: "warning", file, line: 3 }],
  });
});

test("500 warnings of a kind are one, with a count and the first names; JSON has all", async () => {
  const ports = Array.from({ length: 500 }, (_, index) => 8000 + index);
  const many = ports.map(
    (port) => `  - { name: m${port}, port: ${port}, on: 127.0.2.0/24, to: "127.0.2.7:${port}" }\n`,
  );
  const file = put("rules.yaml", `version: 1\nmappings:\n${many.join("")}`);
  const { out, err } = await world.end(false, checking({ file: [file] }));
  expect(out).toBe("OK: 0 services, 500 mappings, 500 warnings\n");
  expect(err.split("\n")).toEqual([
    expect.stringMatching(/^ilm: .*rules\.yaml:3:\d+: warning: /),
    `  and 499 more like it: ${file}:4, ${file}:5, ${file}:6 and 496 more (--json has all)`,
    "",
  ]);
  const json = (await world.json("check", checking({ file: [file] }))) as {
    readonly problems: unknown[];
  };
  expect(json.problems).toHaveLength(500);
});

test("warnings of a kind are one beside errors, each of which is shown", async () => {
  const ports = Array.from({ length: 40 }, (_, index) => 8000 + index);
  const many = ports.map(
    (port) => `  - { name: m${port}, port: ${port}, on: 127.0.2.0/24, to: "127.0.2.7:${port}" }\n`,
  );
  const wrong = [0, 65_536, 65_537, 65_538].map((port) => `  - { port: ${port}, to: "*:1" }\n`);
  const file = put("rules.yaml", `version: 1\nmappings:\n${[...many, ...wrong].join("")}`);
  const { err, status } = await world.end(false, checking({ file: [file] }));
  expect(status).toBe(ExitStatus.configuration);
  expect(err.match(/warning: /g)).toHaveLength(1);
  expect(err).toContain(`\n    and 39 more like it: ${file}:4, ${file}:5, ${file}:6 and 36 more`);
  expect(err.match(/: mappings\[4\d\]\.port: /g)).toHaveLength(4);
});

test("every error of a bad file is shown at once, with place and what would be right", async () => {
  const command = checking({ file: [put("rules.yaml", bad)] });
  const { out, err, status } = await world.end(false, command);
  expect(out).toBe("");
  expect(err).toMatch(/rules\.yaml:5:\d+: mappings\[0\]\.port: /);
  expect(err).toMatch(/rules\.yaml:6:\d+: mappings\[1\]\.to: .*web/);
  expect(status).toBe(ExitStatus.configuration);
});

test("scripts get what was found and the error of every command in one document", async () => {
  const command = checking({ file: [put("rules.yaml", bad)] });
  const { err, status } = await world.end(true, command);
  expect([err, status]).toEqual(["", ExitStatus.configuration]);
  const problems = [
    { severity: "error", line: 5 },
    { severity: "error", line: 6 },
  ];
  expect(await world.json("check", command)).toMatchObject({
    valid: false,
    problems,
    error: { code: "CONFIGURATION", problems },
  });
});

test.each([
  [
    "a file that is not there",
    checking({ file: ["/nowhere.yaml"] }),
    "/nowhere.yaml",
    "check the path",
  ],
  ["a mapping that is none", checking({}, "tcp:80"), "tcp:80", "="],
])("%s is an error of the configuration", async (_, command, where, right) => {
  const { err, status } = await world.end(false, command);
  expect(err).toContain(where);
  expect(err).toContain(right);
  expect(status).toBe(ExitStatus.configuration);
  expect(await world.json("check", command)).toMatchObject({ valid: false });
});

test("without a file and a mapping the command line is wrong, in JSON too", async () => {
  const { err, status } = await world.end(false, checking({}));
  expect(err).toContain("-f FILE");
  expect(status).toBe(ExitStatus.usage);
  expect(await world.failure(checking({}))).toMatchObject({ error: { code: "USAGE" } });
});
