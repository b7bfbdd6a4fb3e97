// SPDX-License-Identifier: Apache-2.0
// Single looks at a folder, with a clock of the test's own.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ManifestStore } from '../../../src/kube/manifest-store.ts';
import { serviceManifest } from '../../lib/manifests/objects.ts';

test('a file that was written to a moment ago waits for the next look, but not at the first one', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'bpvs-store-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const writtenMs = Date.UTC(2026, 0, 2);
  let nowMs = writtenMs;
  const write = (name: string) => {
    const path = join(folder, `${name}.json`);
    writeFileSync(path, JSON.stringify(serviceManifest({}, { metadata: { name } })));
    utimesSync(path, writtenMs / 1000, writtenMs / 1000);
  };
  const store = new ManifestStore(folder, () => nowMs);
  const look = async () => {
    const { objects, hasChanged, isUnsettled } = await store.scan();
    return { names: objects.services.map((each) => each.name), hasChanged, isUnsettled };
  };

  write('one');
  assert.deepEqual(await look(), { names: ['one'], hasChanged: true, isUnsettled: false });
  write('two');
  nowMs += 49;
  assert.deepEqual(await look(), { names: ['one'], hasChanged: false, isUnsettled: true });
  nowMs += 1;
  assert.deepEqual(await look(), { names: ['one', 'two'], hasChanged: true, isUnsettled: false });
  assert.deepEqual(await look(), { names: ['one', 'two'], hasChanged: false, isUnsettled: false });
});

test('a file of a clock that runs ahead is not waited for', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'bpvs-store-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const store = new ManifestStore(folder, () => Date.UTC(2020, 0));
  await store.scan();
  writeFileSync(join(folder, 'web.json'), JSON.stringify(serviceManifest()));
  const { hasChanged, isUnsettled } = await store.scan();
  assert.deepEqual([hasChanged, isUnsettled], [true, false]);
});

test('a file that cannot be looked at keeps its objects, and says so once; only one that is gone loses them', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'bpvs-store-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'web.json');
  const store = new ManifestStore(folder, () => Date.UTC(2020, 0));
  const look = async () => {
    const { objects, problems } = await store.scan();
    return [objects.services.length, ...problems];
  };
  writeFileSync(path, JSON.stringify(serviceManifest()));
  assert.deepEqual(await look(), [1]);
  rmSync(path);
  symlinkSync('web.json', path);
  assert.deepEqual(await look(), [1, `web.json: ELOOP: too many symbolic links encountered, stat '${path}'`]);
  assert.deepEqual(await look(), [1]);
  rmSync(path);
  assert.deepEqual(await look(), [0]);
});

test('a folder that is called like a manifest is a problem, but nothing is missing for it', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'bpvs-store-'));
  t.after(() => rmSync(folder, { recursive: true }));
  mkdirSync(join(folder, 'web.yaml'));
  const { problems, unread } = await new ManifestStore(folder).scan();
  assert.deepEqual([problems, unread], [['web.yaml: is no file'], []]);
});
