/** `ilm on`: makes the rules that were switched off decide again. */
import type { Context } from "../shell/context.js";
import { switchTo } from "./off.js";
import type { TimingOptions } from "../shell/timing.js";
import type { WaitOptions } from "../shell/wait.js";

export async function on(context: Context, options: WaitOptions & TimingOptions): Promise<void> {
  await switchTo(context, "on", options);
}
