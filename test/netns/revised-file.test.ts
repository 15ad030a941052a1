/**
 * A large file of lines that was changed: what differs is read and laid over what is active, and
 * nothing else tells that it was.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import { manyMappings, serveWebAndBlog } from "../support/many.js";
import { useNetwork } from "../support/network.js";
import type { MappingRow } from "../support/shapes.js";

const FILE = 11_000;
const network = useNetwork();
/** Addresses that the file names, and one that it does not; all are the server's. */
const [first, second, fresh] = ["10.0.0.7", "10.0.30.1", "10.9.0.1"] as const;
const names = { [first]: "m7", [second]: `m${30 * 256 + 1}` };
/** The line of a mapping: the head is the first. */
const lineOf = (index: number): number => index + 1;

interface Change {
  readonly changed: boolean;
  readonly incremental: boolean;
  readonly mappings: number;
  readonly timing?: readonly { readonly step: string }[];
  readonly warnings?: readonly { readonly message: string; readonly line: number }[];
}

let lines: string[] = [];
let path = "";
let run: Awaited<ReturnType<typeof network.server.startRun>> | undefined;

beforeAll(async () => {
  await serveWebAndBlog(network, [first, second, fresh]);
});

function write(name: string): void {
  path = network.server.file(lines.join("\n"), name);
}

/** `how`: what is done with the lines. */
function edit(how: (all: string[]) => void): void {
  how(lines);
  write(basename(path));
}

const blog = (line: string): string => line.replace("127.0.1.10", "127.0.1.11");
const mapping = (name: string, on: string, more = ""): string =>
  `{"name":"${name}","port":80,"on":"${on}","to":"127.0.1.11:8080"${more}}`;

async function apply(): Promise<Change> {
  return (await network.server.ilmDone(["apply", "-f", path, "--json"])).json() as Change;
}

async function rowOf(name: string): Promise<MappingRow | undefined> {
  const { text } = await network.server.ask(["mappings", name, "--json"]);
  const answer = JSON.parse(text) as readonly MappingRow[] | { readonly error: unknown };
  return "error" in answer ? undefined : answer[0];
}

async function who(address: string): Promise<string> {
  return await network.client.who("tcp", address, 80);
}

async function chosen(address: string): Promise<unknown> {
  const { text } = await network.server.ask(["explain", "tcp", `${address}:80`, "--json"]);
  return (JSON.parse(text) as { mapping: unknown }).mapping;
}

beforeEach(async () => {
  await run?.stop();
  run = undefined;
  await network.server.ilm(["unload"]);
  lines = manyMappings(FILE, () => "127.0.1.10:8080").split("\n");
  write("many.ndjson");
  await apply();
});

describe("a change of the file", () => {
  test("is laid over the active tables: of one that leads elsewhere, one that goes and one that comes", async () => {
    expect([await who(first), await who(second), await who(fresh)]).toEqual([
      "web",
      "web",
      "ECONNREFUSED",
    ]);
    edit((all) => {
      all[lineOf(7)] = blog(all[lineOf(7)] ?? "");
    });
    const changed = await apply();
    expect(changed).toMatchObject({ changed: true, incremental: true, mappings: FILE });
    expect(changed.timing?.map(({ step }) => step)).not.toContain("compiling");
    expect([await who(first), await who(second)]).toEqual(["blog", "web"]);
    expect([await chosen(first), await chosen(second)]).toEqual(["m7", names[second]]);
    edit((all) => {
      all.splice(lineOf(30 * 256 + 1), 1);
      all.splice(lineOf(3), 0, mapping("new", fresh));
    });
    expect(await apply()).toMatchObject({ changed: true, incremental: true, mappings: FILE });
    expect([await who(first), await who(second), await who(fresh)]).toEqual([
      "blog",
      "ECONNREFUSED",
      "blog",
    ]);
    expect([await chosen(first), await chosen(second), await chosen(fresh)]).toEqual([
      "m7",
      null,
      "new",
    ]);
    expect(await chosen("10.0.33.7")).toBe(`m${33 * 256 + 7}`);
  });

  test("leaves what a reader of the whole file would leave, also where it says the same again", async () => {
    edit((all) => {
      all[lineOf(100)] = blog(all[lineOf(100)] ?? "");
      all.splice(lineOf(9_000), 3, "", mapping("a", "10.9.1.1"), mapping("b", "10.9.1.2"));
      all.push(mapping("last", "10.9.1.3"));
    });
    expect(await apply()).toMatchObject({ incremental: true, mappings: FILE });
    const laid = await network.server.ilmDone(["mappings", "--json"]);
    expect(await apply()).toMatchObject({ changed: false });
    const diff = await network.server.ilmDone(["diff", "-f", path]);
    expect(diff.stdout).toBe("unchanged\n");
    await network.server.ilmDone(["unload"]);
    expect(await apply()).toMatchObject({ incremental: false, mappings: FILE });
    const whole = await network.server.ilmDone(["mappings", "--json"]);
    // Since when a listener is known is forgotten by `unload`.
    const shown = ({ stdout }: { stdout: string }): unknown =>
      JSON.parse(stdout, (key, value: unknown) => (key === "since" ? null : value));
    expect(shown(laid)).toEqual(shown(whole));
  });

  test("goes on after text that means the same, and beside mappings added at run time", async () => {
    edit((all) => {
      all.splice(lineOf(50), 0, "", "");
    });
    expect(await apply()).toMatchObject({ changed: false });
    edit((all) => {
      all[lineOf(7)] = blog(all[lineOf(7)] ?? "");
    });
    // The active lines are those of the text before the last.
    expect(await apply()).toMatchObject({ changed: true, mappings: FILE });
    expect(await who(first)).toBe("blog");
    await network.server.ilmDone(["add", `tcp:80@${fresh}=127.0.1.10:8080`]);
    edit((all) => {
      all[lineOf(30 * 256 + 1) + 2] = blog(all[lineOf(30 * 256 + 1) + 2] ?? "");
    });
    expect(await apply()).toMatchObject({ incremental: true, mappings: FILE + 1 });
    expect([await who(first), await who(second), await who(fresh)]).toEqual([
      "blog",
      "blog",
      "web",
    ]);
    await network.server.ilmDone(["remove", `tcp:80@${fresh}/32`]);
    expect(await who(fresh)).toBe("ECONNREFUSED");
    expect(await who(second)).toBe("blog");
  });

  test("is one also when another file has the lines, and the services", async () => {
    lines[0] = '{"version":1,"services":{"web":{"address":"127.0.1.10"}}}';
    write("many.ndjson");
    await apply();
    edit((all) => {
      all[lineOf(7)] = blog(all[lineOf(7)] ?? "");
    });
    write("another.ndjson");
    expect(await apply()).toMatchObject({ incremental: true, mappings: FILE });
    expect(await who(first)).toBe("blog");
    expect((await network.server.askDone(["status"])).stdout).toContain("another.ndjson");
    const tie = await network.server.ilm(["add", `tcp:80@${second}=127.0.1.11:8080`]);
    expect(tie.stderr).toContain("another.ndjson:7683:1");
    // Also where the change is beside the services.
    edit((all) => {
      all[lineOf(1)] = blog(all[lineOf(1)] ?? "");
    });
    write("third.ndjson");
    expect(await apply()).toMatchObject({ incremental: true, mappings: FILE });
    expect((await apply()).changed).toBe(false);
  });

  test("keeps the counters of what stays or leads elsewhere, and starts at zero with what comes again", async () => {
    await who(first);
    await who(second);
    const taken = lines[lineOf(30 * 256 + 1)] ?? "";
    edit((all) => {
      all[lineOf(7)] = blog(all[lineOf(7)] ?? "");
      all.splice(lineOf(30 * 256 + 1), 1);
    });
    expect(await apply()).toMatchObject({ incremental: true });
    await who(first);
    expect((await rowOf("m7"))?.counters.selected).toBe(2);
    edit((all) => all.push(taken, mapping("more", fresh)));
    expect(await apply()).toMatchObject({ incremental: true });
    await who(first);
    await who(second);
    await who(fresh);
    expect((await rowOf("m7"))?.counters.selected).toBe(3);
    expect((await rowOf(names[second]))?.counters.selected).toBe(1);
    expect((await rowOf("more"))?.counters.selected).toBe(1);
    const status = (await network.server.askDone(["status", "--json"])).json();
    expect(status).toMatchObject({ lookups: { selected: 5 } });
  });

  test("is reported by monitor by the names that mappings have then", async () => {
    edit((all) => {
      all.splice(lineOf(2), 1);
      all.splice(lineOf(1), 0, mapping("new", fresh));
    });
    expect(await apply()).toMatchObject({ incremental: true });
    const monitor = network.server.start(network.server.ilmCommand(["monitor", "--json"]));
    await expect
      .poll(
        async () => {
          await who(fresh);
          await who(second);
          return monitor.stdout;
        },
        { timeout: 60_000 },
      )
      .toMatch(/"new"[^]*"m7681"|"m7681"[^]*"new"/);
    await monitor.stop();
  });
});

test("of a folder, the lines of its large files are laid over, and another file that changed makes it read whole", async () => {
  const folder = join(network.server.folder, "rules.d");
  mkdirSync(folder);
  const put = (name: string, text: string): void => {
    writeFileSync(join(folder, name), text);
  };
  const services = (address: string): string =>
    `version: 1\nservices: { blog: { address: ${address} } }\nmappings: [{ name: early, port: 81, on: ${fresh}, to: "blog:8080" }]\n`;
  put("10-services.yaml", services("127.0.1.11"));
  put("20-many.ndjson", lines.join("\n"));
  put("30-more.ndjson", `${mapping("more", fresh)}\n`);
  path = folder;
  expect(await apply()).toMatchObject({ changed: true, mappings: FILE + 2 });
  lines[lineOf(7)] = `{"name":"m7","port":80,"on":"${first}","to":"blog:8080"}`;
  lines.splice(lineOf(5), 1, "");
  put("20-many.ndjson", lines.join("\n"));
  const changed = await apply();
  expect(changed).toMatchObject({ incremental: true, mappings: FILE + 1 });
  expect(changed.timing?.map(({ step }) => step)).not.toContain("compiling");
  expect([await who(first), await who(fresh)]).toEqual(["blog", "blog"]);
  expect(await chosen("10.0.0.5")).toBeNull();
  const tie = await network.server.ilm(["add", `tcp:80@${fresh}=127.0.1.11:8080`]);
  expect(tie.stderr).toContain("30-more.ndjson:1:1");
  // A small file: it is read whole, and so are the others.
  put("30-more.ndjson", `${mapping("another", fresh)}\n`);
  expect(await apply()).toMatchObject({ incremental: false, mappings: FILE + 1 });
  expect(await chosen(fresh)).toBe("another");
  put("10-services.yaml", services("127.0.1.10"));
  expect(await apply()).toMatchObject({ incremental: false, mappings: FILE + 1 });
  expect(await who(first)).toBe("web");
  // In the beginning of a file there may be services.
  lines[0] = '{"version":1,"services":{"third":{"address":"127.0.1.12"}}}';
  put("20-many.ndjson", lines.join("\n"));
  await apply();
  const status = (await network.server.askDone(["status", "--json"])).json();
  expect(status).toMatchObject({ services: 2 });
});

describe("what is wrong or doubtful is found against everything", () => {
  async function refused(): Promise<string> {
    const { status, stderr } = await network.server.ilm(["apply", "-f", path]);
    expect(status).toBe(3);
    expect(await who(first)).toBe("web");
    return stderr;
  }

  test("a name that is taken, with both lines", async () => {
    edit((all) => all.splice(lineOf(10), 0, mapping("m9000", fresh)));
    expect(await refused()).toMatch(/many\.ndjson:9003:9: .*m9000.*many\.ndjson:12:1/);
  });

  test("a tie", async () => {
    edit((all) => all.push(mapping("tie", first)));
    expect(await refused()).toMatch(/ties with mapping m7 \(.*many\.ndjson:9:1\)/);
  });

  test("a line that is not right", async () => {
    edit((all) => all.splice(lineOf(6_000), 0, '{"port":80,"too":"127.0.1.10:8080"}'));
    expect(await refused()).toMatch(/many\.ndjson:6002:/);
  });

  test("a second head", async () => {
    edit((all) => all.splice(lineOf(6_000), 0, '{"version":1}'));
    expect(await refused()).toMatch(/many\.ndjson:6002:/);
  });

  test("a mapping that can never match any more", async () => {
    // With its neighbour it fills up the prefix around both.
    edit((all) => all.push('{"name":"net","port":80,"on":"10.9.0.0/31","to":"127.0.1.10:8080"}'));
    await apply();
    edit((all) => all.push(mapping("one", fresh)));
    expect((await apply()).warnings).toEqual([]);
    edit((all) => all.push(mapping("other", "10.9.0.0")));
    expect((await apply()).warnings).toMatchObject([
      { message: expect.stringMatching(/can never match.*one.*other/) as string },
    ]);
    expect(await who(fresh)).toBe("blog");
  });

  test("a mapping that stood behind one that goes", async () => {
    edit((all) =>
      all.push(`{"name":"wide","port":"80-81","on":"${first}","to":"127.0.1.11:8080"}`),
    );
    await apply();
    expect(await who(first)).toBe("web");
    edit((all) => all.splice(lineOf(7), 1));
    expect(await apply()).toMatchObject({ changed: true });
    expect(await who(first)).toBe("blog");
    expect(await chosen(first)).toBe("wide");
  });

  test("other services, and a destination that is not this host's", async () => {
    edit((all) => {
      all[0] = '{"version":1,"services":{"blog":{"address":"127.0.1.11"}}}';
      all.push(`{"name":"named","port":80,"on":"${fresh}","to":"blog:8080"}`);
    });
    expect(await apply()).toMatchObject({ changed: true, mappings: FILE + 1 });
    expect(await who(fresh)).toBe("blog");
    edit((all) => {
      all.push('{"name":"away","port":80,"on":"10.9.0.2","to":"198.51.100.9:8080"}');
    });
    expect((await apply()).warnings).toMatchObject([
      { message: expect.stringContaining("198.51.100.9") as string },
    ]);
  });
});

test("run takes a change from the file in the same way, and what a command hands it", async () => {
  run = await network.server.startRun(["-f", path]);
  edit((all) => {
    all[lineOf(7)] = blog(all[lineOf(7)] ?? "");
  });
  await expect.poll(async () => await who(first), { timeout: 30_000 }).toBe("blog");
  edit((all) => {
    all[lineOf(30 * 256 + 1)] = blog(all[lineOf(30 * 256 + 1)] ?? "");
  });
  // Whoever comes first: run, which follows the file, or the command, which hands it what differs.
  expect(await apply()).toMatchObject({ mappings: FILE });
  expect([await who(first), await who(second)]).toEqual(["blog", "blog"]);
  // Of another file nobody but the command knows.
  write("another.ndjson");
  await apply();
  edit((all) => all.splice(lineOf(5), 1));
  expect(await apply()).toMatchObject({ mappings: FILE - 1 });
  expect(await chosen("10.0.0.5")).toBeNull();
  await run.stop();
  run = undefined;
  edit((all) => all.push(mapping("new", fresh)));
  expect(await apply()).toMatchObject({ incremental: true });
  expect(await who(fresh)).toBe("blog");
});
