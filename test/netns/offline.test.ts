/**
 * Commands that need neither root nor BPF, as a user without rights, where there is no /proc, no
 * /sys and no /run; and the list of `ilm explain -`, by the active rules and by those of a file.
 */
import { chmodSync } from "node:fs";
import { dirname } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { useNetwork } from "../support/network.js";
import type { RunResult } from "../support/process.js";
import { linesOf } from "../unit/cli/commands/world.js";

const network = useNetwork();

const rules = `version: 1
services:
  web: { address: 127.0.1.10 }
  old: { address: 127.0.1.11 }
mappings:
  - { name: https, port: 443, to: web }
  - { name: office, port: 443, from: 198.51.100.0/24, to: [old, web] }
`;

const questions = `# what is expected
tcp 203.0.113.1:443 from 203.0.113.9:5555 expect web
tcp 203.0.113.1:443 from 198.51.100.9:5555 expect office

{"protocol":"tcp","dialled":"203.0.113.1:80","expect":"none"}
`;

afterEach(async () => {
  await network.server.reset();
});

/** Returns the path of a file that every user may read. */
function forAll(text: string): string {
  const path = network.server.file(text);
  chmodSync(dirname(path), 0o755);
  return path;
}

/** Runs the command as nobody, who sees nothing of the host but files. */
async function asNobody(
  args: readonly string[],
  options: { readonly input?: string } = {},
): Promise<RunResult> {
  const { server } = network;
  const hidden = ["/proc", "/sys", "/run"]
    .map((path) => `mount -t tmpfs none ${path}`)
    .join(" && ");
  const drop =
    "setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all --bounding-set=-all";
  const script = `${hidden} && exec ${drop} "$@"`;
  // Without --netns, for which it would have to enter the namespace.
  const [ilm = ""] = server.ilmCommand([]);
  const command = ["unshare", "--mount", "sh", "-c", script, "sh", ilm, ...args];
  return await server.run(command, options);
}

describe("a user without rights, on a host of which nothing is seen,", () => {
  test("compares two configurations", async () => {
    const [old, fresh] = [forAll(rules), forAll(rules.replace("[old, web]", "old"))];
    const found = await asNobody(["diff", "--against", old, "-f", fresh]);
    expect(found).toMatchObject({ status: 1, stderr: "" });
    expect(found.stdout).toMatch(/^~ office \(to\)\n/);
    const same = await asNobody(["diff", "--against", "-", "-f", old], { input: rules });
    expect(same).toMatchObject({ status: 0, stdout: "unchanged\n", stderr: "" });
  });

  test("is told what the rules of a file decide", async () => {
    const file = forAll(rules);
    const asked = ["explain", "-f", file, "tcp", "203.0.113.1:443", "--from", "203.0.113.9:1"];
    const found = await asNobody([...asked, "--expect", "web"]);
    expect(found).toMatchObject({ status: 0, stderr: "" });
    expect(found.stdout).toContain("https decides: 127.0.1.10:443 (web) gets it if it listens");
    expect(await asNobody([...asked, "--expect", "old"])).toMatchObject({
      status: 1,
      stderr: "ilm: expected old, got https -> 127.0.1.10:443 (web)\n",
    });
  });

  test("has a list answered", async () => {
    const file = forAll(rules);
    const found = await asNobody(["explain", "-f", file, "-"], { input: questions });
    expect(found).toMatchObject({
      status: 0,
      stdout: `tcp 203.0.113.1:443 from 203.0.113.9:5555: https -> 127.0.1.10:443 (web)
tcp 203.0.113.1:443 from 198.51.100.9:5555: office -> 127.0.1.11:443 (old), else 127.0.1.10:443 (web)
tcp 203.0.113.1:80: no mapping
`,
      stderr: "",
    });
  });
});

describe("a list", () => {
  test("is answered by the loaded program, which looks who listens", async () => {
    const { server } = network;
    await server.apply(rules);
    await server.echo("web", [["tcp", "127.0.1.10", 443]]);
    const input = questions.replace("expect office", "expect web");
    const found = await server.ilm(["explain", "-"], { input });
    expect(found.stderr).toBe("");
    expect(found.stdout).toBe(
      `tcp 203.0.113.1:443 from 203.0.113.9:5555 by up0: https: selected -> 127.0.1.10:443 (web)
tcp 203.0.113.1:443 from 198.51.100.9:5555 by up0: office: selected -> 127.0.1.10:443 (web)
tcp 203.0.113.1:80 by up0: no mapping
`,
    );
    expect(found.status).toBe(0);
  });

  test("with an answer that is not as expected, or a line that is no question, ends so", async () => {
    const { server } = network;
    await server.apply(rules);
    const wrong = `${questions}tcp 203.0.113.1:443 from 203.0.113.9:1 expect web\n`;
    const found = await server.ilm(["explain", "-"], { input: wrong });
    // Nobody listens: neither the mapping nor the service gets it.
    expect(found.stdout).toContain(
      "line 2: tcp 203.0.113.1:443 from 203.0.113.9:5555 by up0: expected web, got https: missed\n",
    );
    expect(found.stderr).toBe("ilm: 3 of 4 answers are not as expected\n");
    expect(found.status).toBe(1);
    const refused = await server.ilm(["explain", "-"], {
      input: "tcp 203.0.113.1\ntcp 203.0.113.1:443 by nosuch\ntcp 203.0.113.1:80\n",
    });
    expect(refused.stderr).toMatch(/^ilm: line 1: .*\nilm: line 2: there is no interface .*\n$/);
    expect(refused.stdout).toMatch(/^tcp 203\.0\.113\.1:80 by up0: no mapping\n$/);
    expect(refused.status).toBe(2);
  });

  test("without a question is refused, as what wrote it has failed", async () => {
    const { server } = network;
    await server.apply(rules);
    for (const args of [
      ["explain", "-"],
      ["explain", "-f", server.file(rules), "-"],
    ]) {
      for (const input of ["", "# only a comment\n"]) {
        const found = await server.ilm(args, { input });
        expect(found).toMatchObject({ status: 2, stdout: "" });
        expect(found.stderr).toMatch(/^ilm: the list on standard input has no question/);
      }
    }
  });

  test("of 100,000 lines takes no more memory than a short one", async () => {
    const { server } = network;
    const file = server.file(rules);
    const lines = "tcp 203.0.113.1:443 from 198.51.100.9:5555 expect office\n".repeat(100_000);
    const command = ["env", "NODE_OPTIONS=--max-old-space-size=32"];
    const counted = await server.run(
      [
        ...command,
        "sh",
        "-c",
        '"$@" | wc -l',
        "sh",
        ...server.ilmCommand(["explain", "-f", file, "-", "--json"]),
      ],
      { input: lines },
    );
    expect(counted.stdout.trim()).toBe("100000");
  });

  test("is one document on each line with --json", async () => {
    const { server } = network;
    const file = server.file(rules);
    const input = `${questions}sctp 203.0.113.1:80\n`;
    const found = await server.ilm(["explain", "-f", file, "-", "--json"], { input });
    expect(linesOf("explain", found.stdout)).toMatchObject([
      { line: 2, mapping: "https", verdict: null, asExpected: true },
      { line: 3, mapping: "office", asExpected: true },
      { line: 5, mapping: null, verdict: "unmanaged", asExpected: true },
      { line: 6, error: { code: "USAGE" } },
    ]);
    expect([found.status, found.stderr]).toEqual([2, ""]);
  });
});
