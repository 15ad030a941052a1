/** The names of mappings, of which one of each protocol may have the same. */
import { printable } from "./text.js";

interface Named {
  readonly name: string;
  readonly protocol: string;
}

/** Names one of these mappings, with its protocol where another has the same name. */
export function nameAmong({ name, protocol }: Named, all: readonly Named[]): string {
  const isTwice = all.some((one) => one.name === name && one.protocol !== protocol);
  return isTwice ? `${printable(name)} ${protocol}` : printable(name);
}
