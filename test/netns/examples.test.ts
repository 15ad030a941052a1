/**
 * Every example of shell in README, docs, help and comments is run, where a reader would type it:
 * on a booted host, with its own network, file system and systemd. What cannot be run says so in
 * the document (`<!-- not run: REASON -->` before the block).
 */
import { afterAll, describe, expect, test } from "vitest";
import { type Situation, order, readersFolder, useExampleHost } from "../support/example-host.js";
import { commandsInComments, shellExamples, shellOf } from "../support/examples.js";
import { useNetwork } from "../support/network.js";
import { root } from "../support/paths.js";

const network = useNetwork();
const host = useExampleHost(network);

/** What is active before an example that is not about the host's file; the first that fits. */
const situations: readonly (readonly [RegExp, Situation])[] = [
  [/\badopt .*--restart/, "app"],
  [/\badopt\b/, "unadopted"],
  [/systemctl.* web\.socket/, "socket units"],
  [/^make build/, "nothing"],
  [/^ilm (apply|run) [^-]/, "nothing"],
];

function situationOf(text: string): Situation {
  return situations.find(([pattern]) => pattern.test(text))?.[1] ?? "file";
}

const all = shellExamples();
const unrun = all.filter((example) => example.unrun !== null);
/** By what has to be active, so that it changes rarely; otherwise in the order of the documents. */
const run = all
  .filter((example) => example.unrun === null)
  .map((example) => ({ ...example, situation: situationOf(example.text) }))
  .toSorted((a, b) => order.indexOf(a.situation) - order.indexOf(b.situation));

/** Statuses with which a command says what it has found. */
const answers: readonly RegExp[] = [/^1 (sudo )?(bin\/)?ilm (diff|audit|doctor)\b/];

let ran = 0;

afterAll(() => {
  process.stdout.write(`examples: ${ran} of ${all.length} run, ${unrun.length} marked\n`);
});

describe("each example works", () => {
  test.each(run)("$place: $text", async ({ place, text, situation }) => {
    const folder = place.startsWith("README.md") ? root : readersFolder;
    const { failed, stdout, stderr } = await host.run(text, situation, folder);
    const unexpected = failed.filter((line) => !answers.some((answer) => answer.test(line)));
    expect(unexpected, `${stdout}${stderr}`).toEqual([]);
    ran += 1;
  });
});

test("there are many, and few that cannot be run", () => {
  expect(run.length).toBeGreaterThan(60);
  expect(unrun.length, unrun.map(({ place }) => place).join(" ")).toBeLessThan(11);
});

test("an example that fails is seen, also before the last line and in a pipe", async () => {
  const { failed } = await host.run("ilm check tcp:80\nfalse | true\necho done", "file", "/");
  expect(failed).toEqual(["3 ilm check tcp:80", "1 true"]);
});

describe("examples are found", () => {
  test("in blocks of sh, with the reason of those that are not run", () => {
    const document =
      "a\n```sh\nb\nc\n```\n\n<!-- not run: d -->\n```sh\ne\n```\n\n```yaml\nf\n```\n";
    expect(shellOf("x.md", document)).toEqual([
      { place: "x.md:2", text: "b\nc", unrun: null },
      { place: "x.md:8", text: "e", unrun: "d" },
    ]);
  });

  test("under no other name of the language", () => {
    expect(() => shellOf("x.md", "```bash\na\n```\n")).toThrow("x.md:1: a block of bash");
  });

  test("in comments, without what is behind them", () => {
    expect(commandsInComments("x", "# ilm\n#   ilm check -f a   is it right?\nilm b\n")).toEqual([
      { place: "x:2", text: "ilm check -f a", unrun: null },
    ]);
  });
});
