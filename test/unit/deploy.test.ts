// SPDX-License-Identifier: Apache-2.0
// What is in deploy/ fits to what a cluster made by kubeadm has, and to the code.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { loadAll } from 'js-yaml';
import { parseCommandLine } from '../../src/config/command-line.ts';
import { makeImageRoot, readDaemonSet } from '../lib/image.ts';

const project = fileURLToPath(new URL('../../', import.meta.url));
const base = `${project}deploy/kustomize/base/`;
const { metadata, spec } = readDaemonSet();
const pod = spec.template.spec;
const [container] = pod.containers;

test('the DaemonSet has the name, label and command of the one that kubeadm makes', () => {
  assert.equal(metadata.name, 'kube-proxy');
  assert.deepEqual(spec.template.metadata.labels, { 'k8s-app': 'kube-proxy' });
  assert.deepEqual(container.command, [
    '/usr/local/bin/kube-proxy',
    '--config=/var/lib/kube-proxy/config.conf',
    '--hostname-override=$(NODE_NAME)',
  ]);
  assert.deepEqual(parseCommandLine(container.command.slice(1)).rest, []);
});

test('the pods run on every node as kube-proxy does, not privileged', () => {
  const { hostNetwork, priorityClassName, serviceAccountName, tolerations } = pod;
  assert.deepEqual(
    { hostNetwork, priorityClassName, serviceAccountName, tolerations },
    {
      hostNetwork: true,
      priorityClassName: 'system-node-critical',
      serviceAccountName: 'kube-proxy',
      tolerations: [{ operator: 'Exists' }],
    },
  );
  assert.deepEqual(container.securityContext, {
    privileged: false,
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    runAsUser: 0,
    capabilities: { drop: ['ALL'], add: ['BPF', 'NET_ADMIN', 'PERFMON'] },
  });
});

test('the paths that the environment names are mounted', () => {
  const mounted = container.volumeMounts.map(({ mountPath }) => mountPath);
  const paths = container.env.flatMap(({ value }) => (value?.startsWith('/') ? [value] : []));
  assert.equal(paths.length, 2);
  for (const path of paths)
    assert.ok(mounted.some((mount) => path === mount || path.startsWith(`${mount}/`)));
});

test('no right is asked for that kube-proxy has not', () => {
  const documents = loadAll(readFileSync(`${base}rbac.yaml`, 'utf8')) as readonly {
    readonly kind: string;
    readonly roleRef?: { readonly name: string };
  }[];
  assert.deepEqual(
    documents.map(({ kind, roleRef }) => [kind, roleRef?.name]),
    [
      ['ServiceAccount', undefined],
      ['ClusterRoleBinding', 'system:node-proxier'],
    ],
  );
});

test('kustomize builds the base with the image in every container', (t) => {
  const { status, stdout, stderr, error } = spawnSync('kubectl', ['kustomize', base], { encoding: 'utf8' });
  if (error) return t.skip('the test needs kubectl');
  assert.equal(status, 0, stderr);
  const kinds = (loadAll(stdout) as readonly { readonly kind: string }[]).map(({ kind }) => kind);
  assert.deepEqual(kinds.sort(), ['ClusterRoleBinding', 'DaemonSet', 'ServiceAccount']);
  assert.equal(stdout.match(/^ +image: registry\.example\.com\/bpvs:/gm)?.length, 2);
});

for (const name of ['remove-bpvs', 'remove-kube-proxy-rules']) {
  test(`kustomize builds ${name}, which runs on every node`, (t) => {
    const folder = `${project}deploy/kustomize/${name}/`;
    const { status, stdout, stderr, error } = spawnSync('kubectl', ['kustomize', folder], {
      encoding: 'utf8',
    });
    if (error) return t.skip('the test needs kubectl');
    assert.equal(status, 0, stderr);
    const [set, ...others] = loadAll(stdout) as readonly ReturnType<typeof readDaemonSet>[];
    assert.equal(others.length, 0);
    assert.deepEqual(set?.spec.template.spec.tolerations, [{ operator: 'Exists' }]);
  });
}

test('what the image adds is in no folder that is a link in its base, and is all that is opened', () => {
  const root = mkdtempSync(join(tmpdir(), 'bpvs-image-root-'));
  try {
    makeImageRoot(root);
    assert.deepEqual(readdirSync(root).sort(), ['bpvs', 'usr']);
    assert.deepEqual(readdirSync(`${root}/usr`).sort(), ['lib', 'local']);
    const built = readdirSync(`${project}bpf`).filter((name) => name.endsWith('.bpf.c'));
    for (const name of built) assert.ok(existsSync(`${root}/bpvs/build/bpf/${name.slice(0, -1)}o`), name);
    for (const program of ['bpvs', 'bpvsadm']) {
      const [first] = readFileSync(`${root}/bpvs/build/agent/${program}.js`, 'utf8').split('\n', 1);
      assert.equal(first, '#!/nodejs/bin/node');
    }
    const { dependencies } = JSON.parse(readFileSync(`${project}package.json`, 'utf8'));
    const licences = readdirSync(`${root}/bpvs/LICENSES`);
    for (const name of Object.keys(dependencies)) assert.ok(licences.includes(name.replace('/', '-')), name);
  } finally {
    rmSync(root, { recursive: true });
  }
});

test('the image is built from what it needs, and from nothing else of a working tree', () => {
  const [first, ...others] = readFileSync(`${project}.dockerignore`, 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));
  assert.equal(first, '*');
  const sent = others.map((line) => line.replace(/^!/, ''));
  assert.deepEqual(
    others,
    sent.map((path) => `!${path}`),
  );
  for (const path of sent) assert.ok(existsSync(project + path), path);
  const copied = readFileSync(`${project}deploy/Dockerfile`, 'utf8').matchAll(/^COPY (?!--)(.+) \S+$/gm);
  const named = [...copied].flatMap(([, words = '']) => words.split(' ')).filter((path) => path !== '.');
  assert.deepEqual(named, ['package.json', 'package-lock.json']);
  for (const path of [...named, 'binding.gyp', 'bpf', 'native', 'scripts', 'src'])
    assert.ok(sent.includes(path), path);
});
