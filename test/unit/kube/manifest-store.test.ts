// SPDX-License-Identifier: Apache-2.0
// Single looks at a folder, with a clock of the test's own.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { dump } from 'js-yaml';
import { ManifestStore } from '../../../src/kube/manifest-store.ts';
import { serviceManifest } from '../../lib/manifests/objects.ts';

test('a file that was written to a moment ago waits for the next look', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'bpvs-store-'));
  t.after(() => rmSync(folder, { recursive: true }));
  let nowMs = Date.UTC(2026, 0, 2);
  const write = (name: string) => {
    const path = join(folder, `${name}.json`);
    writeFileSync(path, JSON.stringify(serviceManifest({}, { metadata: { name } })));
    utimesSync(path, nowMs / 1000, nowMs / 1000);
  };
  const store = new ManifestStore(folder, () => nowMs);
  const look = async () => {
    const { objects, hasChanged, isUnsettled } = await store.scan();
    return { names: objects.services.map((each) => each.name), hasChanged, isUnsettled };
  };

  write('one');
  nowMs += 1000;
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

/** A folder, its store, a clock, and what a look says: names of services, problems, "unsettled", "unread NAME". */
function setUp(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'bpvs-store-'));
  t.after(() => rmSync(folder, { recursive: true }));
  let nowMs = Date.UTC(2026, 0, 2);
  const store = new ManifestStore(folder, () => nowMs);
  const path = join(folder, 'k.yaml');
  return {
    path,
    pass(ms: number) {
      nowMs += ms;
    },
    write(...names: readonly string[]) {
      writeFileSync(
        path,
        names.map((name) => dump(serviceManifest({}, { metadata: { name } }))).join('---\n'),
      );
      utimesSync(path, nowMs / 1000, nowMs / 1000);
    },
    async look() {
      const { objects, problems, isUnsettled, unread } = await store.scan();
      const states = [...(isUnsettled ? ['unsettled'] : []), ...unread.map((name) => `unread ${name}`)];
      return [...objects.services.map((each) => each.name), ...problems, ...states];
    },
  };
}

test('a file that has no document any more keeps its objects until it is written or deleted', async (t) => {
  const { path, pass, write, look } = setUp(t);
  write('one', 'two');
  pass(1000);
  assert.deepEqual(await look(), ['one', 'two']);
  write();
  pass(50);
  assert.deepEqual(await look(), ['one', 'two', 'unsettled']);
  pass(1000);
  const problem = 'k.yaml: holds no document; its former objects stay until it is deleted';
  assert.deepEqual(await look(), ['one', 'two', problem]);
  assert.deepEqual(await look(), ['one', 'two']);
  write('one', 'two', 'three');
  pass(50);
  assert.deepEqual(await look(), ['one', 'two', 'three']);
  write();
  pass(50);
  assert.deepEqual(await look(), ['one', 'two', 'three', 'unsettled']);
  rmSync(path);
  assert.deepEqual(await look(), []);
});

test('a file that has lost objects counts once it has been as it is for a second', async (t) => {
  const { pass, write, look } = setUp(t);
  write('one', 'two', 'three');
  pass(1000);
  await look();
  write('one');
  pass(50);
  assert.deepEqual(await look(), ['one', 'two', 'three', 'unsettled']);
  pass(999);
  write('one', 'two');
  pass(50);
  assert.deepEqual(await look(), ['one', 'two', 'three', 'unsettled']);
  pass(999);
  assert.deepEqual(await look(), ['one', 'two', 'three', 'unsettled']);
  pass(1);
  assert.deepEqual(await look(), ['one', 'two']);
});

test('a file that is being written when the process begins is unread until it has been as it is for a second', async (t) => {
  const { pass, write, look } = setUp(t);
  write('one');
  pass(10);
  assert.deepEqual(await look(), ['one', 'unsettled', 'unread k.yaml']);
  pass(800);
  write('one', 'two');
  pass(50);
  assert.deepEqual(await look(), ['one', 'two', 'unsettled', 'unread k.yaml']);
  pass(999);
  assert.deepEqual(await look(), ['one', 'two', 'unsettled', 'unread k.yaml']);
  pass(1);
  assert.deepEqual(await look(), ['one', 'two']);
  assert.deepEqual(await look(), ['one', 'two']);
});

test('a file without a document is unread when the process begins, and nothing special later', async (t) => {
  const { path, pass, write, look } = setUp(t);
  write();
  pass(5000);
  assert.deepEqual(await look(), ['unread k.yaml']);
  rmSync(path);
  assert.deepEqual(await look(), []);
  write();
  pass(50);
  assert.deepEqual(await look(), []);
});
