/**
 * Holds what a command prints against the shape that the reference publishes. All of it happens in
 * the compiler.
 */

declare const checked: unique symbol;

/** A value that has the fields of a published shape, and no others. */
export interface Published {
  readonly [checked]: true;
}

type Scalar = string | number | boolean | null | undefined;

/** Names of the fields of an object, or of any of several. */
type NameIn<T> = T extends Scalar | readonly unknown[] ? never : keyof T;
/** What an object, or any of several, has in this field. */
type At<T, K> = T extends Scalar | readonly unknown[] ? never : K extends keyof T ? T[K] : never;
type Item<T> = T extends readonly (infer I)[] ? I : never;

/** Where `Given` has a field that `Wanted` lacks, at any depth: its name. */
type Unpublished<Wanted, Given> = Given extends Scalar
  ? never
  : Given extends readonly (infer I)[]
    ? Unpublished<Item<Wanted>, I>
    : {
        [K in keyof Given & string]: K extends NameIn<Wanted>
          ? Unpublished<At<Wanted, K>, Given[K]>
          : K;
      }[keyof Given & string];

/**
 * Published values that are single ones, such as `null` and `"tcp"`; not all texts or all numbers.
 */
type Single<T> = T extends string
  ? string extends T
    ? never
    : T
  : T extends number
    ? number extends T
      ? never
      : T
    : T extends null
      ? T
      : never;

/** Where `Given` never is a value that `Wanted` lists, at any depth: that value. */
type Unprinted<Wanted, Given> = [Given] extends [never]
  ? never
  : | Exclude<Single<Wanted>, Given>
    | Unprinted<Item<Wanted>, Item<Given>>
    | {
        [K in NameIn<Wanted> & NameIn<Given> & string]: Unprinted<At<Wanted, K>, At<Given, K>>;
      }[NameIn<Wanted> & NameIn<Given> & string];

type Refusal<Wanted, Given> = [Unpublished<Wanted, Given>] extends [never]
  ? [Unprinted<Wanted, Given>] extends [never]
    ? unknown
    : { readonly "is published, and never printed": Unprinted<Wanted, Given> }
  : { readonly "is printed, and not published": Unpublished<Wanted, Given> };

/**
 * Gives the value back; the compiler refuses one that differs from the published shape, in either
 * direction.
 */
export function published<Wanted>() {
  return <Given extends Wanted>(value: Given & Refusal<Wanted, Given>): Published =>
    value as unknown as Published;
}
