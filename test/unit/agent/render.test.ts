// SPDX-License-Identifier: Apache-2.0
// bpvs render, from a folder of files to what it prints and how it ends.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { CommanderError } from 'commander';
import { load } from 'js-yaml';
import { renderCommand } from '../../../src/agent/commands/render.ts';
import { endpoint, nodeManifest, serviceManifest, sliceManifest } from '../../lib/manifests/objects.ts';

let folder = '';

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'bpvs-render-'));
  const items = [
    serviceManifest({ type: 'NodePort', ports: [{ port: 80, nodePort: 30080 }] }),
    sliceManifest([endpoint('10.244.1.2')]),
    nodeManifest('node-one', ['192.0.2.11']),
  ];
  writeFileSync(join(folder, 'web.json'), JSON.stringify({ apiVersion: 'v1', kind: 'List', items }));
});

after(() => {
  rmSync(folder, { recursive: true });
});

/** Runs the command in this process. */
async function render(
  ...options: readonly string[]
): Promise<{ code: number; stdout: string; stderr: string }> {
  let stdout = '';
  let stderr = '';
  const command = renderCommand({
    stdout: (text) => {
      stdout += text;
    },
    stderr: (text) => {
      stderr += text;
    },
  });
  try {
    await command.parseAsync(options, { from: 'user' });
    return { code: Number(process.exitCode ?? 0), stdout, stderr };
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return { code: error.exitCode, stdout, stderr };
  } finally {
    process.exitCode = 0;
  }
}

test('render prints the lines of ipvsadm by default', async () => {
  assert.deepEqual(await render('--manifests', folder, '--node', 'node-one'), {
    code: 0,
    stdout: [
      '-A -t 10.96.0.80:80 -s rr',
      '-a -t 10.96.0.80:80 -r 10.244.1.2:8080 -m -w 1',
      '-A -t 192.0.2.11:30080 -s rr',
      '-a -t 192.0.2.11:30080 -r 10.244.1.2:8080 -m -w 1',
      '',
    ].join('\n'),
    stderr: '',
  });
});

test('render prints the same services as JSON and as YAML', async () => {
  const json = await render('--manifests', folder, '--node', 'node-one', '-o', 'json');
  const yaml = await render('--manifests', folder, '--node', 'node-one', '-o', 'yaml');
  const services = JSON.parse(json.stdout);
  assert.equal(services.length, 2);
  assert.deepEqual(services[0].destinations, [
    { address: '10.244.1.2', port: 8080, weight: 1, forwarding: 'masq' },
  ]);
  assert.deepEqual(load(yaml.stdout), services);
});

test('render says that node ports are left out for a node without a manifest', async () => {
  const { code, stdout, stderr } = await render('--manifests', folder, '--node', 'node-two');
  assert.equal(code, 0);
  assert.equal(stdout.split('\n').filter((line) => line.startsWith('-A')).length, 1);
  assert.equal(stderr, 'no Node node-two among the manifests: node ports are left out\n');
});

test('render prints the rest and ends with 1 where a manifest is invalid', async (t) => {
  writeFileSync(join(folder, 'bad.yaml'), 'kind: Service\napiVersion: v1\nmetadata: {name: bad}\nspec: {}\n');
  t.after(() => rmSync(join(folder, 'bad.yaml')));
  const { code, stdout, stderr } = await render('--manifests', folder, '--node', 'node-one');
  assert.equal(code, 1);
  assert.match(stdout, /-A -t 10\.96\.0\.80:80/);
  assert.equal(stderr, 'bad.yaml: Service default/bad: spec.ports: is missing\n');
});

test('render tells of conflicts and warnings, and ends with 0', async (t) => {
  const others = ['one', 'two'].map((name) =>
    serviceManifest(
      { clusterIP: name === 'one' ? '10.96.0.1' : '', externalIPs: ['10.96.0.80'] },
      { metadata: { name: `x-${name}` } },
    ),
  );
  writeFileSync(join(folder, 'x.json'), JSON.stringify({ apiVersion: 'v1', kind: 'List', items: others }));
  t.after(() => rmSync(join(folder, 'x.json')));
  const { code, stderr } = await render('--manifests', folder, '--node', 'node-one');
  assert.equal(code, 0);
  assert.equal(
    stderr,
    'Service default/x-one: 10.96.0.80:80/tcp already belongs to default/web\n' +
      'Service default/x-two: spec.clusterIP is empty: nothing is served\n',
  );
});

test('render ends with 2 on wrong usage', async () => {
  const rows = [
    [[], /required option '--manifests <dir>' not specified/],
    [['--manifests', folder, '--node', 'node-one', '-o', 'xml'], /Allowed choices are ipvsadm, json, yaml/],
    [
      ['--manifests', '/nonexistent', '--node', 'x'],
      /Expected a readable folder .* received "\/nonexistent"/,
    ],
  ] as const;
  for (const [options, message] of rows) {
    const { code, stdout, stderr } = await render(...options);
    assert.deepEqual([code, stdout], [2, '']);
    assert.match(stderr, message);
  }
});

test('render --help names the exit codes and ends with 0', async () => {
  const { code, stdout } = await render('--help');
  assert.equal(code, 0);
  assert.match(stdout, /Exit codes: 0 all well, 1 some manifest was invalid, 2 wrong usage/);
});
