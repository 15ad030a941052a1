/** `ilm hosts`: prints the addresses of services as lines of /etc/hosts (hosts(5)). */
import type { HostsJson } from "../../json/address.js";
import { published } from "../../json/published.js";
import { listSources } from "../../model/sources.js";
import { printable } from "../../words/text.js";
import { print, type Context } from "../shell/context.js";
import type { SourceOptions } from "../shell/load.js";
import { readServices } from "../shell/services.js";

export async function hosts(context: Context, options: SourceOptions): Promise<void> {
  const { services } = await readServices(context, options);
  const lines = services.flatMap(({ name, addresses }) =>
    addresses.map((address) => ({ address, name })),
  );
  await print(context, published<HostsJson>()(lines), () => {
    const from =
      options.file === undefined ? "the active rules" : printable(listSources(options.file));
    const width = Math.max(0, ...lines.map(({ address }) => address.length));
    const entries = lines.map(
      ({ address, name }) => `${address.padEnd(width)} ${printable(name)}\n`,
    );
    return `# Addresses of services, from ${from} (ilm hosts)\n${entries.join("")}`;
  });
}
