import type { DataPlane } from "./types.js";

/** See DataPlane.follow. */
export function startFollowing(dataPlane: DataPlane): { close(): void } {
  return dataPlane.follow();
}
