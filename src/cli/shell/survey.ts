/** Looks for what is in the way of mappings on the host that the command works on. */
import type { DataPlane } from "../../dataplane/types.js";
import { surveyMappings, type Survey } from "../../doctor/survey.js";
import type { Rules } from "../../model/rules.js";
import type { Context } from "./context.js";

export async function survey(
  { reach }: Context,
  dataPlane: DataPlane,
  rules: Rules,
): Promise<Survey> {
  const places = await reach.lookForPlaces();
  return surveyMappings(rules, await reach.lookAround(dataPlane, places, [4, 6]));
}
