// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseManifest } from '../../../src/kube/manifest-file.ts';
import { manifestLines, readManifestLines } from '../../../src/kube/manifest-lines.ts';
import { endpoint, nodeManifest, serviceManifest, sliceManifest } from '../../lib/manifests/objects.ts';

const items = [
  serviceManifest(),
  sliceManifest([endpoint('10.244.1.2'), endpoint('10.244.2.2', { ready: false })]),
  nodeManifest('node1', ['192.0.2.1']),
  serviceManifest({ clusterIP: 'nowhere' }, { metadata: { name: 'broken' } }),
];
const manifest = parseManifest('a.json', JSON.stringify({ apiVersion: 'v1', kind: 'List', items }));

async function* each(lines: Iterable<string>) {
  yield* lines;
}

test('a manifest comes out of its lines as it went in, with its problems', async () => {
  assert.ok(manifest.isReadable && manifest.objects.problems.length === 1);
  // Through JSON, as it leaves out what is undefined.
  const expected = JSON.parse(JSON.stringify(manifest));
  assert.deepEqual(
    JSON.parse(JSON.stringify(await readManifestLines(each(manifestLines(manifest))))),
    expected,
  );
});

test('a manifest that is not readable comes out of its lines with the reason', async () => {
  const unreadable = { isReadable: false, problem: 'a.json: is none' } as const;
  assert.deepEqual(await readManifestLines(each(manifestLines(unreadable))), unreadable);
});

test('lines of a manifest that are cut off are refused', async () => {
  const lines = [...manifestLines(manifest)];
  const cut = lines.with(-1, lines.at(-1)?.slice(0, -1) ?? '');
  await assert.rejects(readManifestLines(each(cut)), SyntaxError);
  await assert.rejects(readManifestLines(each([])), SyntaxError);
});
