/**
 * Small decoders for JSON from another process. Each takes a value of unknown shape and either
 * returns it typed or throws a DecodeError that names the place. Requests with unknown keys are
 * refused: they are a mistake.
 */

/** The error that decoders throw. */
export class DecodeError extends Error {
  override readonly name = "DecodeError";
  constructor(path: string, message: string) {
    super(`${path === "" ? "the body" : path}: ${message}`);
  }
}

export type Decode<T> = (value: unknown, path: string) => T;
export type Shape = Readonly<Record<string, Decode<unknown>>>;
export type Decoded<S extends Shape> = { readonly [K in keyof S]: ReturnType<S[K]> };

export function text(maximumLength: number, minimumLength = 0): Decode<string> {
  return (value, path) => {
    if (typeof value !== "string") throw new DecodeError(path, "must be a string");
    if (value.length < minimumLength || value.length > maximumLength) {
      throw new DecodeError(path, `must have ${minimumLength} to ${maximumLength} characters`);
    }
    return value;
  };
}

export function number(minimum: number, maximum: number): Decode<number> {
  return (value, path) => {
    if (typeof value !== "number" || !(value >= minimum && value <= maximum)) {
      throw new DecodeError(path, `must be a number from ${minimum} to ${maximum}`);
    }
    return value;
  };
}

export function integer(minimum: number, maximum: number): Decode<number> {
  return (value, path) => {
    if (typeof value !== "number" || !Number.isInteger(value)) {
      throw new DecodeError(path, "must be an integer");
    }
    if (value < minimum || value > maximum) {
      throw new DecodeError(path, `must be ${minimum} to ${maximum}`);
    }
    return value;
  };
}

export const boolean: Decode<boolean> = (value, path) => {
  if (typeof value !== "boolean") throw new DecodeError(path, "must be true or false");
  return value;
};

export function oneOf<T extends string>(...choices: readonly T[]): Decode<T> {
  return (value, path) => {
    const found = choices.find((choice) => choice === value);
    if (found === undefined) throw new DecodeError(path, `must be one of ${choices.join(", ")}`);
    return found;
  };
}

export function nullable<T>(decode: Decode<T>): Decode<T | null> {
  return (value, path) => (value === null ? null : decode(value, path));
}

export function list<T>(decode: Decode<T>, minimumLength = 0): Decode<T[]> {
  return (value, path) => {
    if (!Array.isArray(value)) throw new DecodeError(path, "must be an array");
    if (value.length < minimumLength) {
      throw new DecodeError(path, `must have at least ${minimumLength} entries`);
    }
    return value.map((entry: unknown, index) => decode(entry, `${path}[${index}]`));
  };
}

/** Decodes an object with exactly these keys. */
export function object<S extends Shape>(shape: S): Decode<Decoded<S>> {
  const entries = Object.entries(shape);
  return (value, path) => {
    const record = asRecord(value, path);
    for (const key of Object.keys(record)) {
      if (!Object.hasOwn(shape, key)) throw new DecodeError(join(path, key), "is not a known key");
    }
    const result: Record<string, unknown> = {};
    for (const [key, decode] of entries) {
      if (!Object.hasOwn(record, key)) throw new DecodeError(join(path, key), "is missing");
      result[key] = decode(record[key], join(path, key));
    }
    return result as Decoded<S>;
  };
}

type OptionalKey<T> = { [K in keyof T]-?: object extends Pick<T, K> ? K : never }[keyof T];

/** What decodes each field of T. The compiler refuses a table that lacks one. */
export interface Fields<T> {
  readonly always: { readonly [K in Exclude<keyof T, OptionalKey<T>>]: Decode<T[K]> };
  readonly sometimes: { readonly [K in OptionalKey<T>]-?: Decode<Exclude<T[K], undefined>> };
}

/** Decodes an object some of whose fields may be absent, and refuses keys that are not known. */
export function record<T>({ always, sometimes }: Fields<T>): Decode<T> {
  const decodeAlways = object(always as Shape);
  const optional = Object.entries(sometimes as Shape);
  return (value, path) => {
    const given = asRecord(value, path);
    const isOptional = (key: string): boolean => Object.hasOwn(sometimes, key);
    const rest = Object.fromEntries(Object.entries(given).filter(([key]) => !isOptional(key)));
    const present = optional
      .filter(([key]) => Object.hasOwn(given, key))
      .map(([key, decode]) => [key, decode(given[key], join(path, key))]);
    return { ...decodeAlways(rest, path), ...Object.fromEntries(present) } as T;
  };
}

/**
 * Decodes what another version of ilm may have answered: unknown keys are ignored, and a missing
 * one is taken from `absent`.
 */
export function answer<S extends Shape>(
  shape: S,
  absent: { readonly [K in keyof S]?: ReturnType<S[K]> } = {},
): Decode<Decoded<S>> {
  const exact = object(shape);
  return (value, path) => {
    const record = asRecord(value, path);
    const known = Object.entries(record).filter(([key]) => Object.hasOwn(shape, key));
    return exact({ ...absent, ...Object.fromEntries(known) }, path);
  };
}

export function asRecord(value: unknown, path: string): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new DecodeError(path, "must be an object");
  }
  return value as Readonly<Record<string, unknown>>;
}

function join(path: string, key: string): string {
  const shown = key.length > 64 ? `${key.slice(0, 61)}...` : key;
  return path === "" ? shown : `${path}.${shown}`;
}
