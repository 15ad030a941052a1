/** The packages that the bundle has as chunks of their own: of these, little is called. */
export const bundledApart: readonly string[] = ["yaml", "zod", "commander"];
