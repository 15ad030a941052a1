/** Run-time mappings whose service is gone, in words. */
import { printable } from "./text.js";

interface Orphaned {
  readonly mapping: string;
  readonly service: string;
}

export function describeOrphan({ mapping, service }: Orphaned): string {
  const [name, of] = [printable(mapping), printable(service)];
  return `the run-time mapping ${name} leads to an address that the service ${of} no longer has in the configuration`;
}

export function hintForOrphan({ mapping }: Orphaned): string {
  const name = printable(mapping);
  return `\`ilm remove ${name}\` removes it; \`ilm add --replace\` leads it elsewhere; or give the service back its name and address`;
}
