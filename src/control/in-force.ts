import type { DataPlane, InForce } from "../dataplane/types.js";
import { IlmError } from "../errors.js";

/**
 * What is in force, for whoever is about to change it: what another version of ilm made cannot be
 * read, and is replaced as a whole. Its mappings of run time are lost with it.
 */
export function replaceableInForce(dataPlane: DataPlane): InForce | null {
  try {
    return dataPlane.inForce();
  } catch (error) {
    if (error instanceof IlmError && error.code === "INCOMPATIBLE") return null;
    throw error;
  }
}
