/** Finds what should be attached and is not, and puts it back. */
import { alone } from "../alone.js";
import { freeAbandoned } from "../observe/reader.js";
import { openSync, closeSync } from "node:fs";
import { type BpfLink, attach, AttachType, detachPrograms } from "../../kernel/bpf/link.js";
import type { Folder } from "../../kernel/folder.js";
import { ownNetnsPath } from "../../kernel/netns.js";
import { type Pins, stagingName, LOOKUP_LINK } from "../../kernel/pins.js";
import { Earlier } from "../earlier.js";
import { forgetIdleFlows } from "../observe/flows.js";
import { type Missing, LOOKUP_MISSING, type Overtaken, type FollowOptions } from "../types.js";
import { Follower } from "./follower.js";
import {
  directions,
  detachInterfaces,
  interfacesWithout,
  overtakenIn,
  programsOnInterfaces,
  attachInterfaces,
} from "./interfaces.js";
import { addMissing, heldBy, missingFrom } from "./loopback.js";
import { type Needs, needsOf } from "./needs.js";
import type { Programs } from "./programs.js";
import { type Registry, type OptionalHook, optionalHooks, attachedHooks } from "./registry.js";
import { type State, type Loaded, isOff } from "./state.js";

/**
 * The folder of links on interfaces. It is the registry's, because they call what this registry's
 * map says.
 */
const INTERFACES = "interfaces";

export function attachDeliver(state: State, { registry }: Pick<Loaded, "registry">): void {
  state.inRegistry({ registry }, (folder) => {
    registry.setHook(folder, "deliver", true);
  });
}

/**
 * Attaches the hand-over at ingress where the active rules need it, and detaches it elsewhere.
 * Returns where it was missing although the interface was not new.
 */
export function steer(
  state: State,
  loaded: Loaded,
  needs: Needs,
  attached: readonly OptionalHook[] = [],
): Missing[] {
  const { registry } = loaded;
  const missing = state.inRegistry(loaded, (folder) => {
    for (const hook of optionalHooks) {
      if (!attached.includes(hook)) registry.setHook(folder, hook, needs.hooks.includes(hook));
    }
    if (!registry.steers) return [];
    const gone = attachNeeded(folder, registry, needs);
    if (directions.every((direction) => needs.directions[direction])) return gone;
    const inside = folder.folder(INTERFACES);
    for (const direction of directions) {
      if (inside !== undefined && !needs.directions[direction]) {
        detachInterfaces(inside, direction, registry.links);
      }
    }
    inside?.close();
    return gone;
  });
  return missing ?? [];
}

export function listDetached(state: State): readonly Missing[] {
  return state.asOne(() => {
    const loaded = state.current();
    if (loaded === undefined) return [];
    if (loaded instanceof Earlier) return loaded.link.info().isAttached ? [] : [LOOKUP_MISSING];
    return detachedOf(state, loaded, needsOf(loaded, isOff(loaded)));
  });
}

function detachedOf(state: State, loaded: Loaded, needs: Needs): Missing[] {
  const hooks = state.inRegistry(loaded, (folder) =>
    loaded.registry.missingHooks(folder, needs.hooks),
  );
  return [
    ...(loaded.link.info().isAttached ? [] : [LOOKUP_MISSING]),
    ...(hooks ?? []).map((hook) => `cgroup/${hook}`),
  ];
}

export function listMissing(state: State): Missing[] {
  const loaded = state.own();
  if (loaded === undefined) return [];
  const needs = needsOf(loaded, isOff(loaded));
  const { directions: needed } = needs;
  const onInterfaces = loaded.registry.steers
    ? inInterfaces(state, loaded, (folder) =>
        directions
          .filter((direction) => needed[direction])
          .flatMap((direction) =>
            interfacesWithout(folder, direction).map((name) => `${direction}/${name}`),
          ),
      )
    : [];
  const onLo = missingFrom(heldBy(loaded.description.rules));
  return [...detachedOf(state, loaded, needs), ...(onInterfaces ?? []), ...onLo];
}

/** Puts back what should be attached, but no addresses, and returns what that was. */
export function repairAttached(state: State, pins: Pins, loaded: Loaded, needs: Needs): Missing[] {
  const { registry } = loaded;
  const repaired = state.inRegistry(loaded, (folder) => {
    const hooks = registry.missingHooks(folder, needs.hooks);
    if (hooks.length > 0) registry.repairHooks(folder, hooks);
    return hooks;
  });
  const missing = (repaired ?? []).map((hook) => `cgroup/${hook}`);
  // We missed what came and went meanwhile.
  if (missing.length > 0) registry.sweep();
  if (!loaded.link.info().isAttached) {
    missing.unshift(LOOKUP_MISSING);
    loaded.link = reattach(pins, loaded);
  }
  const attached = needs.hooks.filter((hook) => repaired?.includes(hook) === false);
  return [...missing, ...steer(state, loaded, needs, attached)];
}

export function repairAll(state: State): readonly Missing[] {
  return state.withPins((pins) => {
    const loaded = state.own();
    if (pins === undefined || loaded === undefined) return [];
    const repaired = repairAttached(state, pins, loaded, needsOf(loaded, isOff(loaded)));
    return [...repaired, ...addMissing(heldBy(loaded.description.rules))];
  });
}

/** Attaches the program that decides to the network namespace. The caller owns the link. */
export function attachLookup({ lookup }: Programs): BpfLink {
  const netns = openSync(ownNetnsPath, "r");
  try {
    return attach(lookup, netns, AttachType.skLookup);
  } finally {
    closeSync(netns);
  }
}

/** Replaces a link that was detached. */
function reattach(pins: Pins, { link: detached, generation }: Loaded): BpfLink {
  const link = attachLookup(generation.programs);
  pinLink(pins, link);
  detached.close();
  return link;
}

/** Pins the link in place of whatever is there. */
export function pinLink(pins: Pins, link: BpfLink): void {
  pins.base.remove(stagingName("link"));
  link.pin(pins.base, stagingName("link"));
  pins.base.rename(stagingName("link"), LOOKUP_LINK);
}

export function listOvertaken(state: State): Overtaken[] {
  return state.asOne(() => {
    const loaded = state.own();
    if (loaded === undefined || !loaded.registry.steers) return [];
    const found = inInterfaces(
      state,
      loaded,
      (folder) => folder && directions.flatMap((direction) => overtakenIn(folder, direction)),
    );
    return found ?? [];
  });
}

/**
 * Runs `action` in the folder of what is attached to interfaces, which is undefined when nothing
 * is. Returns undefined when the registry has no folder.
 */
function inInterfaces<T>(
  state: State,
  loaded: Loaded,
  action: (folder: Folder | undefined) => T,
): T | undefined {
  return state.inRegistry(loaded, (registry) => {
    const folder = registry.folder(INTERFACES);
    try {
      return action(folder);
    } finally {
      folder?.close();
    }
  });
}

/**
 * Handles interfaces that came, went or were renamed: those that mappings name, and those where UDP
 * and MPTCP are handed over.
 */
function meetInterfaces(state: State): Missing[] {
  return state.asOne(() => {
    const loaded = state.ownReadable();
    loaded?.generation.resolveInterfaces();
    loaded?.beside?.resolveInterfaces();
    loaded?.registry.meetVrfs();
    return loaded === undefined ? [] : steer(state, loaded, needsOf(loaded, isOff(loaded)));
  });
}

export function listUncovered(state: State): string[] {
  const loaded = state.own();
  if (loaded === undefined || !loaded.registry.steers) return [];
  const { directions: needed } = needsOf(loaded, isOff(loaded));
  const without = inInterfaces(state, loaded, (folder) =>
    directions
      .filter((direction) => needed[direction])
      .flatMap((direction) => interfacesWithout(folder, direction)),
  );
  return [...new Set(without)];
}

/**
 * Detaches what a lost registry has attached for this namespace, held by pins that cannot be found.
 */
export function detachStrays(state: State, own: ReadonlySet<number>): void {
  // Ingress goes before the hooks that give its answers their address.
  for (const attached of [programsOnInterfaces(), attachedHooks(state.cookie)]) {
    detachPrograms(new Set(attached.filter((id) => !own.has(id))));
  }
}

/**
 * Attaches to every interface where these rules need it, and leaves what they do not need. `around`
 * is the registry's folder. Returns where it had been detached.
 */
export function attachNeeded(around: Folder, registry: Registry, needs: Needs): Missing[] {
  const folder = around.makeFolder(INTERFACES);
  try {
    const wanted = directions.filter((direction) => needs.directions[direction]);
    return attachInterfaces(
      folder,
      Object.fromEntries(wanted.map((direction) => [direction, registry.program(direction)])),
      registry.links,
    );
  } finally {
    folder.close();
  }
}

/** Follows interfaces and sockets (see DataPlane.follow). */
export function follow(
  state: State,
  { onError, onRestored, onRefused, onTurned }: FollowOptions = {},
): { close(): void } {
  state.holds = true;
  return new Follower(
    // State that is unreadable or an earlier version's is about to be replaced.
    () => state.ownReadable()?.registry,
    () => {
      const missing = meetInterfaces(state);
      if (missing.length > 0) onRestored?.(missing);
    },
    {
      refused: (attempt) => onRefused?.(attempt),
      turned: (turn) => onTurned?.(turn),
    },
    onError,
  );
}

/** Resynchronises the registry (see DataPlane.resync). */
export function resync(state: State): readonly Missing[] {
  const { registry } = state.require();
  const missing = meetInterfaces(state);
  registry.forgetKnown();
  registry.sweep();
  forgetIdleFlows(registry.map("flows"));
  alone(state, () => {
    freeAbandoned(registry);
  });
  return missing;
}
