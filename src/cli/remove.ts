/** `ilm remove`: takes back what `ilm add` gave. */
import { performChange } from "../daemon/perform.js";
import { describePerformed } from "./apply.js";
import { print, type Context } from "./context.js";
import { waitSeconds, type WaitOptions } from "./wait.js";
import { withDataPlane } from "./with-data-plane.js";

/** Each is a mapping's name, or the very text that it was added with. */
export async function remove(
  context: Context,
  options: WaitOptions,
  texts: readonly string[],
): Promise<void> {
  const wait = { waitSeconds: waitSeconds(options) };
  await withDataPlane(async (dataPlane) => {
    const rules = dataPlane.inForce()?.rules;
    const known = new Set(rules?.runtime.map((mapping) => mapping.name));
    const names: string[] = [];
    for (const text of texts) {
      if (known.has(text) || !text.includes("=")) {
        names.push(text);
        continue;
      }
      const { parseMappingArgument } = await import("../config/argument.js");
      const mappings = parseMappingArgument(text, rules?.file.services ?? []);
      names.push(...new Set(mappings.map((mapping) => mapping.name)));
    }
    const performed = await performChange(dataPlane, { kind: "remove", names }, wait);
    await print(context, { ...performed, removed: names }, () => describePerformed(performed));
  });
}
