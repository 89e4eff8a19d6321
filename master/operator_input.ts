/** Reads what operators send. Unlike a report's, fields that are not known are refused: a wrong name is a mistake. */
import { clusterConfigFields } from "./cluster_config.ts";
import type { ClusterWish } from "./operator.ts";
import type { RegionWish } from "./schema.ts";

type Fields = Record<string, unknown>;

/** Why a body is not what it should be: the message names the field. */
export class InputError extends Error {
  /** Tells it from other errors. */
  override readonly name = "InputError";
}

const sizeMax = 9;
const regionsMax = 16;
const condemnedMax = 16;

function refuse(name: string, what: string): never {
  throw new InputError(`Cannot read the body: ${name} ${what}`);
}

/** The body as an object with no other fields than these. */
export function readFields(
  value: unknown,
  known: readonly string[],
  name = "it",
): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    refuse(name, "is not an object");
  }
  for (const field of Object.keys(value)) {
    if (!known.includes(field)) refuse(name, `has no field "${field}"`);
  }
  return value as Fields;
}

/** An integer. */
export function readInteger(
  name: string,
  value: unknown,
  min: number,
  max: number = Number.MAX_SAFE_INTEGER,
): number {
  const isInside = typeof value === "number" && Number.isSafeInteger(value) &&
    value >= min && value <= max;
  if (!isInside) refuse(name, `is not an integer from ${min} to ${max}`);
  return value;
}

function readText(name: string, value: unknown): string {
  if (
    typeof value !== "string" || value.length === 0 || value.length > 255 ||
    /\p{C}/u.test(value)
  ) refuse(name, "is not a text of 1 to 255 characters");
  return value;
}

function readRegions(value: unknown, size: number): RegionWish[] {
  if (!Array.isArray(value) || value.length > regionsMax) {
    refuse("regions", `is not an array of at most ${regionsMax}`);
  }
  const wishes = value.map((item, i) => {
    const name = `regions[${i}]`;
    const fields = readFields(item, ["region", "count", "isRequired"], name);
    const wish: RegionWish = {
      region: readText(`${name}.region`, fields.region),
      count: readInteger(`${name}.count`, fields.count, 1, sizeMax),
    };
    if (fields.isRequired !== undefined) {
      if (typeof fields.isRequired !== "boolean") {
        refuse(`${name}.isRequired`, "is not true or false");
      }
      wish.isRequired = fields.isRequired;
    }
    return wish;
  });
  if (new Set(wishes.map(({ region }) => region)).size < wishes.length) {
    refuse("regions", "names a region twice");
  }
  const total = wishes.reduce((sum, { count }) => sum + count, 0);
  if (total > size) refuse("regions", `wants ${total} voters of ${size}`);
  return wishes;
}

function readConfig(value: unknown): Record<string, number> {
  const fields = readFields(value, [...clusterConfigFields], "config");
  const config: Record<string, number> = {};
  for (const [name, one] of Object.entries(fields)) {
    config[name] = readInteger(`config.${name}`, one, 0);
  }
  return config;
}

/** What a cluster should be. */
export function readWish(fields: Fields): ClusterWish {
  const size = readInteger("size", fields.size ?? 3, 1, sizeMax);
  return { size, ...readAdoption(fields, size) };
}

/** What an adopted cluster should be: its size is what it has. */
export function readAdoption(
  fields: Fields,
  size: number = sizeMax,
): Omit<ClusterWish, "size"> {
  const { regions, config } = fields;
  return {
    app: readText("app", fields.app),
    ...(regions === undefined ? {} : { regions: readRegions(regions, size) }),
    ...(config === undefined ? {} : { config: readConfig(config) }),
  };
}

/** What a cluster should be from now on. */
export function readChange(
  fields: Fields,
): Partial<Omit<ClusterWish, "app">> {
  const { size, regions, config } = fields;
  const change = {
    ...(size === undefined
      ? {}
      : { size: readInteger("size", size, 1, sizeMax) }),
    ...(regions === undefined
      ? {}
      : { regions: readRegions(regions, Number(size ?? sizeMax)) }),
    ...(config === undefined ? {} : { config: readConfig(config) }),
  };
  if (Object.keys(change).length === 0) refuse("it", "changes nothing");
  return change;
}

/** Node ids. */
export function readCondemned(value: unknown): number[] {
  if (
    !Array.isArray(value) || value.length === 0 || value.length > condemnedMax
  ) refuse("condemned", `is not an array of 1 to ${condemnedMax} node ids`);
  return value.map((id, i) => readInteger(`condemned[${i}]`, id, 1));
}

/** A destructive command says once more what it is about (M19). */
export function requireConfirmed(fields: Fields, name: string): void {
  if (fields.confirm !== name) {
    refuse("confirm", `must repeat "${name}": this cannot be undone`);
  }
}
