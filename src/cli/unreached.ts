/** Who listens at a mapping's destination and is not reached there, because of NAT; known beforehand, with what helps. */
import type { DataPlane } from "../dataplane/types.js";
import type { Family } from "../model/address.js";
import type { Listener } from "../model/listener.js";
import { allMappings } from "../model/mapping.js";
import { handoverOf, joinListeners, type ListenerView } from "../registry/registry.js";
import { ownersOf } from "./owners.js";
import { describeListener, describeNat } from "./render/listener.js";
import { printable } from "./render/text.js";
import type { Warning } from "./warnings.js";

/** `listeners` is asked only where there is NAT. `following`: `ilm run` is at work, which registers UDP sockets as they bind. */
export async function unreachedWarnings(
  dataPlane: DataPlane,
  listeners: () => readonly Listener[],
  following: boolean,
): Promise<Warning[]> {
  const inForce = dataPlane.inForce();
  const nat = dataPlane.nat();
  if (inForce === null || inForce.engine === "kfunc" || nat.length === 0) return [];
  if (dataPlane.steers() !== true) return [];
  const means = { kfunc: false, steers: true, nat, vrfs: dataPlane.vrfs() };
  const { rules } = inForce;
  const unreached = joinListeners(rules, listeners()).filter(
    (view) =>
      view.mappings.length > 0 &&
      handoverOf(view, means) === "none" &&
      // With a VRF it is the VRF, and has a warning of its own.
      !means.vrfs.has(view.listener.device),
  );
  const ownerOf = await ownersOf(unreached.map(({ listener }) => listener));
  const later =
    !following && allMappings(rules).some(({ protocol }) => protocol === "udp")
      ? [laterWarning(nat)]
      : [];
  return [
    ...unreached.map((view) => ({
      kind: "unreached" as const,
      message: `${describeListener(view.listener, ownerOf(view.listener))} (of ${view.mappings.map(printable).join(", ")}) is not reached: ${describeNat(nat)} takes away what ingress hands over`,
      remedy: remedyFor(view, following),
    })),
    ...later,
  ];
}

function remedyFor({ listener }: ListenerView, following: boolean): string {
  const module = "load the kernel module ilm_lookup, whose engine reaches it (kmod/README.md)";
  if (listener.kind === "mptcp") {
    return `Let the daemon listen with plain TCP (a Go program does with GODEBUG=multipathtcp=0, systemd with SocketProtocol=tcp); or ${module}.`;
  }
  if (listener.protocol === "tcp") return `Remove \`handover: ingress\`; or ${module}.`;
  if (following) {
    return `Remove \`handover: ingress\`, if the service or a mapping says so: then \`ilm run\` registers it. A socket map refuses sockets that somebody else uses (a tunnel of the kernel, a REUSEPORT_SOCKARRAY): for those ${module}.`;
  }
  return `Start \`ilm run\`, which registers UDP sockets as they bind, or apply the configuration again; or ${module}.`;
}

function laterWarning(nat: readonly Family[]): Warning {
  return {
    kind: "unregistered",
    message: `${describeNat(nat)} takes away what ingress hands over: UDP daemons that start or restart from now on are not reached until they are registered, and nobody is at work who does so`,
    remedy: "Start `ilm run`, or apply the configuration again whenever one has started.",
  };
}
