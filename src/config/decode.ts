// SPDX-License-Identifier: Apache-2.0
// A configuration file's text to the fields that it sets: strictly, and where only that fails, leniently.
import { boolYaml11Tag, CORE_SCHEMA, loadAll, mergeTag, YAMLException } from 'js-yaml';
import { InputError } from '../errors.ts';
import { isRecord, readValue } from './field-values.ts';
import { apiVersion, type FieldPath, fieldPaths, kind, type SetFields } from './fields.ts';

export interface DecodedFile {
  /** Those with a value, zeros and empty ones included; null counts as absent. */
  readonly set: SetFields;
  /** What a strict reader does not allow: keys that there are not, and keys that come twice. The last one counts. */
  readonly strictProblems: readonly string[];
}

type Section = Readonly<Record<string, unknown>>;

// kube-proxy's parser takes yes, no, on and off for booleans; times are texts.
const schema = CORE_SCHEMA.withTags(mergeTag, boolYaml11Tag);

const paths: ReadonlySet<string> = new Set(fieldPaths);

/** "ipvs", "logging", "logging.options", ...: what has fields below it. */
const sections: ReadonlySet<string> = new Set(
  fieldPaths.flatMap((path) => {
    const words = path.split('.');
    return words.slice(1).map((_, i) => words.slice(0, i + 1).join('.'));
  }),
);

/**
 * `name` names the file in errors. Throws InputError for text that is neither YAML nor JSON, for another kind or version, and for a
 * value of another kind than its field's: kube-proxy ends on all of them.
 */
export function decodeConfiguration(text: string, name: string): DecodedFile {
  const { document, problems } = parse(text, name);
  const words = isRecord(document) ? document : {};
  require(name, 'kind', kind, words.kind);
  require(name, 'apiVersion', apiVersion, words.apiVersion);
  const values: Partial<Record<FieldPath, unknown>> = {};
  const unknown: string[] = [];
  const walk = (section: Section, prefix: string): void => {
    for (const [key, value] of Object.entries(section)) {
      const path = prefix + key;
      if (paths.has(path)) {
        const field = path as FieldPath;
        const read = value === null ? undefined : readValue(field, value, name);
        if (read !== undefined) values[field] = read;
      } else if (!sections.has(path)) unknown.push(`unknown field "${path}"`);
      else if (isRecord(value)) walk(value, `${path}.`);
      else if (value !== null)
        throw new InputError(`Expected fields for ${path} in ${name} but received ${JSON.stringify(value)}`);
    }
  };
  const { kind: _kind, apiVersion: _apiVersion, ...rest } = words;
  walk(rest, '');
  return { set: values as SetFields, strictProblems: [...problems, ...unknown] };
}

function parse(text: string, name: string): { document: unknown; problems: readonly string[] } {
  const documents = (isLenient: boolean) => loadAll(text, { schema, json: isLenient });
  try {
    return { document: documents(false)[0], problems: [] };
  } catch (strict) {
    try {
      return { document: documents(true)[0], problems: [firstLine(strict)] };
    } catch (error) {
      throw new InputError(
        `Expected YAML or JSON in ${name} but received something else: ${firstLine(error)}`,
        {
          cause: error,
        },
      );
    }
  }
}

function firstLine(error: unknown): string {
  if (!(error instanceof YAMLException)) throw error;
  return error.message.split('\n')[0] ?? '';
}

function require(name: string, key: string, expected: string, received: unknown): void {
  if (received === expected) return;
  throw new InputError(
    `Expected ${key} ${expected} in ${name} but received ${received === undefined ? 'none' : JSON.stringify(received)}`,
  );
}
