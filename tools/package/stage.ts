/** What `make install` puts, in a folder to be packaged. */
import { execFileSync } from "node:child_process";

/** Where the program itself is, below the folder. */
export const LIBRARY = "usr/lib/ilm";

/** Installs the checkout below `root`, with what tools/install.sh heeds in the environment. */
export function stage(root: string, environment: Readonly<Record<string, string>> = {}): void {
  const env = { ...process.env, PREFIX: "/usr", DESTDIR: root, ...environment };
  const stdio = ["ignore", "ignore", "inherit"] as const;
  execFileSync("sh", ["tools/install.sh", "install"], { env, stdio: [...stdio] });
}
