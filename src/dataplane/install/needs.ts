/** What rules need to be attached, besides what always is. */
import { sysctl } from "../../kernel/procfs.js";
import type { FileHead } from "../../model/rules.js";
import type { Description } from "../description.js";
import { type Direction, directions } from "./interfaces.js";
import { type OptionalHook, type Registry, optionalHooks } from "./registry.js";
import type { Loaded } from "./state.js";

/** What rules need to be attached, besides what always is. */
export interface Needs {
  readonly directions: Readonly<Record<Direction, boolean>>;
  readonly hooks: readonly OptionalHook[];
}

/**
 * Returns the directions that rules need. Ingress: for UDP always; for TCP where MPTCP listeners
 * may exist, which a sockmap refuses, or where the rules ask for it. Egress: for the answers of
 * UDP.
 */
function neededDirections(
  { protocols, engine, steersTcp }: Description,
  off: boolean,
): Record<Direction, boolean> {
  if (off) return { ingress: false, egress: false };
  const udp = protocols.includes("udp");
  // The kfunc finds MPTCP listeners too. UDP needs ingress all the same, as that tells sk_lookup
  // what is a packet.
  const mptcp = engine !== "kfunc" && protocols.length > 0 && sysctl("net.mptcp.enabled") === "1";
  return { ingress: udp || mptcp || steersTcp, egress: udp };
}

/**
 * Returns what the rules need, and what those need that decide again if a change is not confirmed.
 */
export function needsOf(
  { registry, description, beside }: Pick<Loaded, "registry" | "description" | "beside">,
  off: boolean,
): Needs {
  const own = needsOfOne(registry, description, off);
  if (beside === null) return own;
  const other = needsOfOne(registry, beside.description, off);
  return {
    directions: {
      ingress: own.directions.ingress || other.directions.ingress,
      egress: own.directions.egress || other.directions.egress,
    },
    hooks: optionalHooks.filter((hook) => own.hooks.includes(hook) || other.hooks.includes(hook)),
  };
}

function needsOfOne(registry: Registry, description: Description, off: boolean): Needs {
  const needed = neededDirections(description, off);
  const wanted: Record<OptionalHook, boolean> = {
    // This hook counts what ingress hands over.
    deliver: needed.egress || (needed.ingress && registry.steers),
    sock_create: !off && limitsMptcp(description.rules.file.head),
    bind4: !off,
    bind6: !off,
    getsockname4: !off && rewrites(description.rules.file.head),
    getsockname6: !off && rewrites(description.rules.file.head),
  };
  return { directions: needed, hooks: optionalHooks.filter((hook) => wanted[hook]) };
}

function limitsMptcp({ mptcp, services }: FileHead): boolean {
  return mptcp === "off" || services.some((service) => service.mptcp === "off");
}

function rewrites({ services }: FileHead): boolean {
  return services.some(({ wildcard }) => wildcard === "rewrite");
}

export function sameNeeds(needs: Needs, other: Needs | null): boolean {
  return (
    other !== null &&
    directions.every((direction) => needs.directions[direction] === other.directions[direction]) &&
    needs.hooks.join() === other.hooks.join()
  );
}
