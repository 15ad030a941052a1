/** Listeners that come and go, and mappings without one, in the words of the log. */
import type { HealthJson, TurnsJson } from "../json/health.js";
import { formatEndpoint } from "../model/endpoint.js";
import { count, printable } from "../words/text.js";
import { describeUnserved } from "./describe-unserved.js";

/** The most that a line names. */
const SHOWN = 5;

/** Returns the line for listeners that came and went. */
export function describeTurns({ started, ended, restarted }: TurnsJson): string {
  return [
    ...said("started", started),
    ...said("ended", ended),
    ...said("restarted", restarted),
  ].join("; ");
}

function said(what: string, { count: number, listeners }: TurnsJson["started"]): string[] {
  if (number === 0) return [];
  const shown = listeners.slice(0, SHOWN).map(({ protocol, address, port, user, unit }) => {
    const whose = unit === null ? `user ${user}` : `unit ${unit}`;
    return `${protocol} ${formatEndpoint(address, port)} (${printable(whose)})`;
  });
  return [`${count(number, "listener")} ${what}: ${shown.join(", ")}${andMore(number, shown)}`];
}

function andMore(number: number, shown: readonly string[]): string {
  return number > shown.length ? ` and ${number - shown.length} more` : "";
}

/** Returns the line for mappings that are left without a listener, or have one again. */
export function describeHealth({ unserved, served, down }: HealthJson): string {
  const parts: string[] = [];
  if (unserved.count > 0) {
    const shown = unserved.mappings
      .slice(0, SHOWN)
      .map((one) => `${printable(one.name)}${describeUnserved(one)}`);
    const verb = unserved.count === 1 ? "has" : "have";
    const list = `${shown.join(", ")}${andMore(unserved.count, shown)}`;
    parts.push(`${count(unserved.count, "mapping")} ${verb} no listener: ${list}`);
  }
  if (served.count > 0) {
    const shown = served.mappings.slice(0, SHOWN).map(({ name }) => printable(name));
    const verb = served.count === 1 ? "has" : "have";
    const list = `${shown.join(", ")}${andMore(served.count, shown)}`;
    parts.push(`${count(served.count, "mapping")} ${verb} a listener now: ${list}`);
  }
  const rest = down === unserved.count ? "" : `; ${down} in all without`;
  return parts.join("; ") + (down === 0 ? "" : rest);
}
