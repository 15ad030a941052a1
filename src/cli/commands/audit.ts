/**
 * `ilm audit`: shows who listens on every address, or on an address that a service owns. It reports
 * and changes nothing.
 */
import { ExitStatus } from "../../errors.js";
import { emptyRules } from "../../model/rules.js";
import type { Owner } from "../../model/listener.js";
import { auditListeners, type AuditFinding } from "../../rules/listening.js";
import { print, type Context } from "../shell/context.js";
import type { AuditJson } from "../../json/audit.js";
import { published } from "../../json/published.js";
import { describeListener, unitOf } from "../../words/listener.js";
import { count, indent, printable } from "../../words/text.js";
import { withDataPlane } from "../shell/with-data-plane.js";

/** Prints the findings. Returns status 1 when there are any. */
export async function audit(context: Context): Promise<ExitStatus> {
  const findings = await withDataPlane(context, (dataPlane) =>
    auditListeners(dataPlane.active()?.rules ?? emptyRules, dataPlane.listeners()),
  );
  const ownerOf = await context.reach.ownersOf(findings.map((finding) => finding.listener));
  await print(
    context,
    published<AuditJson>()(
      findings.map((finding) => findingShape(finding, ownerOf(finding.listener))),
    ),
    () => {
      if (findings.length === 0) return "every listener has an address of its own\n";
      const entries = findings.map((finding) =>
        renderFinding(context, finding, ownerOf(finding.listener)),
      );
      return `${entries.join("\n")}\n${count(findings.length, "finding")}\n`;
    },
  );
  return findings.length === 0 ? ExitStatus.done : ExitStatus.failed;
}

function findingShape(finding: AuditFinding, owner: Owner | undefined) {
  const { kind, listener, message, remedy } = finding;
  return {
    kind,
    protocol: listener.protocol,
    address: listener.address,
    port: listener.port,
    pid: owner?.pid ?? null,
    command: owner?.command ?? null,
    user: owner?.user ?? null,
    unit: unitOf(owner),
    service: finding.service ?? null,
    message,
    remedy,
  };
}

function renderFinding(
  { colours }: Context,
  { listener, message, remedy }: AuditFinding,
  owner: Owner | undefined,
): string {
  const head = `${listener.protocol} ${describeListener(listener, owner)}`;
  const user = owner === undefined ? "" : `, user ${printable(owner.user)}`;
  return `${colours.yellow(head)}${user}\n${indent(`${message}\n${remedy}`)}\n`;
}
