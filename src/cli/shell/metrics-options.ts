/** Options about the metrics page. */
import { Option } from "commander";
import { IlmError } from "../../errors.js";
import { type Endpoint, parseEndpoint } from "./endpoint.js";

const LIMIT_MAX = 1_000_000;

export const metricsLimitOption = (): Option =>
  new Option(
    "--metrics-limit <NUMBER>",
    "with more mappings than this, the metrics have totals instead of series for each (default: 10000)",
  );

/** May be given several times. */
export const metricsOption = (): Option =>
  new Option(
    "--metrics <ADDRESS:PORT>",
    "serve /metrics over HTTP there, e.g. 127.0.0.1:9465 or [::1]:9465, to whoever can reach it; may be given several times",
  ).argParser((text: string, before: readonly Endpoint[] | undefined) => [
    ...(before ?? []),
    parseEndpoint(text, "--metrics"),
  ]);

/** Returns the limit, or undefined when it was not given. Throws USAGE. */
export function parseMetricsLimit(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^[0-9]{1,7}$/.test(text) && Number(text) <= LIMIT_MAX) return Number(text);
  const message = `--metrics-limit: ${JSON.stringify(text)} is not a number of mappings`;
  throw new IlmError("USAGE", message, { remedy: `Write a number from 0 to ${LIMIT_MAX}.` });
}
