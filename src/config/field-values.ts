// SPDX-License-Identifier: Apache-2.0
// The value of one field, from a file where it has a type, or from the command line where it is text.
import { InputError } from '../errors.ts';
import { type FieldPath, fieldOf, type Kind, type KindValues, type VerbosityOfFile } from './fields.ts';
import { parseDuration } from './go-duration.ts';

type Readers = { readonly [K in Kind]: (value: unknown) => KindValues[K] | undefined };
type Parsers = { readonly [K in Kind]: (text: string) => KindValues[K] | undefined };

const expectations: Readonly<Record<Kind, string>> = {
  text: 'a text',
  flag: 'true or false',
  int32: 'a whole number of 32 bits',
  uint32: 'a whole number from 0 to 4294967295',
  float: 'a number',
  duration: 'a duration like 30s or 1h30m',
  period: 'a duration like 30s, or nanoseconds',
  quantity: 'a number of bytes like 512 or 4Ki',
  texts: 'a list of texts',
  gates: 'names with true or false',
  verbosities: 'file patterns with a whole number each',
};

const isNumberIn = (value: unknown, low: number, high: number): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value >= low && value <= high;
const int32 = (value: unknown) => (isNumberIn(value, -(2 ** 31), 2 ** 31 - 1) ? value : undefined);
const uint32 = (value: unknown) => (isNumberIn(value, 0, 2 ** 32 - 1) ? value : undefined);
const quantityPattern = /^[-+]?(?:\d+\.?\d*|\.\d+)(?:[numkMGTPE]|[KMGTPE]i|[eE][-+]?\d+)?$/;

const readers: Readers = {
  text: (value) => (typeof value === 'string' ? value : undefined),
  flag: (value) => (typeof value === 'boolean' ? value : undefined),
  int32,
  uint32,
  float: (value) => (typeof value === 'number' && Number.isFinite(value) ? value : undefined),
  duration: (value) => (typeof value === 'string' ? parseDuration(value) : undefined),
  period: (value) => {
    if (typeof value === 'string') return parseDuration(value) === undefined ? undefined : value;
    return typeof value === 'number' && Number.isInteger(value) ? value : undefined;
  },
  quantity: (value) => {
    const text = typeof value === 'number' ? String(value) : value;
    return typeof text === 'string' && quantityPattern.test(text) ? text : undefined;
  },
  texts: (value) =>
    Array.isArray(value) && value.every((each) => typeof each === 'string') ? value : undefined,
  gates: (value) =>
    isRecord(value) && Object.values(value).every((each) => typeof each === 'boolean')
      ? (value as Readonly<Record<string, boolean>>)
      : undefined,
  verbosities: (value) =>
    Array.isArray(value) && value.every(isVerbosityOfFile) ? value.map(verbosityOfFile) : undefined,
};

const parsers: Parsers = {
  text: (text) => text,
  flag: parseBoolean,
  int32: (text) => int32(parseInteger(text)),
  uint32: (text) => uint32(parseInteger(text)),
  float: (text) => (/^[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?$/.test(text) ? Number(text) : undefined),
  duration: parseDuration,
  period: (text) => (parseDuration(text) === undefined ? undefined : text),
  quantity: (text) => (quantityPattern.test(text) ? text : undefined),
  texts: (text) => (text === '' ? [] : text.split(',')),
  gates: (text) => {
    const pairs = list(text).map((pair) => pair.split('=').map((word) => word.trim()));
    const gates = pairs.map(([name = '', word = '']) => [name, parseBoolean(word)] as const);
    return gates.some(([, isOn]) => isOn === undefined) ? undefined : Object.fromEntries(gates as never);
  },
  verbosities: (text) => {
    const pairs = list(text).map((pair) => pair.split('='));
    const items = pairs.map(([filePattern = '', level = '']) => ({
      filePattern,
      verbosity: uint32(parseInteger(level)),
    }));
    const isWhole = pairs.every((pair) => pair.length === 2) && items.every(isVerbosityOfFile);
    return isWhole ? (items as readonly VerbosityOfFile[]) : undefined;
  },
};

/** From a file; throws InputError for a value of another kind than the field's. */
export function readValue(path: FieldPath, value: unknown, name: string): KindValues[Kind] {
  const { kind } = fieldOf(path);
  const read = readers[kind](value);
  if (read !== undefined && read !== null) return read;
  throw new InputError(
    `Expected ${expectations[kind]} for ${path} in ${name} but received ${JSON.stringify(value)}`,
  );
}

/** From the command line; throws InputError, which calls it `flag`. */
export function parseValue<K extends Kind>(kind: K, text: string, flag: string): KindValues[K] {
  const parse: (text: string) => KindValues[K] | undefined = parsers[kind];
  const value = parse(text);
  if (value !== undefined) return value;
  throw new InputError(`Expected ${expectations[kind]} for ${flag} but received "${text}"`);
}

/** As Go's strconv.ParseBool. */
function parseBoolean(text: string): boolean | undefined {
  if (['1', 't', 'T', 'true', 'TRUE', 'True'].includes(text)) return true;
  if (['0', 'f', 'F', 'false', 'FALSE', 'False'].includes(text)) return false;
  return undefined;
}

/** Decimal, hexadecimal, octal and binary, as Go's strconv.ParseInt with base 0. */
function parseInteger(text: string): number | undefined {
  const match = /^([-+]?)(\d+|0[xX][\da-fA-F]+|0[oO][0-7]+|0[bB][01]+)$/.exec(text);
  if (!match) return undefined;
  const [, sign, digits = ''] = match;
  const size = Number(/^0[0-7]+$/.test(digits) ? `0o${digits}` : digits);
  return sign === '-' ? -size : size;
}

function list(text: string): readonly string[] {
  return text.split(',').filter((each) => each !== '');
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isVerbosityOfFile(value: unknown): value is VerbosityOfFile {
  return (
    isRecord(value) && typeof value.filePattern === 'string' && uint32(value.verbosity ?? 0) !== undefined
  );
}

function verbosityOfFile({ filePattern, verbosity }: VerbosityOfFile): VerbosityOfFile {
  return { filePattern, verbosity: verbosity ?? 0 };
}
