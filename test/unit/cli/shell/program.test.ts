// Goal: every command explains itself, and every wrong command line is refused in our own words
// with status 2.
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { renderCompletion, shells } from "../../../../src/cli/shell/completions.js";
import type { GlobalOptions } from "../../../../src/cli/shell/context.js";
import { buildProgram } from "../../../../src/cli/shell/program.js";
import { describeCommands } from "../../../../src/cli/shell/reference.js";
import { knownWords } from "../../../../src/cli/shell/other-words.js";
import { translateParserError } from "../../../../src/cli/shell/usage-error.js";
import { IlmError } from "../../../../src/errors.js";

interface Parsed {
  readonly executed: GlobalOptions | null;
  readonly error: unknown;
  readonly shown: string;
}

async function parse(...argv: string[]): Promise<Parsed> {
  let executed: GlobalOptions | null = null;
  let shown = "";
  const program = buildProgram((options) => {
    executed = options;
    return Promise.resolve();
  });
  for (const command of [program, ...program.commands]) {
    command.exitOverride().configureOutput({
      outputError: () => undefined,
      writeErr: () => undefined,
      writeOut: (text) => (shown += text),
    });
  }
  try {
    await program.parseAsync(argv, { from: "user" });
    return { executed, error: null, shown };
  } catch (error) {
    return { executed, error: translateParserError(error, program), shown };
  }
}

const reference = describeCommands(buildProgram(() => Promise.resolve()));
const names = reference.commands.map((command) => command.name);

describe("every command", () => {
  test.each(reference.commands)(
    "$name has a description, examples of itself, and help",
    async (command) => {
      expect(command.summary).not.toBe("");
      expect(command.description.length).toBeGreaterThan(command.summary.length);
      expect(command.examples.length).toBeGreaterThan(0);
      for (const example of command.examples) expect(example.purpose).not.toBe("");
      expect(command.examples.map((example) => example.command).join("\n")).toMatch(
        new RegExp(`ilm ${command.name}\\b`),
      );
      for (const part of [...command.options, ...command.arguments]) {
        expect(part.description).not.toBe("");
      }
      const { shown, error } = await parse(command.name, "--help");
      expect(error).toBeNull();
      expect(shown).toContain("Examples:");
      expect(shown).toContain("--json");
    },
  );

  test.each(names)("%s has a file of its own", (name) => {
    expect(readdirSync("src/cli/commands")).toContain(`${name}.ts`);
  });

  test("that the design names is there", () => {
    const designed =
      "run apply check diff add remove status mappings listeners explain monitor audit doctor unload demo";
    expect(names).toEqual(expect.arrayContaining(designed.split(" ")));
  });
});

describe("global options", () => {
  test.each([
    [["--json", "--netns", "blue", "status"]],
    [["status", "--json", "--netns", "blue"]],
    [["--netns=blue", "status", "--json"]],
  ])("are taken before and after the command: %j", async (argv) => {
    expect((await parse(...argv)).executed).toMatchObject({ json: true, netns: "blue" });
  });

  test("--no-color is heard", async () => {
    expect((await parse("status", "--no-color")).executed).toMatchObject({ color: false });
  });
});

describe("refused as a wrong command line is", () => {
  test.each([
    ["an unknown command, with what was meant", ["stauts"], "stauts", "status"],
    ["an unknown option, with what was meant", ["apply", "--fiel", "x"], "--fiel", "--file"],
    ["an option without its value", ["apply", "-f"], "-f", "ilm apply --help"],
    ["an operand too many", ["status", "now"], "too many arguments", "ilm status --help"],
    ["also behind global options", ["--netns", "x", "add"], "MAPPING", "ilm add --help"],
    ["list", ["list"], "list", "`ilm mappings`"],
    ["ls", ["ls"], "ls", "`ilm mappings`"],
    ["show", ["show"], "show", "`ilm mappings`"],
    ["validate", ["validate"], "validate", "`ilm check"],
    ["test", ["test"], "test", "`ilm check"],
    ["rm", ["rm", "x"], "rm", "`ilm remove"],
    ["help for no command of ours, with what was meant", ["help", "stauts"], "stauts", "status"],
    ["help for a word of other programs", ["help", "ls"], "ls", "`ilm mappings`"],
    ["a file where none is read", ["status", "-f", "x"], "-f", "`ilm check -f FILE`"],
    ["a word in capitals", ["LIST"], "LIST", "`ilm mappings`"],
    ["--dry-run where it is none", ["run", "--dry-run"], "--dry-run", "`ilm diff`"],
    ["a slip near off, with what that does", ["offf"], "offf", "switches the mappings off"],
    ["a slip near adopt, with its dry run", ["adapt"], "adapt", "`ilm adopt --dry-run`"],
    ["an operand too few", ["explain"], "PROTOCOL", "--help"],
    ["no mapping to add", ["add"], "MAPPING", "--help"],
    ["a choice that is none", ["explain", "sctp", "1.2.3.4:5"], "sctp", "--help"],
    ["a choice in capitals", ["mappings", "--protocol", "TCP"], '--protocol: "TCP"', "Write tcp"],
    ["a choice mistyped", ["monitor", "--verdict", "mised"], "is none of", "Did you mean missed?"],
    ["no protocol", ["explain", "203.0.113.5:80"], "PROTOCOL", "`ilm explain tcp 203"],
    ["a shell that is none", ["completion", "tcsh"], '"tcsh" is none of bash', "--help"],
  ])("%s", async (_what, argv, message, remedy) => {
    const { error, executed } = await parse(...argv);
    expect(executed).toBeNull();
    expect(error).toBeInstanceOf(IlmError);
    expect(error).toMatchObject({ code: "USAGE", exitStatus: 2 });
    expect((error as IlmError).message).toContain(message);
    expect((error as IlmError).message).not.toMatch(/^error:/);
    expect((error as IlmError).remedy).toContain(remedy);
  });
});

describe("a word of other programs", () => {
  test.each(knownWords)("%s leads to commands and options that there are", async (word) => {
    const { error } = await parse(word);
    const { remedy = "" } = error as IlmError;
    const [answer = ""] = remedy.split(" See `");
    const shown = [...answer.matchAll(/`ilm ([^`]*)`/g)].map(([, text = ""]) => text.split(" "));
    expect(shown.length).toBeGreaterThan(0);
    for (const [name = "", ...rest] of shown) {
      const command = reference.commands.find((one) => one.name === name);
      expect([...names, "help", "--version"]).toContain(name);
      const flags = command?.options.flatMap(({ flags: text }) => text.split(/[ ,]+/)) ?? [];
      expect(flags).toEqual(
        expect.arrayContaining(rest.filter((argument) => argument.startsWith("-"))),
      );
    }
    expect(answer).not.toContain("unload");
  });

  test("is no command of ours, which would be run", () => {
    expect(knownWords.filter((word) => names.includes(word))).toEqual([]);
  });
});

test.each(["unload", "off", "on", "drain", "confirm"])(
  "%s --dry-run is not led to what diff shows of a file",
  async (name) => {
    const { error } = await parse(name, "--dry-run");
    expect((error as IlmError).remedy).toBe(`See \`ilm ${name} --help\`.`);
  },
);

test.each(["reloads", "unloaded", "unlaod", "unload1", "load", "upload", "unset"])(
  "%s leads nobody to unload",
  async (word) => {
    const { error } = await parse(word);
    expect(error).toMatchObject({ code: "USAGE" });
    expect((error as IlmError).remedy).not.toContain("unload");
  },
);

test("asking for help or the version is no error", async () => {
  for (const argv of [["--help"], ["--version"], ["help", "status"]]) {
    const { error, shown } = await parse(...argv);
    expect(error).toBeNull();
    expect(shown).not.toBe("");
  }
});

describe("completions", () => {
  test.each(shells)("for %s know every command and option", (shell) => {
    const script = renderCompletion(shell, reference);
    for (const command of reference.commands) {
      expect(script).toContain(command.name);
      for (const { long } of command.options) expect(script).toContain(long?.slice(2));
    }
  });

  const complete = (line: string, idle = ""): string[] => {
    // As bash splits them, with its usual COMP_WORDBREAKS.
    const words = line.split(" ").flatMap((word) => word.split(/(?<=:)|(?=:)/));
    const script = `${renderCompletion("bash", reference)}
      IDLE=${idle}
      ilm() { case "$*" in
        "mappings --names") printf '%s\\n' site tcp:8080 tcp:8081 ;;
        "mappings --added --names") printf '%s\\n' tcp:8080 ;;
        "address --names") printf '%s\\n' web ;;
        drain) if [[ -n $IDLE ]]; then echo nothing is drained; else echo web:8080; fi ;;
      esac; }
      compopt() { :; }
      COMP_LINE='${line}'; COMP_POINT=${line.length}
      COMP_WORDS=(${words.map((word) => `'${word}'`).join(" ")}); COMP_CWORD=${words.length - 1}
      _ilm; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout, stderr } = spawnSync("bash", ["-c", script], { encoding: "utf8" });
    expect(stderr).toBe("");
    return stdout.split("\n").filter((word) => word !== "");
  };

  test("in bash complete commands, options of the command, and choices", () => {
    expect(complete("ilm st")).toEqual(["status"]);
    expect(complete("ilm --json --netns blue expl")).toEqual(["explain"]);
    expect(complete("ilm apply --f")).toEqual(["--file"]);
    expect(complete("ilm status --f")).toEqual([]);
    expect(complete("ilm completion f")).toEqual(["fish"]);
    expect(complete("ilm monitor --count ")).toEqual([]);
    expect(complete("ilm mappings --protocol ")).toEqual(["tcp", "udp"]);
    expect(complete("ilm monitor --verdict mis")).toEqual(["missed"]);
    expect(complete("ilm help expl")).toEqual(["explain"]);
    expect(complete("ilm hel")).toEqual(["help"]);
  });

  test("in bash complete names of mappings and services, and files", () => {
    expect(complete("ilm mappings s")).toEqual(["site"]);
    expect(complete("ilm mappings tcp:80")).toEqual(["8080", "8081"]);
    expect(complete("ilm remove t")).toEqual(["tcp:8080"]);
    expect(complete("ilm remove tcp:8")).toEqual(["8080"]);
    expect(complete("ilm address w")).toEqual(["web"]);
    expect(complete("ilm mappings --to w")).toEqual(["web"]);
    expect(complete("ilm wait ")).toEqual(["site", "tcp:8080", "tcp:8081", "web"]);
    expect(complete("ilm remove ")).toEqual(["tcp:8080"]);
    expect(complete("ilm import nf")).toEqual(["nft"]);
    expect(complete("ilm drain w")).toEqual(["web"]);
    expect(complete("ilm undrain w")).toEqual(["web:8080"]);
    expect(complete("ilm undrain w", "1")).toEqual([]);
    expect(complete("ilm undrain i", "1")).toEqual([]);
    expect(complete("ilm import nft package.j")).toEqual(["package.json"]);
    expect(complete("ilm apply -f READ")).toEqual(["README.md"]);
    expect(complete("ilm add ")).not.toContain("web");
  });
});
