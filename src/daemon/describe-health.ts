/** Listeners that come and go, and mappings without one, in the words of the log. */
import type { HealthJson, TurnsJson } from "../json/health.js";
import { formatEndpoint } from "../model/endpoint.js";
import { nameAmong } from "../words/mapping-name.js";
import { count, printable } from "../words/text.js";
import { describeDegraded, describeGaps } from "./describe-faults.js";
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

function andMore(number: number, shown: readonly unknown[]): string {
  return number > shown.length ? ` and ${number - shown.length} more` : "";
}

/** Returns the line for mappings that are left without a listener, or have one again. */
export function describeHealth({
  unserved,
  served,
  down,
  gaps,
  degraded,
  whole,
}: HealthJson): string {
  const parts: string[] = [];
  if (unserved.count > 0) {
    const shown = unserved.mappings
      .slice(0, SHOWN)
      .map((one) => nameAmong(one, unserved.mappings) + describeUnserved(one));
    const verb = unserved.count === 1 ? "has" : "have";
    const list = `${shown.join(", ")}${andMore(unserved.count, shown)}`;
    parts.push(`${count(unserved.count, "mapping")} ${verb} no listener: ${list}`);
  }
  if (served.count > 0) {
    const shown = served.mappings.slice(0, SHOWN).map((one) => nameAmong(one, served.mappings));
    const verb = served.count === 1 ? "has" : "have";
    const list = `${shown.join(", ")}${andMore(served.count, shown)}`;
    parts.push(`${count(served.count, "mapping")} ${verb} a listener now: ${list}`);
  }
  if (parts.length > 0 && down > 0 && down !== unserved.count) {
    parts.push(`${down} in all without`);
  }
  if (gaps.count > 0) {
    const shown = gaps.mappings.slice(0, SHOWN);
    parts.push(describeGaps(shown) + andMore(gaps.count, shown));
  }
  if (degraded.count > 0) {
    const shown = degraded.mappings
      .slice(0, SHOWN)
      .map((one) => describeDegraded(one, degraded.mappings));
    parts.push(`${shown.join("; ")}${andMore(degraded.count, shown)}`);
  }
  if (whole.count > 0) {
    const shown = whole.mappings.slice(0, SHOWN).map((one) => nameAmong(one, whole.mappings));
    const verb = whole.count === 1 ? "has" : "have";
    const list = `${shown.join(", ")}${andMore(whole.count, shown)}`;
    parts.push(`${count(whole.count, "mapping")} ${verb} all destinations again: ${list}`);
  }
  return parts.join("; ");
}
