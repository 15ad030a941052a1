/** Removes everything of ilm's: programs, maps, links, files and addresses. */
import { detachPrograms } from "../../kernel/bpf/link.js";
import { removeLockFile } from "../../kernel/lock.js";
import { type Pins, pinnedNamespaces, LOOKUP_LINK } from "../../kernel/pins.js";
import { removeEnded } from "./ended.js";
import { detachStrays } from "./hooks.js";
import { lookAtHost, release, unusedOn } from "./loopback.js";
import { Registry } from "./registry.js";
import { type State, unpinnedLink } from "./state.js";

export function unload(state: State): boolean {
  const found = state.withPins((pins) => unloadFrom(state, pins));
  state.forget();
  const removed = unusedOn(lookAtHost(), []).filter(release);
  removeLockFile(state.netnsInode);
  return found || removed.length > 0;
}

/** Removes what is in the kernel and pinned. Returns false when nothing was there. */
function unloadFrom(state: State, pins: Pins | undefined): boolean {
  let found = pins !== undefined;
  removeEnded(
    pins?.otherNamespaces() ?? pinnedNamespaces().filter((inode) => inode !== state.netnsInode),
  );
  const loaded = state.ownReadable();
  const registry = loaded?.registry;
  // What covered pins hold would otherwise stay.
  if (loaded !== undefined && !state.isPinned(loaded)) {
    loaded.link.detach();
    loaded.registry.clearIngress();
    detachPrograms(loaded.registry.programIds);
  }
  if (loaded === undefined) {
    const hidden = unpinnedLink(state.netnsInode);
    hidden?.detach();
    hidden?.close();
    found ||= hidden !== undefined;
    detachStrays(state, new Set());
  }
  // Remove the decision first, so that no program runs on half of its state.
  const link = pins?.lookupLink();
  pins?.base.remove(LOOKUP_LINK);
  // Another process (`monitor`) may hold the link for a moment longer.
  if (link?.info().isAttached === true) link.detach();
  link?.close();
  for (const number of pins?.numbers("registry") ?? []) {
    if (pins !== undefined) Registry.remove(pins, number);
  }
  pins?.removeAll();
  // Do this too where its pins are covered.
  registry?.clearPrograms();
  return found;
}
