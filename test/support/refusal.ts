/** What must be refused, by its error. */
import { IlmError } from "../../src/errors.js";

export function refusal(action: () => unknown): IlmError {
  try {
    action();
  } catch (error) {
    if (error instanceof IlmError) return error;
    throw error;
  }
  throw new Error("it was not refused");
}
