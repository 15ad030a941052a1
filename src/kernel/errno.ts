/** Error numbers of this machine, by their names. */
import { constants } from "node:os";

export const { errno: Errno } = constants;
