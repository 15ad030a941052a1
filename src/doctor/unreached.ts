/**
 * Finds who listens at a mapping's destination and is not reached there because of NAT, before it
 * happens, with remedies.
 */
import type { DataPlane } from "../dataplane/types.js";
import type { Family } from "../model/address.js";
import type { Listener } from "../model/listener.js";
import { sysctl } from "../kernel/procfs.js";
import { type Protocol } from "../model/mapping.js";
import { type Rules, allMappings, readRules } from "../model/rules.js";
import { judgeOf } from "../dataplane/judge.js";
import { handoverOf, joinListeners, type ListenerView } from "../rules/listening.js";
import { meansOf } from "./means.js";
import { LOAD_MODULE, mptcpRemedy } from "../words/mptcp.js";
import type { holdersOf } from "./holders.js";
import { describeListener, describeNat } from "../words/listener.js";
import { beginStep } from "../progress.js";
import { namesShown } from "../words/text.js";
import type { Warning } from "./warnings.js";

export interface Bystanders {
  /** Is called only where there is NAT. */
  readonly listeners: () => readonly Listener[];
  readonly holdersOf: typeof holdersOf;
  /** True while `ilm run` is running, which registers UDP sockets as they bind. */
  readonly following: boolean;
}

export async function unreachedWarnings(
  dataPlane: DataPlane,
  { listeners, holdersOf: findHolders, following }: Bystanders,
): Promise<Warning[]> {
  beginStep("looking for what is in the way");
  const active = dataPlane.active();
  if (active === null) return [];
  const means = meansOf(dataPlane);
  const { nat } = means;
  if (means.kfunc || nat.length === 0 || !means.steers) return [];
  const rules = readRules(active.rules);
  const { selects } = judgeOf(dataPlane, rules);
  const unreached = joinListeners(rules, listeners(), selects).filter(
    (view) =>
      view.isMapped &&
      handoverOf(view, means) === "none" &&
      // Here the VRF is the reason, and has a warning of its own.
      !means.vrfs.has(view.listener.device),
  );
  const holderOf = await findHolders(unreached.map(({ listener }) => listener));
  const has = (wanted: Protocol): boolean =>
    allMappings(rules).some(({ protocol }) => protocol === wanted);
  const later = [
    ...(!following && has("udp") ? [unregisteredWarning(nat)] : []),
    ...(mayListenWithMptcp(rules) && has("tcp") ? [mptcpWarning(nat, rules)] : []),
  ];
  return [
    ...unreached.map((view) => ({
      kind: "unreached" as const,
      message: `${describeListener(view.listener, holderOf(view.listener))} (of ${namesShown(view.mappings)}) is not reached: ${describeNat(nat)} prevents hand-over at ingress`,
      remedy: remedyFor(view, rules, following),
    })),
    ...later,
  ];
}

function remedyFor({ listener }: ListenerView, rules: Rules, following: boolean): string {
  const module = LOAD_MODULE;
  if (listener.kind === "mptcp") return `${mptcpRemedy(rules)}; or ${module}.`;
  if (listener.protocol === "tcp") return `Remove \`handover: ingress\`; or ${module}.`;
  if (following) {
    return `Remove \`handover: ingress\`, if the service or a mapping says so: then \`ilm run\` registers it. A socket map refuses sockets that are already in use elsewhere (a kernel tunnel, a REUSEPORT_SOCKARRAY): for those ${module}.`;
  }
  return `Start \`ilm run\`, which registers UDP sockets as they bind, or apply the configuration again; or ${module}.`;
}

function unregisteredWarning(nat: readonly Family[]): Warning {
  return {
    kind: "unregistered",
    message: `${describeNat(nat)} prevents hand-over at ingress: UDP daemons that start or restart from now on cannot be reached until they are registered, and no \`ilm run\` is running to register them`,
    remedy: "Start `ilm run`, or apply the configuration again after each such daemon starts.",
  };
}

function mayListenWithMptcp({ file }: Rules): boolean {
  return file.mptcp !== "off" && sysctl("net.mptcp.enabled") === "1";
}

/** Warns before such a daemon starts. */
function mptcpWarning(nat: readonly Family[], rules: Rules): Warning {
  return {
    kind: "mptcp-beside-nat",
    message: `${describeNat(nat)} prevents hand-over at ingress: daemons that listen with MPTCP, as programs built with Go 1.24 and later do, are not reached`,
    remedy: `${mptcpRemedy(rules)}; or ${LOAD_MODULE}.`,
  };
}
