/**
 * Lives in the network namespace under test. `write WAY` activates two rule sets in turns,
 * until its input ends, and prints how often; `read COUNT` asks the loaded program at least so
 * often what it decides, and prints what it said that neither of the two says; `overtaken` asks
 * once, while the rule sets change.
 */
import { openDataPlane } from "../../src/dataplane/open.js";
import { type Loaded, State } from "../../src/dataplane/install/state.js";
import { explain } from "../../src/dataplane/observe/ask.js";
import type { Address, Prefix } from "../../src/model/address.js";
import type { Packet } from "../../src/model/decision.js";
import type { Mapping } from "../../src/model/mapping.js";
import { type RuleSet, inMemory } from "../../src/model/rules.js";
import { toColumns } from "../../src/model/mapping-columns.js";
import { type Piece, revise } from "../../src/model/revision.js";
import { ENOUGH_GENERATIONS, type Way, daemons, dialled, port } from "./generations-of.js";

const asked: Packet = {
  protocol: "tcp",
  local: dialled,
  localPort: port,
  remote: "203.0.113.100" as Address,
  remotePort: 40_000,
  interfaceIndex: 0,
};

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
 * mapping, at another place. The names are new each time, as tables that stay know the first ones.
 */
function own(turn: number): Mapping[] {
  const to = daemons[turn % 2] ?? dialled;
  return turn % 2 === 0
    ? [mapping(`even-${turn}`, port, [`${dialled}/32`], to)]
    : [mapping(`odd-${turn}`, port, ["203.0.113.0/24"], to), mapping(`more-${turn}`, 6100, [], to)];
}

function shared(to: Address): Mapping[] {
  return [1, 2, 3].map((i) => mapping(`other-${i}`, port + i, [], to));
}

function baseFile(): RuleSet {
  return { services: [], mappings: toColumns(shared(daemons[0] ?? dialled)) };
}

function fileOf(turn: number): RuleSet {
  const others = shared(daemons[turn % 2] ?? dialled);
  const mappings = turn % 2 === 0 ? [...own(turn), ...others] : [...others, ...own(turn)];
  return { services: [], mappings: toColumns(mappings) };
}

/** Keeps what all have: in tables that stay, nothing may be where own() lays something on top. */
function piecesOf(turn: number): Piece[] {
  const kept = { first: turn % 2 === 0 || turn === 1 ? 0 : 1, count: 3, lines: 0 };
  return turn % 2 === 0 ? [own(turn), kept] : [kept, own(turn)];
}

/** Resolves when nothing more comes. */
async function ended(): Promise<void> {
  for await (const _ of process.stdin) void _;
}

async function write(way: Way): Promise<void> {
  const dataPlane = openDataPlane(way === "other side" ? {} : { layeredFrom: 0 });
  const end = new AbortController();
  void ended().then(() => {
    end.abort();
  });
  let turn = 0;
  let overlays = 0;
  const base = way === "overlay" ? baseFile() : fileOf(turn);
  dataPlane.apply({ sources: [], file: inMemory(base), runtime: [] });
  while (!end.signal.aborted) {
    turn += 1;
    const of = dataPlane.active()?.rules.file;
    if (of === undefined) throw new Error("no rules are active");
    const revision = way === "overlay" ? { of, pieces: piecesOf(turn), name: null } : null;
    const file = inMemory(revision === null ? fileOf(turn) : revise(revision));
    const result = dataPlane.apply({ sources: [], file, runtime: [] }, { revision });
    if (result.incremental) overlays++;
    if (turn === 1) process.stdout.write("writing\n");
    // What ended meanwhile is heard of.
    await new Promise(setImmediate);
  }
  process.stdout.write(`${JSON.stringify({ changes: turn, overlays })}\n`);
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
    const found = dataPlane.explain(asked);
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

/** Other rules become active after the question has found the active ones, and before it is put. */
function overtaken(): void {
  // Each change brings programs of its own: those of before answer as before.
  const writer = openDataPlane({ layeredFrom: 0 });
  const apply = (turn: number): void => {
    writer.apply({ sources: [], file: inMemory(fileOf(turn)), runtime: [] });
  };
  apply(0);
  class Overtaken extends State {
    #found = 0;

    override require(): Loaded {
      const loaded = super.require();
      this.#found++;
      if (this.#found === 1) apply(1);
      return loaded;
    }
  }
  const state = new Overtaken({});
  const { generation, mapping: index, matchedBy, verdict } = explain(state, asked);
  process.stdout.write(JSON.stringify({ generation, mapping: index, matchedBy, verdict }));
  state.close();
  writer.close();
}

const [what, argument] = process.argv.slice(2);
if (what === "write") await write(argument as Way);
else if (what === "overtaken") overtaken();
else read(Number(argument));
