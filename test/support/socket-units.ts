/** What docs/socket-units.md shows, on a booted host, with the units that a test adds. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll } from "vitest";
import { type BootedHost, unitFolder, useBootedHost } from "./booted-host.js";
import type { Network } from "./network.js";
import { documents } from "./paths.js";
import { eventually, words } from "./process.js";
import type { ListenerRow } from "./shapes.js";

const page = readFileSync(join(documents, "socket-units.md"), "utf8");

/** The files that the page shows, each with its path in the first line, by their paths. */
export const shownFiles: ReadonlyMap<string, string> = new Map(
  [...page.matchAll(/^```\w+\n# (\/\S+)\n([^]*?)^```$/gm)].map(
    ([, path = "", text = ""]) => [path, text] as const,
  ),
);

const shownUnits = Object.fromEntries(
  [...shownFiles].flatMap(([path, text]) =>
    path.startsWith(`${unitFolder}/`) ? [[path.slice(unitFolder.length + 1), text]] : [],
  ),
);

export const configurationPath = "/etc/ilm/ilm.yaml";
export const answerPath = "/usr/local/lib/answer.py";

/** A unit of the page's program. */
export const answering = `[Service]\nExecStart=/usr/bin/python3 ${answerPath} 600\n`;

/** A host for the suite; `rules` returns its configuration, given that of the page. */
export function useSocketUnits(network: Network, rules: (shown: string) => string): SocketUnits {
  const units = new SocketUnits(useBootedHost(network));
  beforeAll(async () => {
    for (const [path, text] of shownFiles) units.host.write(path, text);
    await units.host.units(shownUnits);
    await units.apply(rules(shownFiles.get(configurationPath) ?? ""));
  });
  afterEach(async () => {
    await network.client.stopStarted();
    await units.startAfresh();
  });
  return units;
}

export class SocketUnits {
  readonly #host: () => BootedHost;

  constructor(host: () => BootedHost) {
    this.#host = host;
  }

  get host(): BootedHost {
    return this.#host();
  }

  async apply(rules: string): Promise<void> {
    this.host.write(configurationPath, rules);
    await this.host.ilmDone(["apply", "-f", configurationPath]);
  }

  /** What a command of ilm's says, which may find something. */
  async says(...args: readonly string[]): Promise<string> {
    return (await this.host.ilm(args)).text;
  }

  async listenersAt(port: number): Promise<readonly ListenerRow[]> {
    const rows = (await this.host.ilmDone(["listeners", "--json"])).json();
    return (rows as readonly ListenerRow[]).filter((row) => row.port === port);
  }

  async systemctl(command: string): Promise<string> {
    return (await this.host.must(["systemctl", ...words(command)])).trim();
  }

  /** Has systemd do what it refuses. */
  async failing(command: string): Promise<void> {
    const { status } = await this.host.run(["systemctl", ...words(command)]);
    if (status === 0) throw new Error(`systemctl ${command} has succeeded`);
  }

  async show(property: string, unit: string): Promise<string> {
    return await this.systemctl(`show --value --property ${property} ${unit}`);
  }

  async stateOf(unit: string): Promise<string> {
    return await this.show("ActiveState", unit);
  }

  async untilState(unit: string, state: string): Promise<void> {
    await eventually(`${unit} is ${state}`, async () =>
      (await this.stateOf(unit)) === state ? true : null,
    );
  }

  /** Waits for a message of systemd's. The journal may not know the unit of what has ended. */
  async untilLogged(message: RegExp): Promise<void> {
    await eventually(`${message.source} is in the journal`, async () =>
      message.test(await this.host.must(words("journalctl --boot --output cat"))) ? true : null,
    );
  }

  /** Writes the units, and starts those of sockets. */
  async start(units: Readonly<Record<string, string>>): Promise<void> {
    await this.host.units(units);
    const sockets = Object.keys(units).filter((name) => /[^@]\.socket$/.test(name));
    await this.systemctl(`start ${sockets.join(" ")}`);
  }

  /** Ends what a test has started, and leaves the units of the page alone. */
  async startAfresh(): Promise<void> {
    const listed = await this.systemctl(
      "list-units --plain --no-legend --full --type socket,service",
    );
    const units = listed
      .split("\n")
      .map((line) => line.split(" ")[0] ?? "")
      .filter((unit) => unit !== "" && !/^(systemd-|dbus\.|modprobe@)/.test(unit));
    if (units.length > 0) await this.systemctl(`stop ${units.join(" ")}`);
    await this.host.must(["rm", "-rf", unitFolder]);
    await this.host.units(shownUnits);
    await this.systemctl("reset-failed");
  }
}
