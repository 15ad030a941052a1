/** Writes JSON of any size in pieces: a million mappings do not fit in one string. */

/** The depth below which containers are written whole: one mapping, one listener. */
const PIECES_TO = 2;
/** The number of characters from which on a piece is written. */
const PIECE = 1 << 20;

/** Yields, in pieces, what `JSON.stringify(value, null, 2)` and a line feed would be. */
export function* jsonPieces(value: unknown): Generator<string> {
  let piece = "";
  for (const part of parts(value, "", PIECES_TO)) {
    piece += part;
    if (piece.length < PIECE) continue;
    yield piece;
    piece = "";
  }
  yield `${piece}\n`;
}

function* parts(value: unknown, indent: string, depth: number): Generator<string> {
  if (depth > 0 && Array.isArray(value)) {
    yield* container(
      ["[", "]"],
      indent,
      depth,
      value.map((item: unknown) => ["", item ?? null]),
    );
  } else if (depth > 0 && isPlain(value)) {
    const fields = Object.entries(value).filter(([, field]) => field !== undefined);
    yield* container(
      ["{", "}"],
      indent,
      depth,
      fields.map(([name, field]) => [`${JSON.stringify(name)}: `, field]),
    );
  } else {
    yield JSON.stringify(value, null, 2).replaceAll("\n", `\n${indent}`);
  }
}

function* container(
  [open, close]: readonly [string, string],
  indent: string,
  depth: number,
  items: readonly (readonly [name: string, value: unknown])[],
): Generator<string> {
  if (items.length === 0) {
    yield open + close;
    return;
  }
  const deeper = `${indent}  `;
  let before = open;
  for (const [name, item] of items) {
    yield `${before}\n${deeper}${name}`;
    yield* parts(item, deeper, depth - 1);
    before = ",";
  }
  yield `\n${indent}${close}`;
}

/**
 * Reports whether a value is a container. One with a form of its own in JSON (`toJSON`) is none.
 */
function isPlain(value: unknown): value is object {
  return typeof value === "object" && value !== null && !("toJSON" in value);
}
