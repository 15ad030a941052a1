// Goal: `import` prints the rules of others as a configuration that `check` takes, and tells what
// it leaves out.
import { beforeEach, describe, expect, test } from "vitest";
import { importRules, type ImportOptions } from "../../../../src/cli/commands/import.js";
import type { Context } from "../../../../src/cli/shell/context.js";
import { parseConfiguration } from "../../../../src/config/parse.js";
import { ExitStatus, IlmError } from "../../../../src/errors.js";
import { put } from "./files.js";
import { World } from "./world.js";

let world: World;

/** It asks no data plane. */
beforeEach(() => {
  world = new World();
  world.failures.set("openDataPlane", new IlmError("NOT_PERMITTED", "this needs root"));
});

type Task = (context: Context) => Promise<ExitStatus>;

const tubular =
  (options: ImportOptions, ...files: string[]): Task =>
  (context) =>
    importRules(context, "tubular", files, options);

const nft =
  (...files: string[]): Task =>
  (context) =>
    importRules(context, "nft", files, {});

function namesIn(text: string): unknown[] {
  const { ruleSet } = parseConfiguration([{ name: "imported.yaml", text }]);
  return ruleSet.mappings.map(({ protocol, ports, to }) => [protocol, ports[0]?.first, to[0]]);
}

describe("tubular", () => {
  const bindings = JSON.stringify({
    bindings: [
      { label: "foo", prefix: "203.0.113.0/24", port: 80, protocol: "tcp" },
      { label: "bar", prefix: "203.0.113.1", port: 53, protocol: "udp" },
    ],
  });
  const label = ["foo=127.0.1.10:8080", "bar=127.0.1.11"];

  test("bindings become mappings to where their labels lead", async () => {
    const command = tubular({ label }, put("bindings.json", bindings));
    const { out, err, status } = await world.end(false, command);
    expect(namesIn(out)).toEqual([
      ["tcp", 80, { address: "127.0.1.10", port: 8080 }],
      ["udp", 53, { address: "127.0.1.11", port: "same" }],
    ]);
    expect([err, status]).toEqual(["", ExitStatus.done]);
    expect(await world.json("import", command)).toMatchObject({
      mappings: [{ protocol: "tcp", port: 80, to: "127.0.1.10:8080" }, { port: 53 }],
      unsaid: [],
      taken: [],
      left: [],
    });
  });

  test("a label that leads nowhere is reported, the rest is printed, and the status is 1", async () => {
    const command = tubular({ label: label.slice(0, 1) }, put("bindings.json", bindings));
    const { out, err, status } = await world.end(false, command);
    expect(out).toContain("127.0.1.10:8080");
    expect(err).toMatch(/^left out: the label "bar" .*--label bar=DESTINATION/);
    expect(status).toBe(ExitStatus.failed);
    expect((await world.end(true, command)).status).toBe(ExitStatus.failed);
    expect(await world.json("import", command)).toMatchObject({
      unsaid: [expect.stringContaining("--label bar=DESTINATION")],
    });
  });

  test.each([
    [[], {}, "no file of bindings was given", "ilm import tubular FILE"],
    [["one", "two"], {}, "more than one file was given", "ilm import tubular FILE"],
    [["one"], { label: ["foo"] }, '--label "foo" has no destination', "--label foo=127.0.1.10:80"],
    [
      ["one"],
      { label: ["foo="] },
      '--label "foo=" has no destination',
      "--label foo=127.0.1.10:80",
    ],
    [["one"], { label: ["=127.0.1.10"] }, '--label "=127.0.1.10"', "--label foo=127.0.1.10:80"],
  ])("a command line that is wrong: %j %j", async (files, options, what, right) => {
    const { out, err, status } = await world.end(false, tubular(options, ...files));
    expect(out).toBe("");
    expect(err).toContain(what);
    expect(err).toContain(right);
    expect(status).toBe(ExitStatus.usage);
    expect(await world.failure(tubular(options, ...files))).toMatchObject({
      error: { code: "USAGE" },
    });
  });
});

describe("nft", () => {
  const saved = (rule: string): string => `*nat\n:PREROUTING ACCEPT [0:0]\n${rule}\nCOMMIT\n`;
  const redirect = "-A PREROUTING -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 8080";
  const away = "-A PREROUTING -p tcp -m tcp --dport 25 -j DNAT --to-destination 192.0.2.7:25";

  test("rules of this host become mappings, with what to do next", async () => {
    world.nat = { rulesets: [], saved: [{ name: "iptables-save", text: saved(redirect) }] };
    const { out, err, status } = await world.end(false, nft());
    expect(namesIn(out)[0]).toEqual(["tcp", 80, { address: "*", port: 8080 }]);
    expect(err).toMatch(/^note: Prerouting never sees what this host dials/);
    expect(err).toContain("ilm apply -f FILE");
    expect(err).toMatch(/^ {2}iptables .*-D PREROUTING .*--to-ports 8080/m);
    expect(status).toBe(ExitStatus.done);
  });

  test("in JSON what to remove is in the document, and standard error has the notes", async () => {
    world.nat = { rulesets: [], saved: [{ name: "iptables-save", text: saved(redirect) }] };
    expect(await world.json("import", nft())).toMatchObject({
      mappings: [{ port: 80, to: "*:8080" }, {}],
      taken: [
        {
          rule: `iptables -t nat ${redirect}`,
          remove: expect.stringContaining("-D PREROUTING") as string,
        },
      ],
      left: [],
    });
    const { err } = await world.end(true, nft());
    expect(err).toMatch(/^note: /);
    expect(err).not.toContain("ilm apply");
  });

  test("files take the place of asking the host for its rules", async () => {
    world.failures.set("askNat", new IlmError("NOT_FOUND", "nft could not be asked"));
    const json = put("ruleset.json", '{"nftables": []}');
    const { out, status } = await world.end(false, nft(put("rules.txt", saved(redirect)), json));
    expect(namesIn(out)[0]).toEqual(["tcp", 80, { address: "*", port: 8080 }]);
    expect(status).toBe(ExitStatus.done);
  });

  test("a rule that cannot be said is told with the reason, and the status is 1", async () => {
    const command = nft(put("rules.txt", saved(`${redirect}\n${away}`)));
    const { out, err, status } = await world.end(false, command);
    expect(out).toContain("8080");
    expect(err).toMatch(/^left out: .*192\.0\.2\.7:25: ./m);
    expect(status).toBe(ExitStatus.failed);
    expect(await world.json("import", command)).toMatchObject({
      left: [{ rule: `iptables -t nat ${away}`, reason: expect.stringMatching(/./) as string }],
    });
  });

  test("without rules there is nothing to import, and nothing to do next", async () => {
    const { err, status } = await world.end(false, nft());
    expect([err, status]).toEqual(["", ExitStatus.done]);
    expect(await world.json("import", nft())).toMatchObject({ mappings: [], taken: [] });
  });

  test("a host whose rules cannot be asked for is an error, with what to do instead", async () => {
    const remedy = "Give a file.";
    world.failures.set("askNat", new IlmError("NOT_FOUND", "nft could not be asked", { remedy }));
    const { out, err, status } = await world.end(false, nft());
    expect([out, err, status]).toEqual([
      "",
      `ilm: nft could not be asked\n  ${remedy}\n`,
      ExitStatus.failed,
    ]);
  });
});

describe("a file", () => {
  test.each([
    ["tubular", tubular({}, "/nowhere.json")],
    ["nft", nft("/nowhere.json")],
  ])("of %s that is not there is said so", async (_, command) => {
    const { err, status } = await world.end(false, command);
    expect(err).toBe("ilm: /nowhere.json: there is no such file\n  Check the path.\n");
    expect(status).toBe(ExitStatus.failed);
    expect(await world.failure(command)).toMatchObject({ error: { code: "NOT_FOUND" } });
  });

  test("that is neither JSON nor of iptables is refused, with the command that makes one", async () => {
    const file = put("rules.nft", "table ip nat {\n}\n");
    const { err, status } = await world.end(false, nft(file));
    expect(err).toContain(`${file} is not JSON`);
    expect(err).toContain("nft -j list ruleset > FILE");
    expect(status).toBe(ExitStatus.usage);
  });

  test("that is JSON of something else is refused, with what it should be", async () => {
    const file = put("other.json", "[]");
    const ofNft = await world.end(false, nft(file));
    expect(ofNft.err).toContain(`${file} has no list "nftables"`);
    expect(ofNft.status).toBe(ExitStatus.usage);
    const ofTubular = await world.end(false, tubular({}, file));
    expect(ofTubular.err).toContain('no list "bindings"');
    expect(ofTubular.status).toBe(ExitStatus.usage);
  });
});
