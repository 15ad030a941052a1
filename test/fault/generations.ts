/**
 * Lives in the network namespace under test. `write LAYERED` activates two rule sets in turns,
 * until its input ends, and prints how often; `read COUNT` asks the loaded program at least so
 * often what it decides, and prints what it said that neither of the two says.
 */
import { openDataPlane } from "../../src/dataplane/open.js";
import type { Address, Prefix } from "../../src/model/address.js";
import type { Mapping } from "../../src/model/mapping.js";
import { type RuleSet, inMemory } from "../../src/model/rules.js";
import { toColumns } from "../../src/model/mapping-columns.js";
import { type Piece, revise } from "../../src/model/revision.js";
import { ENOUGH_GENERATIONS, daemons, dialled, port } from "./generations-of.js";

function mapping(name: string, first: number, on: readonly string[], to: Address): Mapping {
  return {
    name,
    protocol: "tcp",
    ports: [{ first, last: first }],
    on: on as readonly Prefix[],
    to: [{ address: to, port: 7000 }],
    existing: "exact",
    miss: "reject",
    origin: { file: "generations", line: 1, column: 1 },
  };
}

/**
 * What is dialled is found by its address in one, and by a prefix in the other; and it is another
 * mapping, at another place.
 */
function mappings(turn: number): Mapping[] {
  const to = daemons[turn % 2] ?? dialled;
  const others = [1, 2, 3].map((i) => mapping(`other-${i}`, port + i, [], to));
  return turn % 2 === 0
    ? [mapping("even", port, [`${dialled}/32`], to), ...others]
    : [...others, mapping("odd", port, ["203.0.113.0/24"], to), mapping("more", 6100, [], to)];
}

const fileOf = (turn: number): RuleSet => ({ services: [], mappings: toColumns(mappings(turn)) });

/** Resolves when nothing more comes. */
async function ended(): Promise<void> {
  for await (const _ of process.stdin) void _;
}

async function write(layered: boolean): Promise<void> {
  const dataPlane = openDataPlane(layered ? { layeredFrom: 0 } : {});
  const end = new AbortController();
  void ended().then(() => {
    end.abort();
  });
  let turn = 0;
  dataPlane.apply({ source: null, file: inMemory(fileOf(turn)), runtime: [] });
  process.stdout.write("writing\n");
  while (!end.signal.aborted) {
    turn += 1;
    const before = dataPlane.active()?.rules.file;
    if (before === undefined) throw new Error("no rules are active");
    // As a revision that keeps nothing: it is laid over the tables, where there is room for that.
    const pieces: Piece[] = [mappings(turn)];
    const revision = { of: before, pieces, name: null };
    const file = inMemory(layered ? revise(revision) : fileOf(turn));
    dataPlane.apply({ source: null, file, runtime: [] }, { revision: layered ? revision : null });
    // What ended meanwhile is heard of.
    await new Promise(setImmediate);
  }
  process.stdout.write(`${JSON.stringify({ changes: turn })}\n`);
  dataPlane.close();
}

/** How many times as many decisions as asked for are made while there are too few changes. */
const MOST = 50;

function read(count: number): void {
  const dataPlane = openDataPlane();
  const cookies = daemons.map(
    (address) => dataPlane.listeners().find((one) => one.address === address)?.cookie,
  );
  const generations = new Set<number>();
  const mixed: unknown[] = [];
  let decisions = 0;
  // On a busy machine, changes may be few for a while.
  while (decisions < count || (generations.size < ENOUGH_GENERATIONS && decisions < MOST * count)) {
    decisions++;
    const found = dataPlane.explain({
      protocol: "tcp",
      local: dialled,
      localPort: port,
      remote: "203.0.113.100" as Address,
      remotePort: 40_000,
      interfaceIndex: 0,
    });
    generations.add(found.generation);
    // The first generation is an even turn.
    const turn = (found.generation + 1) % 2;
    const { mapping: index, matchedBy, cookie } = found;
    const expected = turn === 0 ? [0, "exact"] : [3, "prefix"];
    const isOne = index === expected[0] && matchedBy === expected[1] && cookie === cookies[turn];
    if (!isOne) mixed.push(found);
  }
  const result = { decisions, generations: generations.size, mixed: mixed.slice(0, 3) };
  process.stdout.write(`${JSON.stringify(result)}\n`);
  dataPlane.close();
}

const [what, argument] = process.argv.slice(2);
if (what === "write") await write(argument === "true");
else read(Number(argument));
