/**
 * Shapes of JSON, as data. The reference, the types that commands print and the tests of their
 * output are made from them, so each field is declared once. Pure; no command loads this at run
 * time, since it needs the types alone.
 */

/** Marks the type of a shape's values. Nothing has it at run time. */
declare const values: unique symbol;

interface Typed<T> {
  readonly [values]?: T;
}

export type Literal = string | number | boolean;

export interface Field {
  readonly shape: Shape;
  /** One sentence: what it is, its unit and format, when it is null. */
  readonly meaning: string;
  /** It may be absent. */
  readonly isOptional: boolean;
}

export type Fields = Readonly<Record<string, Field>>;

type Form =
  | { readonly kind: "text" | "number" | "integer" | "boolean" }
  | { readonly kind: "literals"; readonly literals: readonly Literal[] }
  | { readonly kind: "nullable" | "list"; readonly of: Shape }
  /** `name`: what other shapes and the reference call it; null: it has no name. */
  | { readonly kind: "object"; readonly fields: Fields; readonly name: string | null }
  | { readonly kind: "either"; readonly of: readonly Shape[] }
  | { readonly kind: "foreign"; readonly format: string };

/** What a value looks like; `T` is its type in TypeScript. */
export type Shape<T = unknown> = Form & Typed<T>;

export interface ObjectShape<F extends Fields> extends Typed<OfFields<F>> {
  readonly kind: "object";
  readonly fields: F;
  readonly name: string | null;
}

/** The type of a shape's values. */
export type Of<S> = S extends Typed<infer T> ? T : never;

type OfFields<F extends Fields> = {
  readonly [K in keyof F as F[K] extends { readonly isOptional: true } ? never : K]: Of<
    F[K]["shape"]
  >;
} & {
  readonly [K in keyof F as F[K] extends { readonly isOptional: true } ? K : never]?: Of<
    F[K]["shape"]
  >;
};

export const text: Shape<string> = { kind: "text" };
export const number: Shape<number> = { kind: "number" };
export const integer: Shape<number> = { kind: "integer" };
export const boolean: Shape<boolean> = { kind: "boolean" };

/** One of these values. */
export function oneOf<const L extends readonly Literal[]>(...literals: L): Shape<L[number]> {
  return { kind: "literals", literals };
}

export function nullable<T>(of: Shape<T>): Shape<T | null> {
  return { kind: "nullable", of };
}

export function list<T>(of: Shape<T>): Shape<readonly T[]> {
  return { kind: "list", of };
}

/** An object with these fields and no others. */
export function object<F extends Fields>(fields: F, name: string | null = null): ObjectShape<F> {
  return { kind: "object", fields, name };
}

/** A value of one of these shapes. */
export function either<S extends readonly Shape[]>(...of: S): Shape<Of<S[number]>> {
  return { kind: "either", of };
}

/** An object of a format that is described elsewhere; `format` says where. */
export function foreign(format: string): Shape<Readonly<Record<string, unknown>>> {
  return { kind: "foreign", format };
}

interface FieldOf<S extends Shape> extends Field {
  readonly shape: S;
}

export function field<S extends Shape>(
  shape: S,
  meaning: string,
): FieldOf<S> & { readonly isOptional: false } {
  return { shape, meaning, isOptional: false };
}

/** A field that may be absent. */
export function optional<S extends Shape>(
  shape: S,
  meaning: string,
): FieldOf<S> & { readonly isOptional: true } {
  return { shape, meaning, isOptional: true };
}
