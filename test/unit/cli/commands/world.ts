/** A command's surroundings, made up: what it asks is in memory, and what it says is kept. */
import type { Context } from "../../../../src/cli/shell/context.js";
import type { Reach } from "../../../../src/cli/shell/reach.js";
import type { Host } from "../../../../src/config/import-nft.js";
import type { NftSources } from "../../../../src/config/nft/sources.js";
import type { DaemonAccess } from "../../../../src/control/over-api.js";
import { type Performed, decide } from "../../../../src/control/perform.js";
import type { DaemonOptions } from "../../../../src/daemon/daemon.js";
import type { DemoOptions } from "../../../../src/demo/demo.js";
import type { Places, Surroundings } from "../../../../src/doctor/way.js";
import type { AskedDaemon } from "../../../../src/doctor/writer.js";
import type { Capability } from "../../../../src/kernel/capabilities.js";
import type { HostCheck } from "../../../../src/kernel/features.js";
import type { FionreadAnswer } from "../../../../src/kernel/fionread.js";
import type { Holder } from "../../../../src/model/listener.js";
import type { Shape } from "../../../../src/json/shape.js";
import { nothingActive, switched } from "../../../../src/api/result.js";
import { reportError } from "../../../../src/cli/render/error.js";
import { ExitStatus } from "../../../../src/errors.js";
import { mappingKey } from "../../../../src/model/mapping.js";
import { allMappings, noActiveRules, readRules, type Rules } from "../../../../src/model/rules.js";
import { confirmSecondsOf, type Change, rulesAfter } from "../../../../src/rules/change.js";
import { summarize, summaryOfDrains } from "../../../../src/rules/summary.js";
import { failureOutput, outputs } from "../../../../src/json/outputs.js";
import { conforms } from "../../../support/conforms.js";
import { address, FakeDataPlane } from "../../daemon/fixtures.js";
import { contextFor } from "../fixtures.js";

type Command = (context: Context) => Promise<ExitStatus | void> | void;

export interface Said {
  readonly out: string;
  readonly err: string;
}

export interface Ended extends Said {
  readonly status: ExitStatus;
}

export class World {
  readonly dataPlane = new FakeDataPlane();
  readonly holders = new Map<string, Holder>();
  /** What commands asked for. */
  readonly asked: Change[] = [];
  by: Performed["by"] = "command";
  follows: Performed["follows"] = null;
  daemon: AskedDaemon = { daemon: null, writer: null };
  /** What a user who may not open the data plane finds. */
  access: DaemonAccess | null = null;
  readonly groups = new Map<string, number>();
  /** What `run` kept beside what it needs; null before it has. */
  kept: readonly Capability[] | null = null;
  notGivenUp: readonly string[] = [];
  checks: HostCheck[] = [];
  fionread: FionreadAnswer = "right";
  places: Places = {
    names: new Map([
      [1, "lo"],
      [2, "eth0"],
    ]),
    own: [
      {
        address: address("203.0.113.1"),
        interfaceIndex: 2,
        prefixLength: 24,
        ours: false,
        duplicate: "none",
      },
    ],
    links: new Map([[2, { up: true, carrier: true, resolves: true, inVrf: false }]]),
    routeOf: () => ({ type: "local", interfaceIndex: 1 }),
    routeBack: () => ({ type: "unicast", interfaceIndex: 2 }),
  };
  /** Nothing is in the way. */
  around: Omit<Surroundings, keyof Places> = {
    firewall: { chains: [], unfollowed: [], unread: null },
    conntrack: null,
    setting: () => undefined,
    proxied: [],
    xdp: new Set(),
    otherPrograms: [],
    detached: false,
    off: false,
  };
  nat: NftSources = { rulesets: [], saved: [] };
  readonly host: Host = {
    addresses: [address("203.0.113.1")],
    interfaces: [{ name: "eth0", addresses: [address("203.0.113.1")] }],
    bound: [],
    forwards: [],
    ephemeral: { range: { first: 32_768, last: 60_999 }, reserved: [] },
  };
  daemonRuns: (options: DaemonOptions) => void = () => undefined;
  demoRuns: (options: DemoOptions) => void = () => undefined;
  /** What fails, and with which error. */
  readonly failures = new Map<keyof Reach, Error>();

  #opened = 0;
  readonly #reach: Reach = {
    openDataPlane: async () =>
      await this.#answer("openDataPlane", () => {
        this.#opened += 1;
        return this.dataPlane;
      }),
    performChange: async (_, change) =>
      await this.#answer("performChange", () => this.#perform(change)),
    accessDaemon: async () => await this.#answer("accessDaemon", () => this.access),
    findGroup: async (name) => await this.#answer("findGroup", () => this.groups.get(name)),
    keepOnly: async (kept) =>
      await this.#answer("keepOnly", () => {
        this.kept = kept;
        return this.notGivenUp;
      }),
    holdersOf: async () =>
      await this.#answer("holdersOf", () => (listener) => this.holders.get(listener.cookie)),
    askDaemon: async () => await this.#answer("askDaemon", () => this.daemon),
    probeHost: async () => await this.#answer("probeHost", () => ({ checks: this.checks })),
    tryFionread: async () => await this.#answer("tryFionread", () => this.fionread),
    lookForPlaces: async () => await this.#answer("lookForPlaces", () => this.places),
    lookAround: async (_, places) =>
      await this.#answer("lookAround", () => ({ ...places, ...this.around })),
    askNat: async () => await this.#answer("askNat", () => this.nat),
    importingHost: async () => await this.#answer("importingHost", () => this.host),
    runDaemon: async (options) =>
      await this.#answer("runDaemon", () => {
        this.daemonRuns(options);
      }),
    machineId: async () => await this.#answer("machineId", () => this.machineId),
    runDemo: async (options) =>
      await this.#answer("runDemo", () => {
        this.demoRuns(options);
      }),
  };

  async #answer<T>(name: keyof Reach, answer: () => T): Promise<T> {
    const failure = this.failures.get(name);
    if (failure !== undefined) throw failure;
    return await Promise.resolve(answer());
  }
  machineId: string | null = "0123456789abcdef0123456789abcdef";

  #perform(change: Change): Performed {
    this.asked.push(change);
    const { dataPlane, by, follows } = this;
    if (change.kind === "unload") {
      return { ...nothingActive, changed: dataPlane.unload(), by, follows };
    }
    if (change.kind === "off" || change.kind === "on") {
      const off = change.kind === "off";
      const generation = dataPlane.active()?.generation ?? 0;
      return { ...switched(generation, dataPlane.setOff(off), off), by, follows };
    }
    if (change.kind === "confirm" || change.kind === "back") {
      return { ...decide(dataPlane, change), by, follows };
    }
    if (change.kind === "rollback") {
      return { ...nothingActive, generation: dataPlane.active()?.generation ?? 0, by, follows };
    }
    const before = dataPlane.active()?.rules ?? noActiveRules;
    const after = rulesAfter(before, change);
    const confirmSeconds = confirmSecondsOf(change);
    const result = dataPlane.apply(after, { confirmSeconds });
    const told = result.changed ? difference(readRules(before), readRules(after)) : null;
    return { ...result, difference: told, by, follows };
  }

  /** Runs a command as the command line does, and gives what it said and its exit status. */
  async end(json: boolean, command: Command): Promise<Ended> {
    const { context, said } = contextFor(json, { reach: this.#reach });
    let status: ExitStatus;
    try {
      status = (await command(context)) ?? ExitStatus.done;
    } catch (error) {
      status = reportError(context, error);
    }
    this.#requireClosed();
    return { ...said, status };
  }

  /** Runs the command, which does not fail, and gives what it said. */
  async say(json: boolean, command: Command): Promise<Said> {
    const { context, said } = contextFor(json, { reach: this.#reach });
    await command(context);
    this.#requireClosed();
    return said;
  }

  /** Whatever becomes of a command, it closes the data plane that it opened. */
  #requireClosed(): void {
    const { closed } = this.dataPlane;
    if (closed !== this.#opened) {
      throw new Error(`opened ${this.#opened} times, and closed ${closed} times`);
    }
  }

  async text(command: Command): Promise<string> {
    return (await this.say(false, command)).out;
  }

  /** Returns the JSON of the named command, and checks it against the published shapes. */
  async json(name: string, command: Command): Promise<unknown> {
    const value: unknown = JSON.parse((await this.say(true, command)).out);
    requireShape(`ilm ${name} --json`, outputsOf(name), value);
    return value;
  }

  /** Each line of a command that prints one document for each. */
  async jsonLines(name: string, command: Command): Promise<unknown[]> {
    return linesOf(name, (await this.say(true, command)).out);
  }

  /** What a command that fails prints in the place of its own output. */
  async failure(command: Command): Promise<unknown> {
    const value: unknown = JSON.parse((await this.end(true, command)).out);
    requireShape("a failure", [failureOutput.shape], value);
    return value;
  }
}

/** The documents on the lines of a text, all of a published shape of this command. */
export function linesOf(name: string, text: string): unknown[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const value: unknown = JSON.parse(line);
      requireShape(`ilm ${name} --json`, outputsOf(name), value);
      return value;
    });
}

function outputsOf(name: string): Shape[] {
  return (outputs[name] ?? []).map(({ shape }) => shape);
}

function requireShape(what: string, shapes: readonly Shape[], value: unknown): void {
  const problems = shapes.map((shape) => conforms(shape, value));
  const [least = ["it prints no JSON"]] = problems.toSorted((a, b) => a.length - b.length);
  if (least.length > 0) throw new Error(`${what}: ${least.join("; ")}`);
}

function difference(before: Rules, after: Rules): NonNullable<Performed["difference"]> {
  const places = new Map([...allMappings(before)].map((one, index) => [mappingKey(one), index]));
  const found = [...allMappings(after)].map((one) => places.get(mappingKey(one)) ?? -1);
  return {
    ...summarize(before, after, Int32Array.from(found)),
    ...summaryOfDrains(before.drained ?? [], after.drained ?? [], () => after),
  };
}
