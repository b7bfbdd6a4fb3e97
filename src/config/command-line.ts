// SPDX-License-Identifier: Apache-2.0
// kube-proxy's command line, as Go's pflag reads it: --name=value, --name value, -v2, underscores for dashes.
import { InputError } from '../errors.ts';
import { parseSloppyAddress, splitHostPort } from './addresses.ts';
import { parseValue } from './field-values.ts';
import type { Kind, KindValues } from './fields.ts';
import { type Flag, type FlagName, flagNames, flagOf, type flags } from './flags.ts';

/** Those flags that were given. */
export type FlagValues = { readonly [N in FlagName]?: KindValues[(typeof flags)[N]['kind']] };

export interface CommandLine {
  readonly values: FlagValues;
  /** In their order, what is none of kube-proxy's flags, nor the value of one. */
  readonly rest: readonly string[];
}

interface Word {
  readonly name: FlagName;
  /** Undefined: it is the next word, or a boolean flag has none. */
  readonly text: string | undefined;
}

/** Throws InputError for a flag without its value, and for a value of another kind. */
export function parseCommandLine(words: readonly string[]): CommandLine {
  const values: Partial<Record<FlagName, KindValues[Kind]>> = {};
  const rest: string[] = [];
  for (let i = 0; i < words.length; i++) {
    const word = words[i] ?? '';
    if (word === '--') {
      rest.push(...words.slice(i));
      break;
    }
    const flag = splitWord(word);
    if (!flag) {
      rest.push(word);
      continue;
    }
    const { kind, form } = flagOf(flag.name);
    let text = flag.text ?? (kind === 'flag' ? 'true' : undefined);
    if (text === undefined) {
      text = words[++i];
      if (text === undefined) throw new InputError(`Expected a value for ${word} but received none`);
    }
    if (form !== undefined && text === '') continue; // as kube-proxy: it leaves the default
    checkForm(form, text, flag.name);
    values[flag.name] = joined(values[flag.name], parseValue(kind, text, `--${flag.name}`));
  }
  return { values: values as FlagValues, rest };
}

function splitWord(word: string): Word | undefined {
  const long = /^--([^=]+)(?:=(.*))?$/s.exec(word);
  if (long) {
    const name = flagNames.find((each) => each === long[1]?.replaceAll('_', '-'));
    return name && { name, text: long[2] };
  }
  const short = /^-(\w)(?:=?(.+))?$/s.exec(word);
  const name = short && flagNames.find((each) => flagOf(each).shorthand === short[1]);
  return name ? { name, text: short[2] } : undefined;
}

/** A list that is given again goes on, any other value counts the last time. */
function joined(before: KindValues[Kind] | undefined, value: KindValues[Kind]): KindValues[Kind] {
  if (Array.isArray(before) && Array.isArray(value)) return [...before, ...value];
  const areMaps = typeof before === 'object' && typeof value === 'object';
  return areMaps ? ({ ...before, ...value } as Readonly<Record<string, boolean>>) : value;
}

function checkForm(form: Flag['form'], text: string, name: FlagName): void {
  if (form === undefined || parseSloppyAddress(text) !== undefined) return;
  const parts = splitHostPort(text);
  const isPort = parts !== undefined && /^\d+$/.test(parts.port) && Number(parts.port) <= 65535;
  if (form === 'address-port' && isPort && parseSloppyAddress(parts.host) !== undefined) return;
  const expected = form === 'address' ? 'an IP address' : 'an IP address, or one with a port,';
  throw new InputError(`Expected ${expected} for --${name} but received "${text}"`);
}
