// SPDX-License-Identifier: Apache-2.0
// What kube-proxy made of command lines and files (test/oracle/configuration, by scripts/record-configuration.ts), and what we make.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parseCommandLine } from '../../../src/config/command-line.ts';
import { loadConfiguration } from '../../../src/config/load.ts';
import { validateConfiguration } from '../../../src/config/validate.ts';
import { writeYaml } from '../../../src/config/write.ts';
import { InputError } from '../../../src/errors.ts';

interface RecordedCase {
  readonly words: readonly string[];
  readonly file?: string;
  readonly written?: string;
  readonly error?: string;
  readonly warning?: string;
}

const path = new URL('../../oracle/configuration/recorded.json', import.meta.url);
const { cases }: { cases: readonly RecordedCase[] } = JSON.parse(readFileSync(path, 'utf8'));

const heading = 'apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n';

/** Where we take what kube-proxy refuses, and why. */
const deviations: ReadonlyMap<string, string> = new Map([
  ['unrecognized feature gate', 'a gate of another version must not end the start'],
]);

function load({ words, file }: RecordedCase) {
  const config = file === undefined ? [] : ['--config=config.conf'];
  const { values, rest } = parseCommandLine([...config, ...words, '--write-config-to=out']);
  if (rest.length > 0) throw new InputError(`unknown: ${rest}`);
  return loadConfiguration(values, () => file ?? '');
}

/** The problems of "failed validate: [a, b]" and "initialize logging: a". */
function problemsOf(error: string): string | undefined {
  const match = /^(?:failed validate|initialize logging): (?:\[(.*)\]|(.*))$/.exec(error);
  return match?.[1] ?? match?.[2];
}

test('there are recordings to compare with', () => assert.ok(cases.length > 100));

cases.forEach((recorded, i) => {
  const { written, error, warning } = recorded;
  const name = `${i}: ${recorded.words.join(' ')} ${JSON.stringify(recorded.file?.replace(heading, '').slice(0, 90) ?? '')}`;
  const deviation = [...deviations].find(([part]) => error?.includes(part));
  if (written !== undefined || deviation) {
    test(`is written as kube-proxy writes it, ${name}`, () => {
      const loaded = load(recorded);
      assert.deepEqual(validateConfiguration(loaded.config), []);
      if (written !== undefined) assert.equal(writeYaml(loaded.config), written);
    });
  }
  const problems = deviation ? undefined : problemsOf(error ?? '');
  if (problems !== undefined) {
    test(`is refused in kube-proxy's words, ${name}`, () => {
      assert.equal(validateConfiguration(load(recorded).config).join(', '), problems);
    });
  } else if (written === undefined && !deviation) {
    test(`cannot be read, nor by kube-proxy, ${name}`, () => {
      assert.ok(error);
      assert.throws(() => load(recorded), InputError);
    });
  }
  test(`is strictly right or wrong as for kube-proxy, ${name}`, () => {
    if (written === undefined) return;
    assert.equal(load(recorded).strictProblems.length > 0, warning !== undefined);
  });
});
