/** What people write for an item of `publish` that is none, and what to write instead. */
import { parseAddress } from "../model/address.js";
import { protocols } from "../model/mapping.js";
import { parsePort } from "../model/ports.js";
import { refuse, refuseVariable, yamlText, type Refused } from "./meant.js";
import { parsePorts } from "./port.js";
import { refuseProtocol } from "./protocol.js";
import { quote } from "./source.js";

/** The keys of mappings that `publish` does without. */
export const mappingKeys: readonly string[] = [
  "name",
  "protocol",
  "port",
  "from",
  "interface",
  "to",
  "existing",
  "miss",
  "listeners",
];

/** Refuses what is no item of `publish`, with what was meant. */
export function refusePublished(text: string): Refused {
  return (
    refuseVariable(text) ?? keyOfMapping(text) ?? twoPorts(text) ?? withSuffix(text) ?? asPort(text)
  );
}

function keyOfMapping(text: string): Refused | null {
  if (!mappingKeys.includes(text) && text !== "on") return null;
  return refuse(
    `${quote(text)} is a key of mappings, and publish has ports alone`,
    text === "on"
      ? "write on beside publish"
      : "write publish: 443, or publish: { 443: 8443 }; for all else, write a mapping",
  );
}

/**
 * Recognises a dialled port with the service's, as docker and others write it: `8080:80`,
 * `127.0.0.1:53:5353/udp`, `8080->80`, `8080=80`.
 */
function twoPorts(text: string): Refused | null {
  const [, host, dialled = "", own = "", protocol = ""] =
    /^(?:([0-9.]+|\[[0-9a-f:.]+\]):)?([0-9]+)\s*(?::|[-=]*>|=)\s*([0-9]+)(\/(?:tcp|udp))?$/i.exec(
      text.trim(),
    ) ?? [];
  if (!parsePort(dialled).ok || !parsePort(own).ok) return null;
  const suffix = /udp/i.test(protocol) ? "/udp" : "";
  const address = host === undefined ? null : parseAddress(host.replace(/^\[(.*)\]$/, "$1"));
  const on = address?.ok === true ? `, and on: ${yamlText(address.address)} beside it` : "";
  const written =
    dialled === own ? `${dialled}${suffix}` : `publish: { ${dialled}${suffix}: ${own} }`;
  return refuse(`${quote(text)} is two ports in one text`, `write ${written}${on}`);
}

/** Recognises `443/TCP`, `443/quic`, `080/udp`, `53/tcp,udp`, `80,443/udp`. */
function withSuffix(text: string): Refused | null {
  const [, written = "", suffix = ""] =
    /^\s*([^/\s]+)\s*\/\s*([A-Za-z][A-Za-z0-9+,/ ]*?)\s*$/.exec(text) ?? [];
  if (written === "") return null;
  const known = protocols.find((one) => one === suffix);
  const refused = known === undefined ? refuseProtocol(suffix) : null;
  const protocol = known ?? refused?.meant?.protocols;
  const ports = repaired(written);
  if (ports === null) {
    const parsed = parsePorts(written);
    return parsed.ok ? null : parsed;
  }
  if (protocol === undefined) return refused;
  const reason = refused?.reason ?? `${quote(text)} is not a published port`;
  const items = protocol
    .split("+")
    .flatMap((one) => ports.map((port) => yamlText(`${port}/${one}`)));
  return refuse(reason, items.length === 1 ? `write ${items.join()}` : listHint(items));
}

function listHint(items: readonly string[]): string {
  return `write a list: [${items.join(", ")}]`;
}

/** Returns the ports that were meant, each an item. Returns null when that is more than ports. */
function repaired(written: string): readonly string[] | null {
  const parsed = parsePorts(written);
  if (parsed.ok) return [written];
  const { ports, ...others } = parsed.meant ?? {};
  return ports === undefined || Object.keys(others).length > 0 ? null : ports.split(",");
}

/** Has the parser of `port` say what is wrong, and says it in the words of `publish`. */
function asPort(text: string): Refused {
  const parsed = parsePorts(text);
  if (parsed.ok) return refuse(`${quote(text)} is not a published port`, PUBLISH_FORM);
  const { reason, meant } = parsed;
  if (meant === undefined) return /^[0-9-]+$/.test(text) ? parsed : refuse(reason, PUBLISH_FORM);
  const { ports = "443", protocols: protocol = "tcp", on, interface: interfaceName } = meant;
  const item = yamlText(protocol === "tcp" ? ports : `${ports}/${protocol}`);
  if (interfaceName !== undefined) {
    return refuse(reason, mappingHint({ port: ports, interface: interfaceName }));
  }
  if (on !== undefined) {
    const items = on.split(",").map(yamlText);
    const shown = items.length === 1 ? items.join() : `[${items.join(", ")}]`;
    return refuse(reason, `write ${item}, and on: ${shown} beside publish`);
  }
  return meant.protocols === undefined ? parsed : refuse(reason, `write ${item}`);
}

export const PUBLISH_FORM =
  'write 443, 53/udp, "8000-8099", "*", a list of those, or { 443: 8443 } with the service\'s port';

/** What to write for what only a mapping can say. The values are as YAML has them. */
export function mappingHint(keys: Readonly<Record<string, string>>, service = "web"): string {
  const written = Object.entries({ port: "443", ...keys, to: service });
  const shown = written.map(([key, value]) => `${key}: ${value}`);
  return `write a mapping instead, under mappings: { ${shown.join(", ")} }`;
}
