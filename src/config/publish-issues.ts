/** What to write where the validator finds something wrong in what a service publishes. */
import { parsePort } from "../model/ports.js";
import { textOf, yamlList, yamlText } from "./meant.js";
import { mappingHint, mappingKeys } from "./publish-meant.js";
import { parsePublished } from "./publish.js";
import type { Path } from "./source.js";

/** Reports whether the path is that of `publish`, or of something inside. */
export function isPublished(path: Path): boolean {
  return path[0] === "services" && path[2] === "publish";
}

/** Returns what an item, or the service's port, should be. Returns null when its form says it. */
export function hintOfPublished([, service, , step]: Path, value: unknown): string | null {
  if (typeof step === "string") return hintOfPort(step, value);
  const isGroup = typeof value === "object" && value !== null && !Array.isArray(value);
  if (!isGroup || step === undefined) return null;
  const entries = Object.entries(value).map(([key, given]) => [key, textOf(given)] as const);
  if (entries.every(([key, port]) => parsePublished(key).ok && parsePort(port).ok)) {
    const shown = entries.map(([key, port]) => `${key}: ${port}`);
    return `write one group instead of a list: publish: { ${shown.join(", ")} }`;
  }
  const isMapping = entries.every(([key, given]) => mappingKeys.includes(key) && given !== "");
  const keys = isMapping ? entries.map(([key, given]) => [key, yamlText(given)] as const) : [];
  return mappingHint(Object.fromEntries(keys), String(service));
}

function hintOfPort(dialled: string, value: unknown): string {
  if (value === null) {
    return `write the service's port: { ${dialled}: 8080 }; or a list, for the port that was dialled: [${dialled}]`;
  }
  return typeof value === "string" && parsePort(value).ok
    ? `write ${value}`
    : "write the port that the service listens on, as a number such as 8080";
}

/** An example for each key of mappings that services lack. */
const examples: Readonly<Record<string, string>> = {
  name: "blog",
  from: "198.51.100.0/24",
  interface: "eth0",
  existing: "any",
  miss: "reject",
  listeners: "{ unit: haproxy.service }",
};

/** Returns what to write for a key of mappings that services do not have. */
export function hintOfMappingKey(key: string, entry: object, service: string): string {
  if (key === "to") {
    return "leave it out: what is published leads to the service; for another port, write publish: { 443: 8443 }";
  }
  const given = Object.entries(entry);
  const valueOf = (wanted: string): unknown => given.find(([name]) => name === wanted)?.[1];
  const ports = valueOf("publish");
  const shown: string[] = (Array.isArray(ports) ? ports : [ports]).map(textOf);
  const written = textOf(valueOf(key));
  return mappingHint(
    {
      ...(shown.every((port) => /^[0-9-]+$/.test(port)) && { port: yamlList(shown) }),
      [key]: written === "" ? (examples[key] ?? "") : yamlText(written),
    },
    service,
  );
}
