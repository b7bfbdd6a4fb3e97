// SPDX-License-Identifier: Apache-2.0
// ARCHITECTURE.md tells the truth about the tree.
import assert from 'node:assert/strict';
import { existsSync, globSync, readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { exitCodes } from '../../src/agent/exit-codes.ts';
import { reasonNames } from '../../src/dataplane/bpf/codec.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const text = readFileSync(`${root}ARCHITECTURE.md`, 'utf8');

/** What stands between backquotes and looks like a path of the repository. */
const named = [...text.matchAll(/`([\w./-]+\/[\w./-]*|[\w-]+\.(?:ts|h|c|md))`/g)]
  .map(([, path]) => path ?? '')
  .filter((path) => !path.includes('NAME')); // stands for a file that the reader adds

/** Some files are named without their folder, where the text has just named that. */
function exists(path: string): boolean {
  const isBare = !path.includes('/');
  return (
    existsSync(`${root}${path}`) ||
    globSync(isBare ? `{bpf,src,test,scripts,docs}/**/${path}` : `{bpf,src,docs}/**/${path}`, { cwd: root })
      .length > 0
  );
}

function folders(parent: string): readonly string[] {
  return readdirSync(`${root}${parent}`, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => `${entry.parentPath.slice(root.length)}/${entry.name}/`)
    .filter((path) => globSync(`${path}**/*.*`, { cwd: root }).length > 0);
}

test('every path that ARCHITECTURE.md names exists', () => {
  assert.ok(named.length > 50);
  assert.deepEqual(
    named.filter((path) => !exists(path)),
    [],
  );
});

test('ARCHITECTURE.md names every folder of src and bpf, every hook and every level of tests', () => {
  const levels = readdirSync(`${root}test`).map((name) => `test/${name}/`);
  const hooks = globSync('bpf/*.bpf.c', { cwd: root });
  const wanted = [
    ...folders('src'),
    ...folders('bpf'),
    ...hooks,
    ...levels.filter((path) => readdirSync(root + path).length > 0),
  ];
  assert.ok(wanted.length > 15);
  assert.deepEqual(
    wanted.filter((path) => !named.includes(path)),
    [],
  );
});

test('every document that the pages of the repository link to exists', () => {
  const pages = [...globSync('*.md', { cwd: root }), ...globSync('{docs,deploy}/**/*.md', { cwd: root })];
  assert.ok(pages.length > 5);
  const broken = pages.flatMap((page) => {
    const links = readFileSync(root + page, 'utf8').matchAll(/\]\((?!https?:)([^)#]+)/g);
    const folder = page.includes('/') ? page.slice(0, page.lastIndexOf('/') + 1) : '';
    return [...links].flatMap(([, link]) =>
      existsSync(`${root}${folder}${link}`) ? [] : [`${page}: ${link}`],
    );
  });
  assert.deepEqual(broken, []);
});

test('docs/operations.md explains every reason and every exit code, and no others', () => {
  const operations = readFileSync(`${root}docs/operations.md`, 'utf8');
  const rows = (pattern: RegExp) => [...operations.matchAll(pattern)].map(([, name]) => name).sort();
  assert.deepEqual(rows(/^\| `([a-z_]+)`/gm), [...reasonNames].sort());
  assert.deepEqual(rows(/^\| (\d) +\|/gm), Object.values(exitCodes).map(String).sort());
});
