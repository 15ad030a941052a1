/** `publish` of a service: the ports that clients dial, each of which is read as a mapping. */
import type { PortRange, Protocol } from "../model/mapping.js";
import { protocols } from "../model/mapping.js";
import type { Prefix } from "../model/address.js";
import { parsePortItem } from "../model/ports.js";
import { MAX_RECOGNISED, refuse, type Refused } from "./meant.js";
import { parseOn } from "./prefix.js";
import { refuseProtocol } from "./protocol.js";
import { mappingHint, refusePublished } from "./publish-meant.js";
import type { Path } from "./source.js";

/** Ports that clients dial, of one protocol. */
export interface DialledPorts {
  readonly protocol: Protocol;
  readonly ports: PortRange;
}

/** One item of `publish`. */
export interface Published extends DialledPorts {
  /** The item's path inside `publish`; empty when it is the only one, without a list. */
  readonly path: Path;
  /** The service's port; `"same"` is the port that was dialled. */
  readonly port: number | "same";
}

/** A port that is dialled, or `53/udp`, after parsing. */
export type WrittenItem = number | DialledPorts;

/** `publish` as written: ports that stay the same, or dialled ports with the service's. */
export type WrittenPublish =
  | WrittenItem
  | readonly WrittenItem[]
  | { readonly byDialled: Readonly<Record<string, number>> };

export function publishedOf(written: WrittenPublish): Published[] {
  if (isList(written)) return written.map((item, index) => itemOf(item, [index], "same"));
  if (typeof written === "number" || "ports" in written) return [itemOf(written, [], "same")];
  return Object.entries(written.byDialled).flatMap(([key, port]) => {
    const parsed = parsePublished(key);
    return parsed.ok ? [itemOf(parsed.value, [key], port)] : [];
  });
}

function isList(written: WrittenPublish): written is readonly WrittenItem[] {
  return Array.isArray(written);
}

function itemOf(item: WrittenItem, path: Path, port: number | "same"): Published {
  return typeof item === "number"
    ? { path, protocol: "tcp", ports: { first: item, last: item }, port }
    : { path, ...item, port };
}

type Parsed = { ok: true; value: DialledPorts } | Refused;

/** Parses `443`, `8000-8099` or `*`, each with `/tcp` (the default) or `/udp` behind it. */
export function parsePublished(text: string): Parsed {
  const [, written = text, suffix = "tcp"] = /^([^/]*)\/([^/]*)$/.exec(text) ?? [];
  const protocol = protocols.find((one) => one === suffix);
  const item = parsePortItem(written);
  if (protocol !== undefined && item.ok) {
    return { ok: true, value: { protocol, ports: item.range } };
  }
  if (text.length > MAX_RECOGNISED) return item.ok ? refuseProtocol(suffix) : item;
  return refusePublished(text);
}

/** Parses a prefix of `on` of a service. */
export function parseServiceOn(text: string): { ok: true; value: Prefix } | Refused {
  const parsed = parseOn(text);
  if (parsed.ok) return { ok: true, value: parsed.prefix };
  const name = parsed.meant?.interface;
  return name === undefined ? parsed : refuse(parsed.reason, mappingHint({ interface: name }));
}
