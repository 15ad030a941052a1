/**
 * Moves daemons, one after the other, from every address to their own, or back. While one is
 * restarted, what clients send to its ports is dropped by the holding sockets, and they send it
 * again; nobody is refused.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { IlmError } from "../errors.js";
import type { Address } from "../model/address.js";
import type { Outcome } from "../model/adopt.js";
import type { Listener } from "../model/listener.js";
import { portState } from "../kernel/tcp-state.js";
import { commandText, noRestart, restartCommands, reverse } from "./commands.js";
import type { Facts } from "./facts.js";
import { astrayPorts, missingPorts } from "./home.js";
import { isOf, ownerOf, type AdoptedPort, type AdoptedService } from "./service.js";
import { socketUnitText, writeSocketUnit } from "./socket-unit.js";
import { endSpare, SPARE_UNIT, startSpare, watchLogins, type LoginWatch } from "./ssh.js";
import {
  journalOf,
  prepareCommands,
  runCommand,
  unitStates,
  type CommandResult,
} from "./systemd.js";
import {
  portsText,
  publishedText,
  type Configuration,
  type HoldAddresses,
  type Stage,
  type WrittenService,
} from "./text.js";

export type Way = "adopt" | "undo";

export interface Moved {
  readonly name: string;
  readonly outcome: Outcome;
  /** What else there is to say; null for nothing. */
  readonly message: string | null;
  /** The number of established connections that were open when it was restarted. */
  readonly cut: number;
}

export interface SpareLeft {
  readonly port: number;
  readonly endWith: string;
}

/** What a move does to the host. */
export interface Hands {
  /** Writes the configuration and makes it active. */
  activate(configuration: Configuration): Promise<void>;
  /** Looks again at what listens. */
  look(): Promise<Facts>;
  listeners(): readonly Listener[];
  /** Returns a service's own addresses, once a configuration with it is active. */
  addressesOf(name: string): readonly Address[];
  /** Tells the user what is going on. */
  say(text: string): void;
  /** True once the user wants it to end. */
  isEnding(): boolean;
}

export interface MoveOptions {
  readonly way: Way;
  readonly drainSeconds: number;
  readonly startSeconds: number;
  readonly loginSeconds: number;
  readonly sparePort: number;
  readonly hold: HoldAddresses;
  readonly ula: string | null;
}

const LOOK_EVERY_MS = 50;
const DRAIN_EVERY_MS = 100;
const LOGIN_EVERY_MS = 250;
const NEEDS_SOCKETS = " (it has to take its sockets from systemd: sd_listen_fds(3))";
/** How long a daemon with a socket unit has to stay: nginx tries its address for 2.5 s. */
const TAKES_SOCKETS_MS = 4_000;
/** How long sockets that a restart opens beside the published ones are waited for. */
const OTHERS_MS = 5_000;

export class Mover {
  readonly #hands: Hands;
  readonly #options: MoveOptions;
  /** The services that are in the file, and have been moved. */
  readonly #written: Map<string, WrittenService>;
  spareLeft: SpareLeft | null = null;

  constructor(hands: Hands, options: MoveOptions, written: readonly WrittenService[]) {
    this.#hands = hands;
    this.#options = options;
    this.#written = new Map(written.map((one) => [one.name, one]));
  }

  get written(): readonly WrittenService[] {
    return [...this.#written.values()];
  }

  /** Moves them in this order. Stops at the first that could neither be moved nor taken back. */
  async moveAll(services: readonly AdoptedService[]): Promise<Moved[]> {
    const done: Moved[] = [];
    for (const service of services) {
      const before = done.at(-1)?.outcome;
      const isOver = this.#hands.isEnding() || before === "failed";
      done.push(isOver ? this.#notBegun(service, before) : await this.#tryOne(service));
    }
    return done;
  }

  #notBegun({ name }: AdoptedService, before: Outcome | undefined): Moved {
    const why = before === "failed" ? "another one failed" : "it was asked to end";
    return {
      name,
      outcome: "not begun",
      message: `${why}; run the command again to go on`,
      cut: 0,
    };
  }

  /** What was done before is reported, whatever happens to this one. */
  async #tryOne(service: AdoptedService): Promise<Moved> {
    try {
      return await this.#moveOne(service);
    } catch (error) {
      if (!(error instanceof IlmError)) throw error;
      const { message, remedy } = error;
      const next = "then run the command again to go on";
      return {
        name: service.name,
        outcome: "failed",
        message: [message, remedy?.replace(/\.$/, ""), next].filter(Boolean).join("; "),
        cut: 0,
      };
    }
  }

  async #moveOne(service: AdoptedService): Promise<Moved> {
    const { way } = this.#options;
    const { name, place, restart } = service;
    if (place === "nowhere" || place === (way === "adopt" ? "private" : "wildcard")) {
      // It is there already, or will be when it starts.
      await this.#settle(service, way);
      return {
        name,
        outcome: place === "nowhere" ? "not running" : "already",
        message: null,
        cut: 0,
      };
    }
    if (restart.kind === "unknown") {
      return {
        name,
        outcome: "not restarted",
        message: noRestart(name),
        cut: 0,
      };
    }
    return service.isSsh ? await this.#moveSsh(service) : await this.#moveDaemon(service);
  }

  async #moveSsh(service: AdoptedService): Promise<Moved> {
    const { sparePort, loginSeconds } = this.#options;
    this.#say(service, `starting a second sshd on port ${sparePort}`);
    await endSpare();
    try {
      await startSpare(sparePort);
    } catch (error) {
      if (!(error instanceof IlmError)) throw error;
      const { message, remedy = "" } = error;
      return { name: service.name, outcome: "withdrawn", message: `${message}; ${remedy}`, cut: 0 };
    }
    this.#say(service, `the second sshd answers: \`ssh -p ${sparePort}\` is another way in`);
    const watch = await watchLogins();
    const moved = await this.#moveDaemon(service);
    if (moved.outcome === "moved" && (await this.#untilLogin(service, watch, loginSeconds))) {
      this.#say(service, "a new login was seen; ending the second sshd");
      await endSpare();
      return moved;
    }
    const endWith = `systemctl stop ${SPARE_UNIT}`;
    if (moved.outcome === "withdrawn") {
      await endSpare();
      return moved;
    }
    this.spareLeft = { port: sparePort, endWith };
    const stays = `the second sshd stays on port ${sparePort}; \`${endWith}\` ends it`;
    const why = moved.outcome === "moved" ? "no new login was seen: " : "";
    return { ...moved, message: [moved.message, `${why}${stays}`].filter(Boolean).join("; ") };
  }

  async #untilLogin(service: AdoptedService, watch: LoginWatch, seconds: number): Promise<boolean> {
    const ports = portsText(service);
    this.#say(service, `log in on port ${ports} from elsewhere now, within ${seconds} s`);
    const deadline = performance.now() + seconds * 1000;
    while (performance.now() < deadline && !this.#hands.isEnding()) {
      if (watch.hasLogin()) return true;
      await sleep(LOGIN_EVERY_MS);
    }
    return watch.hasLogin();
  }

  async #moveDaemon(service: AdoptedService): Promise<Moved> {
    const { way } = this.#options;
    const { name } = service;
    const old = await this.#oldCookies(service);
    const back: Way = way === "adopt" ? "undo" : "adopt";
    try {
      await this.#activate(service, way, "draining");
    } catch (error) {
      // The file is as before then, whether or not that can be made active.
      await Promise.allSettled([this.#settle(service, back)]);
      throw error;
    }
    this.#say(service, `new connections to ${portsText(service)} wait`);
    const cut = await this.#drain(service);
    if (cut === null) {
      await this.#settle(service, back);
      return { name, outcome: "withdrawn", message: "it was asked to end in time", cut: 0 };
    }
    const tried = await this.#restart(service, way, old);
    if (tried.ok) {
      await this.#settle({ ...service, ports: tried.ports }, way);
      const home = way === "adopt" ? "its own addresses" : "every address";
      this.#say(service, `listens on ${home}`);
      return { name, outcome: "moved", message: tried.message, cut };
    }
    return await this.#takeBack(service, tried.why, cut);
  }

  async #takeBack(service: AdoptedService, why: string, cut: number): Promise<Moved> {
    const { name } = service;
    const back: Way = this.#options.way === "adopt" ? "undo" : "adopt";
    this.#say(service, `${why}; taking it back`);
    const old = await this.#oldCookies(service);
    const tried = await this.#restart(service, back, old);
    const journal = "unit" in service.owner ? await journalOf(service.owner.unit) : "";
    const said = journal === "" ? "" : `\n${journal}`;
    if (tried.ok) {
      await this.#settle(service, back);
      return { name, outcome: "taken back", message: `${why}${said}`, cut };
    }
    // Whatever it does next, it finds its ports as they were.
    await this.#settle(service, back);
    const commands = restartCommands(service.restart).map(commandText).join(" && ");
    return {
      name,
      outcome: "failed",
      message: `${why}; and it could not be taken back: ${tried.why}. Its ports lead where they did before: put the daemon right, and start it with \`${commands}\`${said}`,
      cut,
    };
  }

  /** Makes the state active in which a service is not being moved. */
  async #settle(service: AdoptedService, way: Way): Promise<void> {
    const { name, owner, ports, mptcp } = service;
    if (way === "adopt" && ports.length > 0) {
      this.#written.set(name, {
        name,
        owner,
        publish: publishedText(ports),
        mptcpOff: mptcp,
      });
    } else {
      this.#written.delete(name);
    }
    const { ula } = this.#options;
    await this.#hands.activate({ ula, services: this.written, move: null });
  }

  async #activate(service: AdoptedService, way: Way, stage: Stage): Promise<void> {
    const { hold, ula } = this.#options;
    const services = this.written.filter(({ name }) => name !== service.name);
    const move = { service, mptcpOff: service.mptcp, way, stage, hold };
    await this.#hands.activate({ ula, services, move });
  }

  async #oldCookies({ owner }: AdoptedService): Promise<Set<string>> {
    const facts = await this.#hands.look();
    const mine = facts.found.filter((found) => isOf(found, owner, facts));
    return new Set(mine.map(({ listener }) => listener.cookie));
  }

  /**
   * Waits until the open connections have ended, for a limited time. Returns how many are open, or
   * null when the user wants it to end.
   */
  async #drain(service: AdoptedService): Promise<number | null> {
    const { drainSeconds } = this.#options;
    const tcp = service.ports.filter(({ protocol }) => protocol === "tcp");
    const ports = new Set(tcp.map(({ port }) => port));
    const deadline = performance.now() + drainSeconds * 1000;
    for (;;) {
      const { established, waiting } = portState(ports);
      if (this.#hands.isEnding()) return null;
      if (established + waiting === 0) return 0;
      if (performance.now() > deadline) return established;
      await sleep(DRAIN_EVERY_MS);
    }
  }

  /** Restarts a daemon, and waits until it listens where it is to be. */
  async #restart(
    service: AdoptedService,
    way: Way,
    old: ReadonlySet<string>,
  ): Promise<
    | { readonly ok: true; readonly ports: readonly AdoptedPort[]; readonly message: string | null }
    | { readonly ok: false; readonly why: string }
  > {
    const { startSeconds } = this.#options;
    const restart = way === this.#options.way ? service.restart : reverse(service.restart);
    const addresses = way === "adopt" ? this.#hands.addressesOf(service.name) : null;
    if (restart.kind === "to-socket") {
      const { name, ports: of, reuseport } = service;
      const own = this.#hands.addressesOf(name);
      await writeSocketUnit(restart.socket, socketUnitText(name, own, of, reuseport));
    }
    const commands = restartCommands(restart);
    const text = commands.map(commandText).join(" && ");
    this.#say(service, text);
    await forgetStarts(service);
    const restarting = prepareCommands(commands);
    const running: { result: CommandResult | null } = { result: null };
    const finished = restarting.result.then((result) => {
      running.result = result;
    });
    try {
      await this.#activate(service, way, "restarting");
    } catch (error) {
      restarting.cancel();
      throw error;
    }
    restarting.go();
    const deadline = performance.now() + startSeconds * 1000;
    let ports = service.ports;
    let isOpen = service.held.length === 0;
    let message: string | null = null;
    for (;;) {
      const listeners = this.#hands.listeners();
      if (!isOpen && !listeners.some(({ cookie }) => old.has(cookie))) {
        await this.#activate(service, way, "restarted");
        isOpen = true;
      }
      const { result } = running;
      if (way === "adopt" && result !== null) {
        const astray = astrayPorts(ports, listeners, old);
        if (astray.some(({ protocol }) => protocol === "tcp")) {
          await finished;
          return { ok: false, why: `\`${text}\` left it on every address` };
        }
        if (astray.length > 0) {
          ports = ports.filter((one) => !astray.includes(one));
          message = `${portsText({ ports: astray })} stays on every address: it takes what is for a group`;
        }
      }
      const missing = missingPorts(ports, listeners, { addresses, old });
      if (result !== null && result.status !== 0) {
        const needs = restart.kind === "to-socket" ? NEEDS_SOCKETS : "";
        return { ok: false, why: `\`${text}\` failed${needs}${said(result.output)}` };
      }
      if (result !== null && missing.length === 0) {
        if (restart.kind === "to-socket" && !(await this.#takesSockets(service))) {
          return { ok: false, why: `it ended after \`${text}\`${NEEDS_SOCKETS}` };
        }
        await this.#untilOthers(service, old);
        return { ok: true, ports, message };
      }
      if (result !== null && (await this.#hasEnded(service))) {
        return { ok: false, why: `it ended after \`${text}\`` };
      }
      if (performance.now() > deadline) {
        await finished;
        return {
          ok: false,
          why: `${startSeconds} s after \`${text}\`, nothing listens on ${portsText({ ports: missing })}`,
        };
      }
      await sleep(LOOK_EVERY_MS);
    }
  }

  /** Waits for the daemon's other sockets, which are held until then; they may also be gone. */
  async #untilOthers({ held }: AdoptedService, old: ReadonlySet<string>): Promise<void> {
    const deadline = performance.now() + OTHERS_MS;
    const isBack = ({
      protocol,
      port,
      address,
      mayChange,
    }: AdoptedService["held"][number]): boolean =>
      mayChange ||
      this.#hands
        .listeners()
        .some(
          (one) =>
            one.protocol === protocol &&
            one.port === port &&
            !old.has(one.cookie) &&
            (address === null ? one.wildcard : one.address === address),
        );
    while (!held.every(isBack) && performance.now() < deadline) await sleep(LOOK_EVERY_MS);
  }

  /** A daemon that does not take its sockets from systemd finds its address taken, and ends. */
  async #takesSockets(service: AdoptedService): Promise<boolean> {
    const deadline = performance.now() + TAKES_SOCKETS_MS;
    while (performance.now() < deadline) {
      if (await this.#hasEnded(service)) return false;
      await sleep(LOGIN_EVERY_MS);
    }
    return true;
  }

  /** A unit may say that it has started although its daemon has ended. */
  async #hasEnded({ owner, restart }: AdoptedService): Promise<boolean> {
    const isUnits = ["unit", "to-socket", "from-socket"].includes(restart.kind);
    if (!isUnits || !("unit" in owner)) return false;
    return (await unitStates([owner.unit])).get(owner.unit)?.active !== true;
  }

  #say({ name }: AdoptedService, text: string): void {
    this.#hands.say(`${name}: ${text}`);
  }
}

function said(output: string): string {
  return output === "" ? "" : `: ${output}`;
}

/**
 * systemd refuses to start what was started several times in a few seconds (StartLimitBurst=), and
 * what is taken back was.
 */
async function forgetStarts({ restart }: AdoptedService): Promise<void> {
  const units =
    "unit" in restart
      ? [restart.unit]
      : restart.kind === "sockets"
        ? [...restart.sockets, ...restart.services]
        : [];
  // Its status says whether there was something to forget.
  if (units.length > 0) await runCommand(["systemctl", "reset-failed", "--", ...units]);
}

/** Returns what the file has of the services that an earlier run has moved. */
export function writtenOf({ known }: Pick<Facts, "known">): WrittenService[] {
  return known.map((one) => ({
    name: one.name,
    owner: ownerOf(one),
    publish: one.publish,
    mptcpOff: one.mptcpOff,
  }));
}
