// SPDX-License-Identifier: Apache-2.0
// What is in deploy/ fits to what a cluster made by kubeadm has, and to the code.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { loadAll } from 'js-yaml';
import { parseCommandLine } from '../../src/config/command-line.ts';
import { readDaemonSet } from '../lib/image.ts';

const base = fileURLToPath(new URL('../../deploy/kustomize/base/', import.meta.url));
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
    const folder = fileURLToPath(new URL(`../../deploy/kustomize/${name}/`, import.meta.url));
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
