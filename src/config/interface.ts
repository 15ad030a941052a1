/** Names of interfaces, and what else is written where one belongs. */
import { parsePrefix } from "../model/address.js";
import { MAX_INTERFACE_LENGTH } from "../model/mapping.js";
import {
  itemsOf,
  MAX_RECOGNISED,
  refuse,
  refuseVariable,
  yamlList,
  type Refused,
} from "./meant.js";
import { quote } from "./source.js";

const HINT = "write a name that `ip link` shows, such as eth0";

type Parsed = { ok: true; name: string } | Refused;

/**
 * Parses a name such as `eth0`: what the kernel accepts as an interface's name (net/core/dev.c,
 * dev_valid_name), except what an argument could not express (comma, at sign, equals sign) and what
 * reads like a pattern, a negation or an address.
 */
export function parseInterface(text: string): Parsed {
  if (text === "") return refuse("the interface is empty", HINT);
  if (text.length <= MAX_RECOGNISED) {
    const refused = refuseMeaning(text);
    if (refused !== null) return refused;
  }
  const bytes = new TextEncoder().encode(text).length;
  if (bytes > MAX_INTERFACE_LENGTH) {
    return refuse(
      `${quote(text)} has ${bytes} bytes, and an interface's name at most ${MAX_INTERFACE_LENGTH}`,
      `${HINT}; an alternative name (altname) is not supported`,
    );
  }
  if (text === "." || text === ".." || /[\s/:,@=\0]/.test(text)) {
    return refuse(`${quote(text)} is not the name of an interface`, HINT);
  }
  return { ok: true, name: text };
}

const USUAL_NAME =
  /^(?:lo|en[opsx][a-z0-9]+|w[lw][a-z]*[0-9][a-z0-9]*|veth[a-z0-9]+|(?:eth|wg|br|virbr|docker|tun|tap|bond|team|vlan|ppp|dummy|vrf|ib)(?:[0-9]+|-[a-z0-9-]+))(?:\.[0-9]+)?$/;

/**
 * Reports whether a word is most likely the name of an interface: eth0, enp3s0, wlan0, wg0, br-lan,
 * docker0, lo.
 */
export function looksLikeInterface(text: string): boolean {
  return USUAL_NAME.test(text);
}

/** Refuses a text that means something else than a name. Returns null when it reads like a name. */
function refuseMeaning(text: string): Refused | null {
  const bare = text.trim();
  if (/^(?:\*|\+|any|all)$/i.test(bare)) {
    return refuse(
      `${quote(text)} is not the name of an interface`,
      "leave interface out for every interface",
      {},
    );
  }
  if (/^(?:!|~|\^|not\s)/.test(bare)) {
    return refuse(
      `${quote(text)} is a negation, which is not supported`,
      "list the interfaces that are meant, such as [eth0, wg0]; or write a second mapping, for the other interface: it goes first",
    );
  }
  const variable = refuseVariable(text);
  if (variable !== null) return variable;
  if (/[*?[\]]|\+$|%d/.test(bare) && !/[\s,]/.test(bare)) {
    const stem = bare.replace(/[^A-Za-z0-9._-].*$/, "");
    const start = /[0-9]$/.test(stem) ? stem : `${stem === "" ? "eth" : stem}0`;
    return refuse(
      `${quote(text)} is a pattern, and an interface is matched by its whole name only`,
      `list the names that \`ip link\` shows (${start}, ${next(start)}), or leave interface out for every interface`,
    );
  }
  const items = itemsOf(bare);
  if (items !== null && items.every((item) => parseInterface(item).ok)) {
    return refuse(`${quote(text)} is more than one name`, `write ${yamlList(items)}`, {
      interface: items.join(","),
    });
  }
  if (parsePrefix(bare.replace(/^\[(.*)\]$/, "$1")).ok) {
    const address = bare.replace(/^\[(.*)\]$/, "$1");
    return refuse(
      `${quote(text)} is an address, not the name of an interface`,
      `write on: ${yamlList([address])} for the address that clients dial`,
      { on: address },
    );
  }
  return refuseLabel(text, bare);
}

/** Recognises `eth0:1`, `eth0@if5:` and `eth0:`, as other programs print names. */
function refuseLabel(text: string, bare: string): Refused | null {
  const [, name = "", rest = ""] = /^([^\s:@/,=]+)([\s:@].*)?$/.exec(bare) ?? [];
  if (name === "" || (name === text && rest === "") || !parseInterface(name).ok) return null;
  if (/^:[0-9]+$/.test(rest)) {
    return refuse(
      `${quote(text)} is the label of an address, not the name of an interface`,
      `write ${name}, and on: with the address that has the label`,
    );
  }
  if (rest !== "" && rest !== ":" && !rest.startsWith("@")) return null;
  return refuse(`${quote(text)} is not the name of an interface`, `write ${name}`, {
    interface: name,
  });
}

function next(name: string): string {
  return name.replace(/[0-9]+$/, (number) => String(Number(number) + 1));
}
