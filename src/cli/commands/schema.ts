/** `ilm schema`: prints the JSON Schema of the configuration, for editors. */
import { configurationJsonSchemaText } from "../../config/schema.js";
import type { Context } from "../shell/context.js";

export function schema(context: Context): void {
  const text = configurationJsonSchemaText();
  context.write(text.endsWith("\n") ? text : `${text}\n`);
}
