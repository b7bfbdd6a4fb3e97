// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { findApiServer } from '../../../src/api/kube-config.ts';
import { InputError } from '../../../src/errors.ts';

const folder = mkdtempSync(join(tmpdir(), 'bpvs-kubeconfig-'));
after(() => rmSync(folder, { recursive: true }));

function write(name: string, text: string): string {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
}

function kubeconfig(user: string, server = 'https://192.0.2.1:6443'): string {
  return write(
    'kubeconfig',
    `apiVersion: v1
kind: Config
current-context: lab
clusters: [{ name: lab, cluster: { server: "${server}", certificate-authority-data: Y2E=, tls-server-name: api } }]
contexts: [{ name: lab, context: { cluster: lab, user: agent } }]
users: [{ name: agent, user: ${user} }]
`,
  );
}

async function headers(user: string): Promise<unknown> {
  const server = await findApiServer({ kubeconfig: kubeconfig(user) });
  return (await server.requestOptions()).headers;
}

test('a token is sent', async () => {
  assert.deepEqual(await headers('{ token: secret }'), { Authorization: 'Bearer secret' });
});

test('tokenFile, as kubeadm writes it, is read beside the kubeconfig, and its line end left out', async () => {
  write('token', 'from-file\n');
  assert.deepEqual(await headers('{ tokenFile: token }'), { Authorization: 'Bearer from-file' });
});

test('a plugin is asked for its token', async () => {
  const answer = JSON.stringify({
    apiVersion: 'client.authentication.k8s.io/v1',
    kind: 'ExecCredential',
    status: { token: 'from-plugin' },
  });
  const user = `{ exec: { apiVersion: client.authentication.k8s.io/v1, command: echo, args: ['${answer}'] } }`;
  assert.deepEqual(await headers(user), { Authorization: 'Bearer from-plugin' });
});

test('certificates of another file need another agent', async () => {
  const [cert, key] = [write('crt', 'one'), write('key', 'one')];
  const user = `{ client-certificate: ${cert}, client-key: ${key} }`;
  const server = await findApiServer({ kubeconfig: kubeconfig(user) });
  const first = await server.requestOptions();
  assert.equal((await server.requestOptions()).agent, first.agent);
  assert.deepEqual([`${first.cert}`, `${first.ca}`, first.servername], ['one', 'ca', 'api']);
  write('crt', 'two');
  assert.notEqual((await server.requestOptions()).agent, first.agent);
});

test('a server that is given goes before that of the kubeconfig', async () => {
  const server = await findApiServer({
    kubeconfig: kubeconfig('{ token: secret }'),
    master: 'http://192.0.2.9:8080',
  });
  assert.equal(server.url.href, 'http://192.0.2.9:8080/');
  assert.deepEqual((await server.requestOptions()).headers, { Authorization: 'Bearer secret' });
});

test('a server alone is enough', async () => {
  const server = await findApiServer({ master: 'https://192.0.2.9' });
  assert.deepEqual((await server.requestOptions()).headers, {});
});

const refused: readonly (readonly [string, () => Parameters<typeof findApiServer>[0], RegExp])[] = [
  ['a missing file', () => ({ kubeconfig: join(folder, 'none') }), /received "[^"]*none": ENOENT/],
  ['no YAML', () => ({ kubeconfig: write('bad', '{') }), /Expected a usable kubeconfig .*bad/],
  ['an empty file', () => ({ kubeconfig: write('empty', '') }), /Expected a usable kubeconfig .*empty/],
  [
    'a context without a cluster',
    () => ({ kubeconfig: write('half', 'current-context: lab') }),
    /names no cluster/,
  ],
  [
    'a server that is no URL',
    () => ({ kubeconfig: kubeconfig('{}', 'somewhere') }),
    /http or https URL .*"somewhere"/,
  ],
  ['nothing, outside of a pod', () => ({}), /received none of them/],
];
for (const [what, options, pattern] of refused) {
  test(`${what} in place of a kubeconfig is refused with one line`, async () => {
    await assert.rejects(
      async () => findApiServer(options()),
      (error) => error instanceof InputError && pattern.test(error.message) && !error.message.includes('\n'),
    );
  });
}
