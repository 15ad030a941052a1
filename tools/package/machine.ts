/** A kind of machine that there are packages for, by its names in Debian and in Node. */
export interface Machine {
  readonly debian: "amd64" | "arm64";
  readonly node: "x64" | "arm64";
}

export const machines: readonly Machine[] = [
  { debian: "amd64", node: "x64" },
  { debian: "arm64", node: "arm64" },
];
