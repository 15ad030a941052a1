/** The JSON that scripts rely on, as the suites read it. */
import type { ListenersJson } from "../../src/json/listeners.js";
import type { MappingsJson } from "../../src/json/mappings.js";

export type { StatusJson as Status } from "../../src/json/status.js";
export type MappingRow = MappingsJson[number];
export type ListenerRow = ListenersJson[number];
