/** Removes the pins of what neither decides nor may decide again. */
import { type Pins, folderName, numbersIn, stagingName } from "../../kernel/pins.js";
import { Registry } from "./registry.js";
import type { Loaded } from "./state.js";

/**
 * Removes what a killed writer left, and inactive generations and registries. The caller makes sure
 * that no packet they decided is still on its way.
 */
export function removeLeftovers(pins: Pins, keep: Loaded | undefined): void {
  keep?.registry.countOnlyFor(keep.generation.programs.number);
  const kept = {
    generation: [keep?.generation.number, keep?.beside?.number],
    programs: [keep?.generation.programs.number],
    registry: [keep?.registry.number],
  };
  const names = pins.base.names();
  for (const kind of ["generation", "programs", "registry"] as const) {
    if (names.includes(stagingName(kind))) pins.base.remove(stagingName(kind));
    for (const number of numbersIn(names, kind)) {
      if (kept[kind].includes(number)) continue;
      if (kind === "registry") Registry.remove(pins, number);
      else pins.base.remove(folderName(kind, number));
    }
  }
}
