// SPDX-License-Identifier: Apache-2.0
// Reading the fields of one untrusted object: each either has the expected shape or leaves a problem with its path.
import { type Address, parseAddress } from '../model/address.ts';

/** "web", "10-a"; RFC 1123 label. */
export const dnsLabel = /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/;
/** Labels joined by dots, at most 253 characters. */
export const dnsSubdomain =
  /^(?=.{1,253}$)[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*$/;

export interface FieldProblem {
  /** "spec.ports[1].port" */
  readonly path: string;
  readonly reason: string;
}

export type Fields = Readonly<Record<string, unknown>>;

/**
 * Collects all problems of one object, so that its author sees them at once. The readers answer `undefined` for what is
 * absent (null counts as absent, as in the API) and for what is refused.
 */
export class FieldReader {
  readonly problems: FieldProblem[] = [];

  refuse(path: string, reason: string): undefined {
    this.problems.push({ path, reason });
  }

  /** Refuses what is absent or empty; every reader below lets it pass. */
  require(value: unknown, path: string): void {
    const isEmpty = value === '' || (Array.isArray(value) && value.length === 0);
    if (value === undefined || value === null || isEmpty) this.refuse(path, 'is missing');
  }

  fields(value: unknown, path: string): Fields {
    if (value === undefined || value === null) return {};
    if (isFields(value)) return value;
    this.#unexpected(path, 'an object', value);
    return {};
  }

  list(value: unknown, path: string): readonly unknown[] {
    if (value === undefined || value === null) return [];
    if (Array.isArray(value)) return value;
    this.#unexpected(path, 'a list', value);
    return [];
  }

  text(value: unknown, path: string): string | undefined {
    if (value === undefined || value === null) return undefined;
    return typeof value === 'string' ? value : this.#unexpected(path, 'a text', value);
  }

  /** A text that `pattern` accepts, or an empty one; `what` names it in the problem. */
  name(value: unknown, path: string, pattern: RegExp, what: string): string | undefined {
    const text = this.text(value, path);
    if (text === undefined || text === '' || pattern.test(text)) return text;
    return this.#unexpected(path, what, value);
  }

  flag(value: unknown, path: string): boolean | undefined {
    if (value === undefined || value === null) return undefined;
    return typeof value === 'boolean' ? value : this.#unexpected(path, 'true or false', value);
  }

  integer(value: unknown, path: string, min: number, max: number): number | undefined {
    if (value === undefined || value === null) return undefined;
    const fits = typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max;
    return fits ? value : this.#unexpected(path, `a whole number in ${min}..${max}`, value);
  }

  choice<const T extends string>(value: unknown, path: string, choices: readonly T[]): T | undefined {
    if (value === undefined || value === null || value === '') return undefined;
    const choice = choices.find((each) => each === value);
    return choice ?? this.#unexpected(path, choices.join(', ').replace(/, ([^,]*)$/, ' or $1'), value);
  }

  /** IPv4-mapped IPv6 addresses are refused, as the API does. */
  address(value: unknown, path: string): Address | undefined {
    const text = this.text(value, path);
    if (text === undefined) return undefined;
    const address = parseAddress(text);
    if (address === undefined || address.startsWith('::ffff:'))
      return this.#unexpected(path, 'an IP address', value);
    return address;
  }

  labels(value: unknown, path: string): Readonly<Record<string, string>> {
    const labels: Record<string, string> = {};
    for (const [key, label] of Object.entries(this.fields(value, path))) {
      labels[key] = this.text(label, `${path}.${key}`) ?? '';
    }
    return labels;
  }

  #unexpected(path: string, expected: string, received: unknown): undefined {
    this.refuse(path, `expected ${expected} but received ${shorten(JSON.stringify(received))}`);
  }
}

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function shorten(text: string): string {
  return text.length <= 60 ? text : `${text.slice(0, 57)}...`;
}
