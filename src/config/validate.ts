/**
 * Validates, by the schema, documents that the quick reader refused, and reports everything that is
 * wrong in our words. Loads zod.
 */
import { hasContent, settingNames, validOf, type Document } from "./document.js";
import { explain } from "./issues.js";
import type { Problem } from "../errors.js";
import type { Problems } from "./problems.js";
import {
  configuration,
  mappingEntry,
  serviceEntry,
  serviceName,
  type MappingEntry,
  type ServiceEntry,
} from "./schema.js";
import { formatPath, type Source } from "./source.js";

export function validate(source: Source, problems: Problems): Document {
  const { value } = source;
  const result = configuration.safeParse(value);
  if (result.success) {
    if (!hasContent(result.data)) {
      const hasSettings = settingNames.some((name) => result.data[name] !== undefined);
      problems.add({
        severity: "error",
        file: source.name,
        ...source.place([]),
        path: "",
        message: hasSettings ? "there are settings, and no mappings" : "the document is empty",
        hint: "write mappings: [] for no mappings",
      });
    }
    return { source, unsound: [], ...validOf(result.data) };
  }
  const findings = explain(result.error.issues, value)
    .map(({ path, of, message, hint }): Problem => {
      const place = source.place(path, of);
      return {
        severity: "error",
        file: source.name,
        ...place,
        path: formatPath(path),
        message,
        hint,
      };
    })
    .filter((finding) => !problems.hasAt(finding));
  for (const finding of findings) problems.add(finding);
  return { source, ...salvage(value) };
}

/**
 * Returns the valid entries of an invalid document, so that the same run reports their own
 * problems.
 */
function salvage(value: unknown): Omit<Document, "source"> {
  const services: [string, ServiceEntry][] = [];
  const mappings: (MappingEntry | null)[] = [];
  const unsound: string[] = [];
  const entries = { services, mappings, settings: {}, unsound };
  if (typeof value !== "object" || value === null) return entries;
  if ("services" in value && typeof value.services === "object" && value.services !== null) {
    for (const [name, raw] of Object.entries(value.services)) {
      const entry = serviceEntry.safeParse(raw);
      if (entry.success && serviceName.safeParse(name).success) services.push([name, entry.data]);
      else unsound.push(name);
    }
  }
  if ("mappings" in value && Array.isArray(value.mappings)) {
    for (const raw of value.mappings) {
      const entry = mappingEntry.safeParse(raw);
      mappings.push(entry.success ? entry.data : null);
    }
  }
  return entries;
}
