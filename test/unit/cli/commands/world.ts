/** A command's surroundings, made up: what it asks is in memory, and what it says is kept. */
import type { Context } from "../../../../src/cli/shell/context.js";
import type { Performed } from "../../../../src/control/perform.js";
import type { Owner } from "../../../../src/model/listener.js";
import { nothingActive, switched } from "../../../../src/api/result.js";
import { type Change, rulesAfter } from "../../../../src/rules/change.js";
import { outputs } from "../../../../src/json/outputs.js";
import { conforms } from "../../../support/conforms.js";
import { FakeDataPlane } from "../../daemon/fixtures.js";
import { contextFor } from "../fixtures.js";

export interface Said {
  readonly out: string;
  readonly err: string;
}

export class World {
  readonly dataPlane = new FakeDataPlane();
  readonly owners = new Map<string, Owner>();
  /** What commands asked for. */
  readonly asked: Change[] = [];
  by: Performed["by"] = "command";

  #perform(change: Change): Performed {
    this.asked.push(change);
    const { dataPlane, by } = this;
    if (change.kind === "unload") {
      return { ...nothingActive, changed: dataPlane.unload(), by };
    }
    if (change.kind === "off" || change.kind === "on") {
      const off = change.kind === "off";
      const generation = dataPlane.active()?.generation ?? 0;
      return { ...switched(generation, dataPlane.setOff(off), off), by };
    }
    return { ...dataPlane.apply(rulesAfter(dataPlane.active()?.rules ?? null, change)), by };
  }

  /** Runs the command, and gives what it said. */
  async say(json: boolean, command: (context: Context) => Promise<unknown>): Promise<Said> {
    const { context, said } = contextFor(json, {
      reach: {
        openDataPlane: async () => await Promise.resolve(this.dataPlane),
        performChange: async (_, change) => await Promise.resolve(this.#perform(change)),
        ownersOf: async () => await Promise.resolve((listener) => this.owners.get(listener.cookie)),
      },
    });
    await command(context);
    return said;
  }

  async text(command: (context: Context) => Promise<unknown>): Promise<string> {
    return (await this.say(false, command)).out;
  }

  /** Returns the JSON of the named command, and checks it against the published shapes. */
  async json(name: string, command: (context: Context) => Promise<unknown>): Promise<unknown> {
    const value: unknown = JSON.parse((await this.say(true, command)).out);
    const problems = (outputs[name] ?? []).map(({ shape }) => conforms(shape, value));
    const [least = ["it prints no JSON"]] = problems.toSorted((a, b) => a.length - b.length);
    if (least.length > 0) throw new Error(`ilm ${name} --json: ${least.join("; ")}`);
    return value;
  }
}
