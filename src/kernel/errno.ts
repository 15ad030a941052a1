/** This machine's error numbers by name. */
import { constants } from "node:os";

export const { errno: Errno } = constants;
