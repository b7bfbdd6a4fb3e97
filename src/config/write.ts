// SPDX-License-Identifier: Apache-2.0
// A whole configuration as kube-proxy prints it: YAML with sorted keys for --write-config-to, an object for /configz.
import {
  apiVersion,
  type FieldPath,
  fieldOf,
  fieldPaths,
  type Kind,
  type KindValues,
  type KubeProxyConfiguration,
  kind,
} from './fields.ts';
import { formatDuration } from './go-duration.ts';
import { isSet } from './kube-proxy-configuration.ts';

/** What JSON can hold, its maps with sorted keys. */
export type Printed =
  | string
  | number
  | boolean
  | null
  | readonly Printed[]
  | { readonly [key: string]: Printed };

/** Nested as in a file, with apiVersion and kind; empty fields are there but for those that Go leaves out. */
export function printConfiguration(config: KubeProxyConfiguration): { readonly [key: string]: Printed } {
  const root: Record<string, Printed> = { apiVersion, kind };
  for (const path of fieldPaths) {
    const value = config[path];
    if (fieldOf(path).isOmittedEmpty && !isSet(path, value)) continue;
    const words = path.split('.');
    const last = words.pop() ?? '';
    let section = root;
    for (const word of words) {
      section[word] ??= {};
      section = section[word] as Record<string, Printed>;
    }
    section[last] = printValue(path, value);
  }
  return sorted(root);
}

export function printValue(path: FieldPath, value: KindValues[Kind]): Printed {
  const isDuration = fieldOf(path).kind === 'duration';
  return isDuration ? formatDuration(value as number) : (value as Printed);
}

function sorted(map: { readonly [key: string]: Printed }): { readonly [key: string]: Printed } {
  const entries = Object.entries(map).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(
    entries.map(([key, value]) => [key, isMap(value) ? sorted(value) : value] as const),
  );
}

function isMap(value: Printed): value is { readonly [key: string]: Printed } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The text that kube-proxy --write-config-to writes, byte for byte. */
export function writeYaml(config: KubeProxyConfiguration): string {
  return mapLines(printConfiguration(config), '').join('');
}

function mapLines(map: { readonly [key: string]: Printed }, indent: string): readonly string[] {
  return Object.entries(map).flatMap(([key, value]) => entryLines(`${indent}${scalar(key)}:`, value, indent));
}

function entryLines(start: string, value: Printed, indent: string): readonly string[] {
  if (isMap(value)) {
    if (Object.keys(value).length === 0) return [`${start} {}\n`];
    return [`${start}\n`, ...mapLines(value, `${indent}  `)];
  }
  if (!Array.isArray(value)) return [`${start} ${scalar(value as string | number | boolean | null)}\n`];
  if (value.length === 0) return [`${start} []\n`];
  return [`${start}\n`, ...value.flatMap((item: Printed) => itemLines(item, indent))];
}

function itemLines(item: Printed, indent: string): readonly string[] {
  if (!isMap(item)) return [`${indent}- ${scalar(item as string)}\n`];
  const [first = '', ...rest] = mapLines(item, `${indent}  `);
  return [`${indent}- ${first.trimStart()}`, ...rest];
}

function scalar(value: string | number | boolean | null): string {
  if (typeof value !== 'string') return String(value);
  if (readsAsOther.test(value)) return JSON.stringify(value);
  if (isPlain(value)) return value;
  return /[^\x20-\x7e\u{a0}-\u{d7ff}]/u.test(value)
    ? JSON.stringify(value)
    : `'${value.replaceAll("'", "''")}'`;
}

/** What a YAML 1.1 reader takes for something else than a text. */
const readsAsOther =
  /^(?:|~|null|Null|NULL|y|Y|yes|Yes|YES|on|On|ON|n|N|no|No|NO|off|Off|OFF|true|True|TRUE|false|False|FALSE|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)|[-+]?(?:0[bB][01_]+|0[oO]?[0-7_]+|0[xX][\da-fA-F_]+|[\d_]+)|[-+]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|\d{4}-\d\d?-\d\d?(?:[Tt ].*)?|[-+]?\d+(?::[0-5]?\d)+(?:\.\d*)?|<<|=)$/;

function isPlain(text: string): boolean {
  return !/^[-?:](?:\s|$)|^[,[\]{}#&*!|>'"%@`]|^---|^\s|\s$|: |:$| #|[^\x20-\x7e\u{a0}-\u{d7ff}]/u.test(text);
}
