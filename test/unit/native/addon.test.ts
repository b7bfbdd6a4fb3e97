// SPDX-License-Identifier: Apache-2.0
// What a person is told when the addon does not load.
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const source = fileURLToPath(new URL('../../../src', import.meta.url));

/** A copy of the façade, with this in place of the addon. */
function copyWithAddon(content: string | undefined): string {
  const root = mkdtempSync(join(tmpdir(), 'bpvs-addon-'));
  after(() => rmSync(root, { recursive: true }));
  writeFileSync(join(root, 'package.json'), '{ "type": "module" }');
  mkdirSync(join(root, 'src'));
  cpSync(join(source, 'errors.ts'), join(root, 'src/errors.ts'));
  cpSync(join(source, 'native'), join(root, 'src/native'), { recursive: true });
  if (content !== undefined) {
    mkdirSync(join(root, 'build/Release'), { recursive: true });
    writeFileSync(join(root, 'build/Release/bpvs.node'), content);
  }
  return join(root, 'src/native/addon.ts');
}

test('an addon that is not built is told with the command that builds it', async () => {
  await assert.rejects(import(copyWithAddon(undefined)), {
    name: 'EnvironmentError',
    code: 'BPVS_ENVIRONMENT',
    message: /is not built: run npm run build:native$/,
  });
});

test('an addon that does not load is told with the reason and the remedy', async () => {
  await assert.rejects(import(copyWithAddon('no shared object')), {
    name: 'EnvironmentError',
    message: /does not load; npm run build:native -- --force builds it anew \(.*file too short.*\)$/,
  });
});
