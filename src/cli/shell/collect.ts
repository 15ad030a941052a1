/** Collects the values of an option that may be given several times, as a parser of its values. */
export function collect(value: string, before: readonly string[] = []): string[] {
  return [...before, value];
}
