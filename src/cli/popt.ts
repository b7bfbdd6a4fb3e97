// SPDX-License-Identifier: Apache-2.0
// The option syntax of the popt library, which ipvsadm's users know: nothing here knows what the options mean.

export interface OptionSyntax {
  /** One letter. */
  readonly short?: string;
  readonly long: string;
  /** Whether a value belongs to it; an optional one is the next word unless that begins with "-". */
  readonly value?: 'required' | 'optional';
}

/** One option met on the command line, or the one that ends the reading. `word` is the whole word it stood in. */
export type Scanned<T> =
  | { readonly word: string; readonly option: T; readonly value: string | undefined }
  | { readonly word: string; readonly problem: string };

/**
 * Reads options from left to right: `--long value`, `--long=value`, `-x value`, `-xvalue`, `-x=value`, and several short
 * options in one word. Long names cannot be shortened; `--` ends the options.
 * @param rest takes the words that belong to no option.
 */
export function* scanOptions<T extends OptionSyntax>(
  words: readonly string[],
  options: readonly T[],
  rest: string[],
): Generator<Scanned<T>, undefined> {
  for (let i = 0; i < words.length; i++) {
    const word = words[i] ?? '';
    if (word === '--') {
      rest.push(...words.slice(i + 1));
      return;
    }
    if (!word.startsWith('-') || word === '-') {
      rest.push(word);
      continue;
    }
    for (const { option, attached } of parts(word, options)) {
      if (!option) {
        yield { word, problem: 'unknown option' };
        return;
      }
      let value = attached;
      if (!option.value && value !== undefined) {
        yield { word, problem: 'option does not take an argument' };
        return;
      }
      if (option.value && value === undefined) {
        const next = words[i + 1];
        if (option.value === 'required' || !next?.startsWith('-')) {
          value = next;
          i++;
        }
        if (option.value === 'required' && value === undefined) {
          yield { word, problem: 'missing argument' };
          return;
        }
      }
      yield { word, option, value };
    }
  }
}

interface Part<T> {
  readonly option: T | undefined;
  /** The value written in the same word. */
  readonly attached: string | undefined;
}

function* parts<T extends OptionSyntax>(word: string, options: readonly T[]): Generator<Part<T>, void> {
  if (word.startsWith('--')) {
    const [name, ...value] = word.slice(2).split('=');
    const attached = value.length > 0 ? value.join('=') : undefined;
    yield { option: options.find((each) => each.long === name), attached };
    return;
  }
  for (let i = 1; i < word.length; i++) {
    const option = options.find((each) => each.short === word[i]);
    const tail = word.slice(i + 1);
    if (option?.value && tail !== '') {
      yield { option, attached: tail.startsWith('=') ? tail.slice(1) : tail };
      return;
    }
    yield { option, attached: undefined };
  }
}
