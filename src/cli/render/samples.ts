/** Reads the samples of a metrics page of ours. */

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Null for what JSON has no number for: infinity. */
  readonly value: number | null;
}

const ESCAPED: Readonly<Record<string, string>> = { "\\\\": "\\", '\\"': '"', "\\n": "\n" };

/** Returns all samples of a page in Prometheus text format, in its order. */
export function samplesOf(page: string): Sample[] {
  return page.split("\n").flatMap((line) => {
    const [, name, labels = "", value] = /^([a-z_:]\w*)(?:\{(.*)\})? (\S+)$/i.exec(line) ?? [];
    if (name === undefined || value === undefined) return [];
    const number = Number(value);
    return { name, labels: labelsOf(labels), value: Number.isFinite(number) ? number : null };
  });
}

function labelsOf(text: string): Record<string, string> {
  const pairs = text.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g);
  return Object.fromEntries(
    Array.from(pairs, ([, name = "", value = ""]) => [
      name,
      value.replaceAll(/\\[\\"n]/g, (escaped) => ESCAPED[escaped] ?? escaped),
    ]),
  );
}
