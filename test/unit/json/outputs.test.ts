// Goal: the reference has the output of each command, and says of each field what it is.
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { buildProgram } from "../../../src/cli/shell/program.js";
import { describeCommands } from "../../../src/cli/shell/reference.js";
import { failureOutput, outputs } from "../../../src/json/outputs.js";
import type { Field, Shape } from "../../../src/json/shape.js";
import { pathsOf } from "../../support/conforms.js";

/** What they print is no JSON, or JSON that something else describes. */
/** What these print is a configuration, a schema or a script, also with `--json`. */
const withoutShape = ["schema", "completion", "export"];

const { commands } = describeCommands(buildProgram(() => Promise.resolve()));

/** All fields at any depth, by their names. */
function fieldsIn(shape: Shape): [name: string, field: Field][] {
  switch (shape.kind) {
    case "nullable":
    case "list":
      return fieldsIn(shape.of);
    case "either":
      return shape.of.flatMap(fieldsIn);
    case "object":
      return Object.entries(shape.fields).flatMap(([name, field]) => [
        [name, field],
        ...fieldsIn(field.shape),
      ]);
    default:
      return [];
  }
}

test("each command has its shapes, and no other", () => {
  const names = commands.map(({ name }) => name).filter((name) => !withoutShape.includes(name));
  expect(Object.keys(outputs).toSorted()).toEqual(names.toSorted());
});

test("each field has a sentence, which says when it is null or absent", () => {
  for (const { shape } of [failureOutput, ...Object.values(outputs).flat()]) {
    for (const [name, { meaning, shape: own, isOptional }] of fieldsIn(shape)) {
      expect(meaning, name).toMatch(/^[A-Z`0-9].*\.$/);
      if (own.kind === "nullable") expect(meaning, name).toMatch(/\bnull\b/);
      if (isOptional) expect(meaning, name).toMatch(/\babsent\b|^For /);
    }
  }
});

test("the reference and the man page of a command have each of its fields", () => {
  const sections = new Map(
    readFileSync("docs/commands.md", "utf8")
      .split(/^##+ /m)
      .map((section): [string, string] => [section.slice(0, section.indexOf("\n")), section]),
  );
  for (const [command, printed] of Object.entries(outputs)) {
    const page = readFileSync(`man/ilm-${command}.1`, "utf8");
    for (const path of printed.flatMap(({ shape }) => pathsOf(shape))) {
      const [, shape = `ilm ${command}`, field = ""] =
        /^(?:<(.*)>\.|\[\]\.)?(.*)$/.exec(path) ?? [];
      expect(sections.get(shape), path).toContain(`\n| \`${field}\` | `);
      expect(page, path).toMatch(new RegExp(`\\b${field.replace(/.*\./, "")}\\b`));
    }
  }
});
