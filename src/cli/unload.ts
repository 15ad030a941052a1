/** `ilm unload`: no program, map, link, file or address of ours is left. */
import { performChange } from "../daemon/perform.js";
import { print, type Context } from "./context.js";
import { waitSeconds, type WaitOptions } from "./wait.js";
import { withDataPlane } from "./with-data-plane.js";

export async function unload(context: Context, options: WaitOptions): Promise<void> {
  const wait = { waitSeconds: waitSeconds(options) };
  const { changed, by } = await withDataPlane((dataPlane) =>
    performChange(dataPlane, { kind: "unload" }, wait),
  );
  await print(context, { unloaded: changed, by }, () => {
    if (!changed) return "nothing was loaded\n";
    return by === "daemon" ? "unloaded; the daemon ended with it\n" : "unloaded\n";
  });
}
