/**
 * `ilm doctor`: reports whether this host can run ilm, and what is in the way, each with its
 * remedy.
 */
import type { DaemonStatus } from "../../api/api.js";
import { foreseen } from "../../api/error-body.js";
import { ExitStatus } from "../../errors.js";
import type { HostReport } from "../../kernel/features.js";
import { sysctl } from "../../kernel/procfs.js";
import { judgeOf } from "../../dataplane/judge.js";
import { auditListeners } from "../../rules/audit.js";
import type { Judge } from "../../rules/judge.js";
import { joinListeners } from "../../rules/listening.js";
import type { Family } from "../../model/address.js";
import { type PortRange } from "../../model/mapping.js";
import { type Rules, emptyRules, allMappings, readRules } from "../../model/rules.js";
import type { ActiveEngine, DataPlane } from "../../dataplane/types.js";
import { circumstancesOf } from "../../doctor/circumstances.js";
import { print, type Context } from "../shell/context.js";
import type { DoctorJson } from "../../json/doctor.js";
import { published } from "../../json/published.js";
import type { Listener } from "../../model/listener.js";
import { formatPlace, formatEndpoint } from "../../model/endpoint.js";
import { describeListener } from "../../words/listener.js";
import { describeOthers, groupAlike } from "../../words/alike.js";
import { count, indent, printable } from "../../words/text.js";
import { namesOf, type Survey } from "../../doctor/survey.js";
import { survey } from "../shell/survey.js";
import { unreachedWarnings } from "../../doctor/unreached.js";
import { findWarnings, type Warning } from "../../doctor/warnings.js";
import { isDaemon, unreachableWarning } from "../../doctor/writer.js";

interface Check extends HostCheckOnly {
  /** The names of what it is about, where others may be alike; absent where it stands alone. */
  readonly about?: readonly string[];
}
type HostCheckOnly = HostReport["checks"][number];

/** Prints all checks. Returns status 1 when one of them is an error; warnings alone give 0. */
export async function doctor(context: Context): Promise<ExitStatus> {
  const { checks: ofHost } = await context.reach.probeHost();
  const checks: readonly Check[] = [...ofHost, ...(await checkRules(context))];
  const errors = checks.filter((check) => check.severity === "error").length;
  const warnings = checks.filter((check) => check.severity === "warning").length;
  const json = published<DoctorJson>()({ ok: errors === 0, errors, warnings, checks });
  await print(context, json, () => {
    const lines = groupAlike(checks, kindOf).map(({ item, others }) => {
      const more = describeOthers(others.flatMap(({ about = [] }) => about));
      return renderCheck(context, item) + (more === "" ? "" : indent(`${more}\n`, 9));
    });
    const verdict =
      errors + warnings === 0
        ? "no errors, no warnings"
        : `${count(errors, "error")}, ${count(warnings, "warning")}`;
    return `${lines.join("")}\n${verdict}\n`;
  });
  return errors === 0 ? ExitStatus.done : ExitStatus.failed;
}

/** What a check found, whichever mapping it is about. */
function kindOf({ name, found, remedy, about }: Check): string {
  return about === undefined ? `${name}: ${found}; ${remedy}` : name;
}

/**
 * Returns the checks that need the active rules, or only the error when the data plane cannot be
 * opened.
 */
async function checkRules(context: Context): Promise<Check[]> {
  let dataPlane;
  try {
    dataPlane = await context.reach.openDataPlane();
  } catch (error) {
    return [asCheck("data plane", error)];
  }
  try {
    return await checksOf(context, dataPlane);
  } catch (error) {
    return [asCheck("active rules", error)];
  } finally {
    dataPlane.close();
  }
}

async function checksOf(context: Context, dataPlane: DataPlane): Promise<Check[]> {
  const active = dataPlane.active();
  const rules = active === null ? emptyRules : readRules(active.rules);
  const listeners = dataPlane.listeners();
  const judge = judgeOf(dataPlane, rules);
  const { daemon, check } = await askDaemon(context, dataPlane.netnsInode);
  const checks = [
    [
      FIONREAD,
      async () => {
        const registered = listeners.filter(({ protocol, placed }) => protocol === "udp" && placed);
        return [await fionreadCheck(context, registered)];
      },
    ],
    ["MPTCP", () => [mptcpCheck(rules, listeners, judge, active?.engine ?? null)]],
    [WAYS, async () => wayChecks(await survey(context, dataPlane, rules), rules)],
    ["answers and conntrack", () => conntrackChecks(rules, dataPlane.outputFilters())],
    [
      "unreached",
      async () => {
        const found = await unreachedWarnings(dataPlane, {
          listeners: () => listeners,
          holdersOf: (those) => context.reach.holdersOf(those),
          following: daemon !== null,
        });
        return found.map(checkOf);
      },
    ],
    [
      "active rules",
      async () => {
        const around = await circumstancesOf(dataPlane, active, listeners, daemon);
        return findWarnings({ ...around, ephemeralFrom: "any" }).map(checkOf);
      },
    ],
    ["foreign address", async () => await foreignChecks(context, rules, judge, listeners)],
  ] satisfies (readonly [name: string, act: () => Check[] | Promise<Check[]>])[];
  const made: Check[] = [check];
  for (const [name, act] of checks) made.push(...(await tried(name, act)));
  return made;
}

/** Returns what a check found, or, if it cannot be made, why. The others do not depend on it. */
async function tried(name: string, act: () => Check[] | Promise<Check[]>): Promise<Check[]> {
  try {
    return await act();
  } catch (error) {
    const check = asCheck(name, error);
    const remedy = check.remedy === "" ? "This was not checked; all else was." : check.remedy;
    return [{ ...check, remedy }];
  }
}

function checkOf({ kind, message, remedy, about }: Warning): Check {
  return { ...warningCheck(kind, message, remedy), ...(about !== undefined && { about }) };
}

async function foreignChecks(
  { reach }: Context,
  rules: Rules,
  judge: Judge,
  listeners: readonly Listener[],
): Promise<Check[]> {
  const foreign = auditListeners({ rules, judge, listeners, ephemeral: null }).filter(
    // Those at a destination of a mapping have a warning, as in `status`.
    ({ kind, mapping }) => kind === "foreign-address" && mapping === undefined,
  );
  const holderOf = await reach.holdersOf(foreign.map(({ listener }) => listener));
  return foreign.map(({ listener, message, remedy }) => {
    const who = describeListener(listener, holderOf(listener));
    const about = [formatPlace(listener)];
    return { ...warningCheck("foreign address", `${who} ${message}`, remedy), about };
  });
}

async function askDaemon(
  { reach }: Context,
  netnsInode: number,
): Promise<{ daemon: DaemonStatus | null; check: Check }> {
  try {
    const { daemon, writer } = await reach.askDaemon(netnsInode);
    if (writer !== null && isDaemon(writer)) {
      const { message, remedy } = unreachableWarning(writer, netnsInode);
      return { daemon, check: warningCheck("daemon", message, remedy) };
    }
    const found = daemon === null ? "not running" : `pid ${daemon.pid}, version ${daemon.version}`;
    return { daemon, check: { name: "daemon", ok: true, severity: "ok", found, remedy: "" } };
  } catch (error) {
    return { daemon: null, check: asCheck("daemon", error) };
  }
}

const FIONREAD = "FIONREAD of UDP sockets";
const WAYS = "the way to mappings";

/**
 * Checks FIONREAD: on some kernels, a daemon that asks its socket how much is waiting gets 0 once
 * the socket is in a map.
 */
async function fionreadCheck({ reach }: Context, registered: readonly Listener[]): Promise<Check> {
  const answer = await reach.tryFionread();
  const ok = { name: FIONREAD, ok: true, severity: "ok", remedy: "" } as const;
  if (answer === "untried") return { ...ok, found: "not tried: lo is down, or drops what is sent" };
  if (answer === "right") return { ...ok, found: "right, in a socket map too" };
  const zero = "this kernel answers 0 for a UDP socket in a socket map, whatever waits";
  if (registered.length === 0) return { ...ok, found: `${zero}; no daemon's socket is in one now` };
  const holderOf = await reach.holdersOf(registered);
  const who = registered.map((listener) => describeListener(listener, holderOf(listener)));
  return warningCheck(
    FIONREAD,
    `${zero}; those of ${who.join(", ")} are in one`,
    "Harmless for daemons that do not ask, which is most. For one that does (.NET's UdpClient.Available, Qt): `handover: ingress` for its service; with the kernel module ilm_lookup it is reached behind NAT and in fragments then, too (kmod/README.md).",
  );
}

/**
 * Lists the MPTCP listeners that this host would cut off once it gets NAT. When it has NAT, a
 * warning says so (src/doctor/unreached.ts).
 */
function mptcpCheck(
  rules: Rules,
  listeners: readonly Listener[],
  { selects }: Judge,
  engine: ActiveEngine | null,
): Check {
  const ok = { name: "MPTCP", ok: true, severity: "ok", remedy: "" } as const;
  const users = joinListeners(rules, listeners, selects).filter(
    ({ listener, isMapped }) => listener.kind === "mptcp" && isMapped,
  );
  if (users.length === 0) {
    const enabled = sysctl("net.mptcp.enabled");
    const state =
      rules.file.mptcp === "off"
        ? "off by `mptcp: off`"
        : enabled === "1"
          ? "to be had by programs"
          : `off${enabled === undefined ? ": not in this kernel" : " by net.mptcp.enabled"}`;
    return { ...ok, found: `${state}; no listener of a mapping uses it` };
  }
  const who = users.map(({ listener }) => formatPlace(listener));
  const those = `the ${users.length === 1 ? "listener" : "listeners"} on ${who.join(", ")}`;
  return engine === "kfunc"
    ? { ...ok, found: `used by ${those}, which the kernel module finds` }
    : {
        ...ok,
        found: `used by ${those}: reached as long as this network namespace has no NAT (Docker, podman, libvirt and VPNs bring it); before that, add \`mptcp: off\` and restart`,
      };
}

/** Returns checks for what keeps packets from mappings before they come to a decision. */
function wayChecks({ found: ways, looked }: Survey, rules: Rules): Check[] {
  const ok = { ok: true, severity: "ok" } as const;
  const checks = ways.map((one): Check => {
    const { obstacle, packet } = one;
    const { protocol, local, localPort } = packet;
    const text = `of ${namesOf(one, rules)}, such as ${protocol} ${formatEndpoint(local, localPort)}: ${obstacle.message}`;
    if (obstacle.sure) return warningCheck("in the way", text, obstacle.remedy);
    const name = "may be in the way";
    return obstacle.kind === "unread"
      ? warningCheck(name, text, obstacle.remedy)
      : { ...ok, name, found: text, remedy: obstacle.remedy };
  });
  const left = allMappings(rules).length - looked;
  if (left > 0) {
    const found = `the other ${count(left, "mapping")} were not looked at`;
    checks.push({ name: WAYS, ok: true, severity: "ok", found, remedy: "" });
  }
  return checks;
}

/**
 * Says that filters at OUTPUT are not followed, and warns of answers whose port is changed there.
 * The change comes after conntrack, to which such answers are new flows.
 */
function conntrackChecks(rules: Rules, filtered: readonly Family[]): Check[] {
  if (filtered.length === 0 || rules === emptyRules) return [];
  const families = filtered.map((family) => `IPv${family}`).join(", ");
  const changed = allMappings(rules).filter(
    ({ protocol, ports, to }) =>
      protocol === "udp" &&
      to.some(({ port }) => port !== "same" && ports.some((range) => !isOnly(range, port))),
  );
  if (changed.length === 0) {
    const found = `there is a filter at OUTPUT (${families}): whether it passes what daemons answer was not looked at`;
    return [{ name: "answers", ok: true, severity: "ok", found, remedy: "" }];
  }
  const names = changed.slice(0, 5).map(({ name }) => printable(name));
  const more = changed.length > 5 ? ` and ${changed.length - 5} more` : "";
  return [
    warningCheck(
      "answers and conntrack",
      `there is a filter at OUTPUT (${families}), and answers of ${names.join(", ")}${more} leave the daemon with another port than was dialled: to conntrack they are new flows`,
      "Harmless where OUTPUT accepts new flows. Otherwise accept what comes from the daemon's port there (`udp sport PORT accept`), or let the daemon listen on the dialled port: docs/decisions/0019.",
    ),
  ];
}

function isOnly({ first, last }: PortRange, port: number): boolean {
  return first === port && last === port;
}

function warningCheck(name: string, found: string, remedy: string): Check {
  return { name, ok: false, severity: "warning", found, remedy };
}

function asCheck(name: string, error: unknown): Check {
  const known = foreseen(error);
  if (known === undefined) throw error;
  return {
    name,
    ok: false,
    severity: "error",
    found: `${known.code}: ${known.message}`,
    remedy: known.remedy ?? "",
  };
}

function renderCheck({ colours }: Context, { name, severity, found, remedy }: Check): string {
  const marks = {
    ok: colours.green("ok     "),
    warning: colours.yellow("warning"),
    error: colours.red("error  "),
  };
  const line = `${marks[severity]}  ${name}: ${printable(found)}\n`;
  return remedy === "" ? line : `${line}${indent(`${remedy}\n`, 9)}`;
}
