/**
 * `ilm audit`: shows who listens on every address, or on an address that a service owns. It reports
 * and changes nothing.
 */
import { ExitStatus } from "../../errors.js";
import type { Holder } from "../../model/listener.js";
import { auditListeners, type AuditFinding } from "../../rules/listening.js";
import { print, type Context } from "../shell/context.js";
import type { AuditJson } from "../../json/audit.js";
import { published } from "../../json/published.js";
import { describeListener, unitOf } from "../../words/listener.js";
import { count, indent, printable } from "../../words/text.js";
import { readActive, withDataPlane } from "../shell/with-data-plane.js";

/** Prints the findings. Returns status 1 when there are any. */
export async function audit(context: Context): Promise<ExitStatus> {
  const findings = await withDataPlane(context, (dataPlane) =>
    auditListeners(readActive(dataPlane), dataPlane.listeners()),
  );
  const holderOf = await context.reach.holdersOf(findings.map((finding) => finding.listener));
  await print(
    context,
    published<AuditJson>()(
      findings.map((finding) => findingShape(finding, holderOf(finding.listener))),
    ),
    () => {
      if (findings.length === 0) return "every listener has an address of its own\n";
      const entries = findings.map((finding) =>
        renderFinding(context, finding, holderOf(finding.listener)),
      );
      return `${entries.join("\n")}\n${count(findings.length, "finding")}\n`;
    },
  );
  return findings.length === 0 ? ExitStatus.done : ExitStatus.failed;
}

function findingShape(finding: AuditFinding, holder: Holder | undefined) {
  const { kind, listener, message, remedy } = finding;
  return {
    kind,
    protocol: listener.protocol,
    address: listener.address,
    port: listener.port,
    pid: holder?.pid ?? null,
    command: holder?.command ?? null,
    user: holder?.user ?? null,
    unit: unitOf(holder),
    service: finding.service ?? null,
    message,
    remedy,
  };
}

function renderFinding(
  { colours }: Context,
  { listener, message, remedy }: AuditFinding,
  holder: Holder | undefined,
): string {
  const head = `${listener.protocol} ${describeListener(listener, holder)}`;
  const user = holder === undefined ? "" : `, user ${printable(holder.user)}`;
  return `${colours.yellow(head)}${user}\n${indent(`${message}\n${remedy}`)}\n`;
}
