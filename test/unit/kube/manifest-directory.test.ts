// SPDX-License-Identifier: Apache-2.0
// Following a real folder through what editors, kubelet and people do to it.
import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { dump } from 'js-yaml';
import { ManifestDirectory } from '../../../src/kube/manifest-directory.ts';
import type { ClusterObjects } from '../../../src/model/cluster.ts';
import { serviceManifest } from '../../lib/manifests/objects.ts';

/** A service of this name as a document of YAML. */
const service = (name: string, clusterIP = '10.96.0.80') =>
  dump(serviceManifest({ clusterIP }, { metadata: { name } }));

/** A followed folder, and what its listener was told. */
class Followed {
  readonly path: string;
  readonly problems: string[] = [];
  #objects: ClusterObjects = { services: [], slices: [], nodes: [] };
  readonly #told = new EventEmitter();
  #directory: ManifestDirectory | undefined;

  constructor(path: string) {
    this.path = path;
  }

  async open(): Promise<void> {
    this.#directory = await ManifestDirectory.open(this.path, {
      objectsChanged: (objects) => {
        this.#objects = objects;
        this.#told.emit('told');
      },
      problemsFound: (lines) => {
        this.problems.push(...lines);
        this.#told.emit('told');
      },
    });
  }

  /** "web 10.96.0.80", sorted. */
  get services(): readonly string[] {
    return this.#objects.services.map((each) => `${each.name} ${each.clusterIps[0]}`).sort();
  }

  write(name: string, text: string): void {
    writeFileSync(join(this.path, name), text);
  }

  /** Resolves once the claim holds. */
  async until(claim: () => boolean): Promise<void> {
    while (!claim()) await once(this.#told, 'told', { signal: AbortSignal.timeout(10_000) });
  }

  async untilServices(...expected: readonly string[]): Promise<void> {
    await this.until(() => this.services.join() === expected.join());
  }

  async close(): Promise<void> {
    await this.#directory?.close();
  }
}

async function follow(t: TestContext, files: Readonly<Record<string, string>>): Promise<Followed> {
  const root = mkdtempSync(join(tmpdir(), 'bpvs-manifests-'));
  const followed = new Followed(join(root, 'manifests'));
  mkdirSync(followed.path);
  for (const [name, text] of Object.entries(files)) followed.write(name, text);
  t.after(async () => {
    await followed.close();
    rmSync(root, { recursive: true });
  });
  await followed.open();
  return followed;
}

test('a folder is read with all its YAML and JSON files, several documents each, and nothing else', async (t) => {
  const followed = await follow(t, {
    'a.yaml': `${service('one', '10.96.0.1')}---\n---\n${service('two', '10.96.0.2')}`,
    'b.yml': service('three', '10.96.0.3'),
    'c.json': JSON.stringify(serviceManifest({ clusterIP: '10.96.0.4' }, { metadata: { name: 'four' } })),
    'd.txt': service('five'),
    '.e.yaml': service('six'),
    'empty.yaml': '',
  });
  assert.deepEqual(followed.services, [
    'four 10.96.0.4',
    'one 10.96.0.1',
    'three 10.96.0.3',
    'two 10.96.0.2',
  ]);
  assert.deepEqual(followed.problems, []);
});

test('anchors and merge keys are resolved, and times stay texts', async (t) => {
  const text = `
kind: Service
apiVersion: v1
metadata: &one {name: web, creationTimestamp: 2026-01-02T03:04:05Z}
spec: {clusterIP: 10.96.0.80, ports: [{<<: {port: 80, protocol: UDP}}]}
`;
  const followed = await follow(t, { 'a.yaml': text });
  assert.deepEqual(followed.problems, []);
  assert.deepEqual(followed.services, ['web 10.96.0.80']);
});

test('files that are written, renamed over, added and removed are followed', async (t) => {
  const followed = await follow(t, { 'a.yaml': service('web') });
  followed.write('a.yaml', service('web', '10.96.0.81'));
  await followed.untilServices('web 10.96.0.81');
  followed.write('.a.yaml.swp', service('web', '10.96.0.82'));
  renameSync(join(followed.path, '.a.yaml.swp'), join(followed.path, 'a.yaml'));
  await followed.untilServices('web 10.96.0.82');
  followed.write('b.yaml', service('dns', '10.96.0.10'));
  await followed.untilServices('dns 10.96.0.10', 'web 10.96.0.82');
  rmSync(join(followed.path, 'a.yaml'));
  await followed.untilServices('dns 10.96.0.10');
  assert.deepEqual(followed.problems, []);
});

test('the swap of a link that the files are behind is followed', async (t) => {
  const followed = await follow(t, {});
  const version = (name: string, clusterIP: string) => {
    mkdirSync(join(followed.path, name));
    writeFileSync(join(followed.path, name, 'a.yaml'), service('web', clusterIP));
  };
  version('..1', '10.96.0.81');
  symlinkSync('..1', join(followed.path, '..data'));
  symlinkSync('..data/a.yaml', join(followed.path, 'a.yaml'));
  await followed.untilServices('web 10.96.0.81');
  version('..2', '10.96.0.82');
  symlinkSync('..2', join(followed.path, '..data_tmp'));
  renameSync(join(followed.path, '..data_tmp'), join(followed.path, '..data'));
  rmSync(join(followed.path, '..1'), { recursive: true });
  await followed.untilServices('web 10.96.0.82');
});

test('a file that cannot be parsed any more keeps its objects, and says so once', async (t) => {
  const followed = await follow(t, { 'a.yaml': service('web'), 'b.yaml': service('dns', '10.96.0.10') });
  followed.write('a.yaml', 'kind: [');
  await followed.until(() => followed.problems.length > 0);
  followed.write('b.yaml', service('dns', '10.96.0.11'));
  await followed.untilServices('dns 10.96.0.11', 'web 10.96.0.80');
  assert.equal(followed.problems.length, 1);
  assert.match(followed.problems[0] ?? '', /^a\.yaml: .+\(1:8\)$/);
});

test('an object that is not valid any more stays as it was, and does not stop the others of its file', async (t) => {
  const followed = await follow(t, { 'a.yaml': `${service('web')}---\n${service('dns', '10.96.0.10')}` });
  followed.write('a.yaml', `${service('web', '10.96.0.800')}---\n${service('dns', '10.96.0.11')}`);
  await followed.untilServices('dns 10.96.0.11', 'web 10.96.0.80');
  assert.deepEqual(followed.problems, [
    'a.yaml: Service default/web: spec.clusterIP: expected an IP address but received "10.96.0.800"',
  ]);
  followed.write('a.yaml', service('dns', '10.96.0.11'));
  await followed.untilServices('dns 10.96.0.11');
});

test('a document that cannot be told any more takes none of the objects of its file with it', async (t) => {
  const followed = await follow(t, { 'a.yaml': `${service('web')}---\n${service('dns', '10.96.0.10')}` });
  for (const broken of [
    service('web').replace('kind:', 'knd:'),
    service('').replace(/name: .*/, 'nme: web'),
    '{apiVersion: v1, kind: List, items: x}\n',
    'web\n',
  ]) {
    const address = `10.96.0.${20 + followed.problems.length}`;
    followed.write('a.yaml', `${broken}---\n${service('dns', address)}`);
    await followed.untilServices(`dns ${address}`, 'web 10.96.0.80');
  }
  assert.equal(followed.problems.length, 4);
});

test('a JSON file may begin with a byte order mark', async (t) => {
  const followed = await follow(t, { 'a.json': `\uFEFF${JSON.stringify(serviceManifest())}` });
  assert.deepEqual(followed.problems, []);
  assert.deepEqual(followed.services, ['web 10.96.0.80']);
});

test('of an object in two files the one in the file whose name sorts first counts', async (t) => {
  const followed = await follow(t, {
    'b.yaml': service('web', '10.96.0.82'),
    'a.yaml': service('web', '10.96.0.81'),
  });
  assert.deepEqual(followed.services, ['web 10.96.0.81']);
  assert.deepEqual(followed.problems, [
    'b.yaml: Service default/web: metadata.name: already defined in a.yaml, which counts',
  ]);
  followed.write('c.yaml', service('dns', '10.96.0.10'));
  await followed.untilServices('dns 10.96.0.10', 'web 10.96.0.81');
  rmSync(join(followed.path, 'a.yaml'));
  await followed.untilServices('dns 10.96.0.10', 'web 10.96.0.82');
  assert.equal(followed.problems.length, 1);
});

test('a folder that vanishes leaves all as it was, and is followed again when it is back', async (t) => {
  const followed = await follow(t, { 'a.yaml': service('web') });
  renameSync(followed.path, `${followed.path}-aside`);
  await followed.until(() => followed.problems.length > 0);
  assert.match(followed.problems[0] ?? '', /ENOENT.*; what was read before stays$/);
  assert.deepEqual(followed.services, ['web 10.96.0.80']);
  mkdirSync(followed.path);
  followed.write('b.yaml', service('dns', '10.96.0.10'));
  await followed.untilServices('dns 10.96.0.10');
  followed.write('b.yaml', service('dns', '10.96.0.11'));
  await followed.untilServices('dns 10.96.0.11');
  assert.equal(followed.problems.length, 1);
});

test('a file of more than a megabyte is read as a small one is', async (t) => {
  const padding = `# ${'x'.repeat(1 << 20)}\n`;
  const followed = await follow(t, { 'a.yaml': padding + service('web'), 'b.yaml': `${padding}kind: [` });
  assert.deepEqual(followed.services, ['web 10.96.0.80']);
  assert.match(followed.problems[0] ?? '', /^b\.yaml: .+\(2:8\)$/);
});

test('a folder that does not exist is refused', async () => {
  const listener = { objectsChanged: () => assert.fail(), problemsFound: () => assert.fail() };
  await assert.rejects(ManifestDirectory.open('/nonexistent', listener), { code: 'ENOENT' });
});

test('a folder can be closed twice, and while it changes', async (t) => {
  const followed = await follow(t, {});
  followed.write('a.yaml', service('web'));
  await followed.close();
  await followed.close();
  assert.deepEqual(followed.services, []);
});
