// SPDX-License-Identifier: Apache-2.0
// Which folder may import which, and what every source file has in common.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** What each folder of src may import besides itself: folders, or single files. The composition root may import all. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  model: [],
  plan: ['model'],
  reconcile: ['model', 'errors.ts', 'dataplane/data-plane.ts'],
  dataplane: ['model', 'native', 'errors.ts'],
  native: ['errors.ts'],
  kube: ['model'],
  api: ['model', 'kube', 'errors.ts'],
  config: ['model', 'errors.ts'],
  server: ['model'],
  metrics: ['model'],
  cli: ['model', 'dataplane', 'errors.ts'],
  'errors.ts': [],
};

/** Tracked and new files of the working tree that exist. */
function files(...patterns: readonly string[]): readonly string[] {
  const list = execFileSync('git', ['ls-files', '-co', '--exclude-standard', '--', ...patterns], {
    cwd: root,
    encoding: 'utf8',
  });
  return list.split('\n').filter((path) => path !== '' && existsSync(join(root, path)));
}

const sources = files('src/**/*.ts', 'src/*.ts').map((path) => path.slice('src/'.length));
const read = (path: string) => readFileSync(join(root, path), 'utf8');

/** The package's own description, which commands read their version from. */
const packageFile = '../package.json';

/** The files of src that a file of src imports, statically or not, types included. */
function imports(path: string): readonly string[] {
  const specifiers = read(`src/${path}`).matchAll(/(?:\bfrom|\bimport\(|^import)\s*'(\.[^']+)'/gm);
  const paths = [...specifiers].map(([, specifier]) => normalize(join(dirname(path), specifier ?? '')));
  return paths.filter((each) => each !== packageFile);
}

const folder = (path: string) => path.split('/')[0] ?? '';

function mayImport(from: string, to: string): boolean {
  if (from === 'agent' || from === folder(to)) return true;
  return (allowed[from] ?? []).some((each) => to === each || folder(to) === each);
}

test('every file of src imports only what its folder may import', () => {
  assert.notEqual(sources.length, 0);
  const wrong = sources.flatMap((path) =>
    imports(path)
      .filter((imported) => !mayImport(folder(path), imported))
      .map((imported) => `${path} imports ${imported}`),
  );
  assert.deepEqual(wrong, []);
});

test('every relative import in src names a file that exists, with its ending', () => {
  const wrong = sources.flatMap((path) => imports(path).filter((imported) => !sources.includes(imported)));
  assert.deepEqual(wrong, []);
});

test('every folder of src has its row in the table of imports', () => {
  const unknown = sources.map(folder).filter((each) => each !== 'agent' && !(each in allowed));
  assert.deepEqual([...new Set(unknown)], []);
});

test('no files of src import each other in a circle', () => {
  const done = new Set<string>();
  const visit = (path: string, trail: readonly string[]): void => {
    assert.ok(!trail.includes(path), `${[...trail.slice(trail.indexOf(path)), path].join(' imports ')}`);
    if (done.has(path)) return;
    for (const imported of imports(path)) visit(imported, [...trail, path]);
    done.add(path);
  };
  for (const path of sources) visit(path, []);
});

test('nothing is exported as default', () => {
  const wrong = files('*.ts').filter((path) =>
    /^export (?:default\b|\{[^}]*\bas default\b)/m.test(read(path)),
  );
  assert.deepEqual(wrong, []);
});

test('every source file begins with its licence', () => {
  const licences = ['Apache-2.0', 'GPL-2.0-only OR BSD-2-Clause'].map(
    (licence) => `SPDX-License-Identifier: ${licence}`,
  );
  const wrong = files('*.ts', '*.c', '*.h', '*.cc', 'scripts/*').filter((path) => {
    const head = read(path).split('\n', 2).join('\n');
    return !licences.some((licence) => head.includes(licence));
  });
  assert.deepEqual(wrong, []);
});
