/** `ilm undrain`: lets a drained destination get new connections again. */
import type { Context } from "../shell/context.js";
import { changeDrained, type DrainOptions } from "./drain.js";

export async function undrain(
  context: Context,
  options: DrainOptions,
  texts: readonly string[],
): Promise<void> {
  await changeDrained(context, "undrain", options, texts);
}
