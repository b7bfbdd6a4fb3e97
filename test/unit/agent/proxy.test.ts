// SPDX-License-Identifier: Apache-2.0
// bpvs under kube-proxy's command line: what it refuses and prints; and bpvs config check.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { main } from '../../../src/agent/bpvs.ts';

const folder = mkdtempSync(join(tmpdir(), 'bpvs-proxy-'));
after(() => rmSync(folder, { recursive: true }));

async function run(...words: readonly string[]) {
  let stdout = '';
  let stderr = '';
  process.exitCode = 0;
  const code = await main(words, {
    stdout: (text) => {
      stdout += text;
    },
    stderr: (text) => {
      stderr += text;
    },
  });
  process.exitCode = 0;
  return { code, stdout, stderr };
}

function configuration(body: string): string {
  const path = join(folder, 'config.conf');
  const heading = 'apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n';
  writeFileSync(path, heading + body);
  return path;
}

for (const [words, expected] of [
  [
    ['--config=/no/such/file'],
    /^bpvs: Expected a readable configuration file but received "\/no\/such\/file"/,
  ],
  [['--proxy-mode=ipvs', '--fly'], /^bpvs: Expected flags of kube-proxy .* but received "--fly"/],
  [['--proxy-mode=ipvs', 'word'], /^bpvs: Expected flags of kube-proxy .* but received "word"/],
  [['-v=2', '--proxy-mode=ebpf'], /^bpvs: Expected a valid configuration but: .*Invalid value: "ebpf"/],
  [['--ipvs-scheduler=fastest'], /^bpvs: Expected one of rr, .* for ipvs.scheduler but received "fastest"/],
  [['--hostname-override', ' '], /^bpvs: Expected a name for --hostname-override but received blanks/],
  [['--conntrack-min'], /^bpvs: Expected a value for --conntrack-min but received none/],
  [['--config-sync-period=5'], /^bpvs: Expected a duration .* for --config-sync-period but received "5"/],
  [['--write-config-to=/no/such/folder/x'], /^bpvs: Expected a writable file for --write-config-to/],
] as const) {
  test(`"bpvs ${words.join(' ')}" is wrong usage of kube-proxy's flags, said in one line`, async () => {
    const { code, stdout, stderr } = await run(...words);
    assert.equal(code, 2);
    assert.equal(stdout, '');
    assert.match(stderr, expected);
    assert.equal(stderr.trimEnd().split('\n').length, 1);
  });
}

test('--write-config-to writes the file and the flags that count beside it, whole', async () => {
  const config = configuration('mode: ipvs\nhostnameOverride: a\n');
  const written = join(folder, 'written');
  const words = [`--config=${config}`, '--hostname-override=B', '--proxy-mode=nftables'];
  const { code, stderr } = await run(...words, `--write-config-to=${written}`);
  assert.equal(code, 0);
  assert.match(stderr, /event="flag without effect beside --config" flag=--proxy-mode/);
  const text = readFileSync(written, 'utf8');
  assert.match(text, /^mode: ipvs$/m);
  assert.match(text, /^hostnameOverride: b$/m);
});

test('what of a configuration has no effect is logged once each, what a strict reader refuses too', async () => {
  const config = configuration('mode: ipvs\nipvs: {strictARP: true}\nudpIdleTimeout: 250ms\n');
  const { stderr } = await run(`--config=${config}`, `--write-config-to=${join(folder, 'out')}`);
  const events = stderr
    .trimEnd()
    .split('\n')
    .map((line) => line.replace(/^time=\S+ /, ''));
  assert.deepEqual(events.slice(0, -1), [
    'level=warning event="configuration read leniently" problem="unknown field \\"udpIdleTimeout\\""',
    'level=warning event="configuration field without effect" field=ipvs.strictARP value=true reason="no virtual address is bound to a device, so the node answers no ARP for one"',
  ]);
});

test('config check reports each field that is set, and ends with 0 where the daemon would start', async () => {
  const path = configuration('mode: ipvs\nipvs: {scheduler: sh, strictARP: true}\nfoo: 1\n');
  const { code, stdout, stderr } = await run('config', 'check', path);
  assert.equal(code, 0);
  assert.equal(stderr, '');
  assert.match(stdout, /^mapped {4}mode: "ipvs" \(/m);
  assert.match(stdout, /^honoured {2}ipvs\.scheduler: "sh" \(in every mode\)$/m);
  assert.match(stdout, /^ignored {3}ipvs\.strictARP: true \(no virtual address/m);
  assert.match(stdout, /^lenient {3}unknown field "foo" \(it has no effect\)$/m);
  assert.equal(stdout.trimEnd().split('\n').length, 4);
});

test('config check ends with 1 for what the daemon would not start with, a line each', async () => {
  const path = configuration('iptables: {masqueradeBit: 32}\noomScoreAdj: -2000\n');
  const { code, stdout } = await run('config', 'check', path);
  assert.equal(code, 1);
  const invalid = stdout.split('\n').filter((line) => line.startsWith('invalid'));
  assert.equal(invalid.length, 2);
  assert.match(
    invalid[0] ?? '',
    /KubeProxyIPTablesConfiguration\.MasqueradeBit: Invalid value: 32: must be within/,
  );
});

for (const [body, expected] of [
  ['mode: 5\n', /^invalid {3}Expected a text for mode in \S+ but received 5$/m],
  ['a: b: c\n', /^invalid {3}Expected YAML or JSON in /m],
  [
    'ipvs: {scheduler: fastest}\n',
    /^invalid {3}Expected one of rr, .* for ipvs.scheduler but received "fastest"$/m,
  ],
] as const) {
  test(`config check of ${JSON.stringify(body)} says what is invalid`, async () => {
    const { code, stdout } = await run('config', 'check', configuration(body));
    assert.equal(code, 1);
    assert.match(stdout, expected);
  });
}

test('config check of a file that cannot be read is wrong usage', async () => {
  const { code, stderr } = await run('config', 'check', '/no/such/file');
  assert.equal(code, 2);
  assert.match(stderr, /^bpvs: Expected a readable configuration file/);
});

test('the help of proxy names every flag of kube-proxy', async () => {
  const { code, stdout } = await run('proxy', '--help');
  assert.equal(code, 0);
  for (const flag of ['--config', '--ipvs-scheduler', '--healthz-port', '-v', '--init-only', '--devices'])
    assert.match(stdout, new RegExp(`^  ${flag} `, 'm'));
});
