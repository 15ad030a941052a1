/**
 * `ilm audit`: shows who listens on every address, who sits on whose address or on a mapped port,
 * whom nobody serves, and what was refused. It reports and changes nothing.
 */
import { type DataPlane } from "../../dataplane/types.js";
import { judgeOf } from "../../dataplane/judge.js";
import { absentDestinations } from "../../doctor/absent-destinations.js";
import { addressWarnings } from "../../doctor/warnings.js";
import { ExitStatus } from "../../errors.js";
import { ephemeralPorts, firstUnprivilegedPort, userName } from "../../kernel/procfs.js";
import { upAddresses } from "../../kernel/up-addresses.js";
import { type AuditKind, auditKinds } from "../../model/audit.js";
import type { Holder, Listener } from "../../model/listener.js";
import type { Refusal } from "../../model/refusal.js";
import {
  type AuditFinding,
  type Audited,
  auditListeners,
  auditPrivileges,
  auditServices,
} from "../../rules/audit.js";
import { bootSeconds } from "../../kernel/boot-time.js";
import { withoutEnded } from "../../rules/change.js";
import { compareListeners } from "../../rules/listening.js";
import { coveringMappings } from "../../rules/covered.js";
import { print, type Context } from "../shell/context.js";
import type { AuditJson } from "../../json/audit.js";
import { published } from "../../json/published.js";
import { describeListener, unitOf } from "../../words/listener.js";
import {
  describeAttempted,
  describeReason,
  describeTried,
  remedyForRefused,
} from "../../words/refusal.js";
import { describeOthers, gist, groupAlike } from "../../words/alike.js";
import { count, formatAge, indent, printable } from "../../words/text.js";
import { describeRest, limitTo, type LimitOptions } from "../shell/limit.js";
import { readActive, withDataPlane } from "../shell/with-data-plane.js";

export interface AuditOptions extends LimitOptions {
  /** The kinds of findings to look for; absent for all. */
  readonly kind?: readonly AuditKind[];
}

/** How long ago something may have been refused to be a finding, in milliseconds. */
const RECENT_MS = 24 * 3_600_000;

interface Finding extends AuditFinding {
  readonly refusal?: Refusal;
}

/** Prints the findings. Returns status 1 when there are any. */
export async function audit(context: Context, options: AuditOptions = {}): Promise<ExitStatus> {
  const { kind } = options;
  const { found, holderOf } = await withDataPlane(context, (dataPlane) => look(context, dataPlane));
  const findings = found
    .filter((finding) => kind === undefined || kind.includes(finding.kind))
    .toSorted((a, b) => auditKinds.indexOf(a.kind) - auditKinds.indexOf(b.kind));
  const limited = limitTo(findings, options, "findings");
  const { shown } = limited;
  await print(
    context,
    published<AuditJson>()(shown.map((finding) => findingShape(finding, holderOf))),
    () => {
      if (findings.length === 0) return "nothing found\n";
      const entries = groupAlike(shown, (one) => gistOf(one, holderOf)).map(({ item, others }) => {
        const more = describeOthers(others.map((finding) => nameOf(finding, holderOf)));
        return renderFinding(context, item, holderOf) + (more === "" ? "" : indent(`${more}\n`));
      });
      const rest = describeRest(limited, "finding");
      return `${entries.join("\n")}\n${count(findings.length, "finding")}\n${rest}`;
    },
  );
  return findings.length === 0 ? ExitStatus.done : ExitStatus.failed;
}

type HolderOf = (listener: Listener) => Holder | undefined;

async function look(
  context: Context,
  dataPlane: DataPlane,
): Promise<{ found: Finding[]; holderOf: HolderOf }> {
  const rules = withoutEnded(readActive(dataPlane), bootSeconds());
  const listeners = dataPlane.listeners().toSorted(compareListeners);
  const judge = judgeOf(dataPlane, rules);
  const audited = { rules, judge, listeners, ephemeral: ephemeralPorts() ?? null };
  const up = upAddresses();
  const absent = await absentDestinations(rules, up);
  const ofListeners = auditListeners(audited);
  const atHome = listeners.filter(({ address }) => judge.ownerOf(address) !== undefined);
  const owning = new Set(atHome);
  const holderOf = await context.reach.holdersOf([
    ...ofListeners.map(({ listener }) => listener),
    ...(owning.size === 0 ? [] : listeners),
  ]);
  const start = firstUnprivilegedPort() ?? Infinity;
  return {
    found: [
      ...ofListeners,
      ...auditServices(audited, absent),
      ...addressWarnings(rules, listeners, up, absent),
      ...auditPrivileges(audited, holderOf, start),
      ...ofRefusals(audited, dataPlane.refusals()),
    ],
    holderOf,
  };
}

/** A reported bind whose socket still listens has a finding as a listener. */
function isListening({ protocol, port, uid }: Refusal, listeners: readonly Listener[]): boolean {
  return listeners.some(
    (one) =>
      one.wildcard && one.protocol === protocol && one.port === port && one.identity.uid === uid,
  );
}

function ofRefusals({ rules, listeners }: Audited, refusals: readonly Refusal[]): Finding[] {
  const since = Date.now() - RECENT_MS;
  const recent = refusals.filter(
    (one) => one.lastAt >= since && !(one.reason === "reported" && isListening(one, listeners)),
  );
  const covering = coveringMappings(rules, recent);
  const { services } = rules.file;
  return recent.map((refusal): Finding => {
    const service = services.find(({ addresses }) => addresses.includes(refusal.address));
    const mapping = covering.get(refusal);
    const to = { service, mapping, services };
    const times = refusal.count === 1 ? "once" : `${refusal.count} times`;
    const age = formatAge(Date.now() - refusal.lastAt);
    const what = { lookup: "packets were refused", reported: "a bind was reported" };
    const { reason } = refusal;
    const happened =
      reason === "lookup" || reason === "reported" ? what[reason] : "a bind was refused";
    const first =
      refusal.pid === null ? "" : `; the first to try was ${describeTried(triedOf(refusal))}`;
    return {
      kind: reason === "reported" ? "reported" : "refused",
      refusal,
      ...(service !== undefined && { service: service.name }),
      ...(mapping !== undefined && { mapping: mapping.name }),
      message: `${happened} ${times}, last ${age} ago: ${describeReason(refusal, to)}${first}`,
      remedy: remedyForRefused(refusal, to),
    };
  });
}

function triedOf({ command, pid, uid }: Refusal) {
  return { command, pid, user: uid === null ? null : userName(uid), unit: null };
}

function findingShape(finding: Finding, holderOf: HolderOf) {
  const { kind, listener, refusal, message, remedy } = finding;
  const place = listener ?? refusal;
  const holder = listener && holderOf(listener);
  const tried = refusal && triedOf(refusal);
  return {
    kind,
    protocol: place?.protocol ?? null,
    address: place?.address ?? null,
    port: place?.port ?? null,
    pid: holder?.pid ?? tried?.pid ?? null,
    command: holder?.command ?? tried?.command ?? null,
    user: holder?.user ?? tried?.user ?? null,
    unit: unitOf(holder),
    service: finding.service ?? null,
    mapping: finding.mapping ?? null,
    policy: finding.policy ?? null,
    policyBy: finding.policyBy ?? null,
    denied: finding.denied ?? null,
    reason: refusal?.reason ?? null,
    count: refusal?.count ?? null,
    lastAt: refusal === undefined ? null : new Date(refusal.lastAt).toISOString(),
    message,
    remedy,
  };
}

function renderFinding({ colours }: Context, finding: Finding, holderOf: HolderOf): string {
  const { message, remedy } = finding;
  return `${colours.yellow(subject(finding, holderOf))}\n${indent(`${printable(message)}\n${printable(remedy)}`)}\n`;
}

/** What a finding says, and of which daemon, whatever the mapping and the address. */
function gistOf(finding: Finding, holderOf: HolderOf): string {
  const { kind, message, remedy, service, mapping } = finding;
  const names = [service, mapping].filter((name) => name !== undefined);
  const texts = [subject(finding, holderOf), message, remedy];
  return [kind, ...texts.map((text) => gist(text, names))].join("; ");
}

function nameOf(finding: Finding, holderOf: HolderOf): string {
  return finding.mapping ?? finding.service ?? subject(finding, holderOf);
}

/** Names what the finding is about. */
function subject(
  { listener, refusal, kind, service, mapping }: Finding,
  holderOf: HolderOf,
): string {
  if (listener !== undefined) {
    const holder = holderOf(listener);
    const unit = unitOf(holder);
    return [
      `${listener.protocol} ${describeListener(listener, holder)}`,
      ...(holder === undefined ? [] : [`user ${printable(holder.user)}`]),
      ...(unit === null ? [] : [`unit ${printable(unit)}`]),
    ].join(", ");
  }
  if (refusal !== undefined) return describeAttempted(refusal);
  if (mapping !== undefined) return `mapping ${printable(mapping)}`;
  return service === undefined ? kind : `service ${service}`;
}
