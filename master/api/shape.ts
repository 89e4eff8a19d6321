/**
 * What a value that travels looks like, said once for three readers: the type checker (`Infer`), whoever reads the
 * OpenAPI document (`schema`), and the master itself (`read`), which believes nothing that it is sent.
 *
 * Objects that are sent are read strictly: a field that is not known is a mistake, and is refused by name.
 */

/** A JSON Schema (draft 2020-12). */
export type JsonSchema = { readonly [name: string]: unknown };

/** Why a value is not what it should be: the message names the field. */
export class InputError extends Error {
  /** Tells it from other errors. */
  override readonly name: string = "InputError";
}

/** Each field is as it should be, and together they make no sense: no schema can say that. */
export class ContradictionError extends InputError {
  /** Tells it from other errors. */
  override readonly name: string = "ContradictionError";
}

/** What a value looks like. */
export interface Shape<T> {
  /** For the document. */
  readonly schema: JsonSchema;
  /**
   * The value, if it is one. `name` is what it is called in errors.
   *
   * @throws {InputError} if it is not.
   */
  readonly read: (value: unknown, name: string) => T;
}

/** The type of what a shape reads. */
export type Infer<S> = S extends Shape<infer T> ? T : never;

/** A field that may be absent. */
export interface OptionalShape<T> extends Shape<T> {
  /** Marks it. */
  readonly isOptional: true;
}

type Fields = Readonly<Record<string, Shape<unknown>>>;
type OptionalNames<F> = {
  [K in keyof F]: F[K] extends OptionalShape<unknown> ? K : never;
}[keyof F];
type Simplify<T> = { [K in keyof T]: T[K] };

/** The type of an object of these fields. */
export type ObjectOf<F> = Simplify<
  & { [K in Exclude<keyof F, OptionalNames<F>>]: Infer<F[K]> }
  & { [K in OptionalNames<F>]?: Infer<F[K]> }
>;

/** `name` is "the body" at the root, and "the body: some.field" below it. */
function refuse(name: string, what: string): never {
  const subject = name.includes(": ") ? name : `${name}: it`;
  throw new InputError(`Cannot read ${subject} ${what}`);
}

function below(name: string, field: string): string {
  return name.includes(": ") ? `${name}.${field}` : `${name}: ${field}`;
}

/** A field that may be absent. */
export function optional<T>(shape: Shape<T>): OptionalShape<T> {
  return { ...shape, isOptional: true };
}

/** The same with more said about it. */
export function described<T>(shape: Shape<T>, description: string): Shape<T> {
  return { ...shape, schema: { ...shape.schema, description } };
}

/** An integer. */
export function integer(
  minimum: number,
  maximum: number = Number.MAX_SAFE_INTEGER,
): Shape<number> {
  return {
    schema: { type: "integer", minimum, maximum },
    read: (value, name) => {
      const isInside = typeof value === "number" &&
        Number.isSafeInteger(value) && value >= minimum && value <= maximum;
      if (!isInside) {
        refuse(name, `is not an integer from ${minimum} to ${maximum}`);
      }
      return value;
    },
  };
}

/** `true` or `false`. */
export const boolean: Shape<boolean> = {
  schema: { type: "boolean" },
  read: (value, name) => {
    if (typeof value !== "boolean") refuse(name, "is not true or false");
    return value;
  },
};

/** Which texts are meant. */
export interface TextLimits {
  /** Characters at least. */
  readonly minLength?: number;
  /** Characters at most. */
  readonly maxLength: number;
  /** What it looks like, as a regular expression with the flag `u`. */
  readonly pattern?: string;
  /** The same in words. */
  readonly words: string;
}

/** A text. Its length is counted in characters, not in the halves that JavaScript counts. */
export function text(limits: TextLimits): Shape<string> {
  const { minLength = 0, maxLength, pattern, words } = limits;
  const expression = pattern === undefined
    ? undefined
    : new RegExp(pattern, "u");
  return {
    schema: {
      type: "string",
      minLength,
      maxLength,
      ...(pattern === undefined ? {} : { pattern }),
    },
    read: (value, name) => {
      if (typeof value !== "string" || value.length > 2 * maxLength) {
        refuse(name, `is not ${words}`);
      }
      const length = [...value].length;
      const isRight = length >= minLength && length <= maxLength &&
        value.isWellFormed() && expression?.test(value) !== false;
      if (!isRight) refuse(name, `is not ${words}`);
      return value;
    },
  };
}

/** One of some texts. */
export function oneOf<const T extends string>(
  ...values: readonly T[]
): Shape<T> {
  return {
    schema: { type: "string", enum: values },
    read: (value, name) => {
      const found = values.find((one) => one === value);
      if (found === undefined) refuse(name, `is not one of ${values.join()}`);
      return found;
    },
  };
}

/** `null`, or something. */
export function nullable<T>(shape: Shape<T>): Shape<T | null> {
  return {
    schema: { anyOf: [shape.schema, { type: "null" }] },
    read: (value, name) => value === null ? null : shape.read(value, name),
  };
}

/** A list. */
export function list<T>(
  item: Shape<T>,
  { minItems = 0, maxItems }: { minItems?: number; maxItems?: number } = {},
): Shape<T[]> {
  const most = maxItems ?? Infinity;
  return {
    schema: {
      type: "array",
      items: item.schema,
      ...(minItems === 0 ? {} : { minItems }),
      ...(maxItems === undefined ? {} : { maxItems }),
    },
    read: (value, name) => {
      if (!Array.isArray(value)) refuse(name, "is not an array");
      if (value.length < minItems || value.length > most) {
        refuse(name, `has not ${minItems} to ${most} items`);
      }
      return value.map((one, i) => item.read(one, `${name}[${i}]`));
    },
  };
}

/** A map from texts of some pattern to values. */
export function mapOf<T>(
  pattern: string,
  item: Shape<T>,
): Shape<Record<string, T>> {
  const expression = new RegExp(pattern, "u");
  return {
    schema: {
      type: "object",
      patternProperties: { [pattern]: item.schema },
      additionalProperties: false,
    },
    read: (value, name) => {
      const fields = fieldsOf(value, name);
      const result: Record<string, T> = {};
      for (const key of Object.keys(fields)) {
        if (!expression.test(key)) refuse(name, `has no field "${key}"`);
        result[key] = item.read(fields[key], below(name, key));
      }
      return result;
    },
  };
}

/** An object with these fields, and no others. */
export function object<const F extends Fields>(
  fields: F,
  more: JsonSchema = {},
): Shape<ObjectOf<F>> {
  const names = Object.keys(fields);
  const required = names.filter((name) => !("isOptional" in fields[name]!));
  return {
    schema: {
      type: "object",
      properties: Object.fromEntries(
        names.map((name) => [name, fields[name]!.schema]),
      ),
      ...(required.length === 0 ? {} : { required }),
      additionalProperties: false,
      ...more,
    },
    read: (value, name) => {
      const given = fieldsOf(value, name);
      for (const field of Object.keys(given)) {
        if (!Object.hasOwn(fields, field)) {
          refuse(name, `has no field "${field}"`);
        }
      }
      const result: Record<string, unknown> = {};
      for (const field of names) {
        const shape = fields[field]!;
        const one = Object.hasOwn(given, field) ? given[field] : undefined;
        if (one === undefined && "isOptional" in shape) continue;
        result[field] = shape.read(one, below(name, field));
      }
      return result as ObjectOf<F>;
    },
  };
}

/** Something that is only written: what it looks like is for the document. */
export function written<T>(schema: JsonSchema): Shape<T> {
  return { schema, read: (value) => value as T };
}

/** A value in a path, a query or a header, where everything is text. */
export function fromText<T>(shape: Shape<T>): Shape<T> {
  const { type } = shape.schema;
  return {
    schema: shape.schema,
    read: (value, name) => {
      if (typeof value !== "string") refuse(name, "is missing");
      if (type === "integer") {
        const isPlain = /^(?:0|-?[1-9][0-9]{0,15})$/.test(value);
        return shape.read(isPlain ? Number(value) : value, name);
      }
      if (type === "boolean") {
        const isPlain = value === "true" || value === "false";
        return shape.read(isPlain ? value === "true" : value, name);
      }
      return shape.read(value, name);
    },
  };
}

function fieldsOf(value: unknown, name: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    refuse(name, "is not an object");
  }
  return value as Record<string, unknown>;
}
