// SPDX-License-Identifier: Apache-2.0
// The command line of bpvs: what it refuses, how it ends, what it prints.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import packageDescription from '../../../package.json' with { type: 'json' };
import { main } from '../../../src/agent/bpvs.ts';
import { findCgroupRoot } from '../../../src/agent/cgroup.ts';
import { formatExplanation } from '../../../src/agent/commands/explain.ts';
import { formatStatus, type NodeStatus } from '../../../src/agent/commands/status.ts';
import { describeError, exitCodeOf } from '../../../src/agent/exit-codes.ts';
import { EnvironmentError, InputError, LayoutError, SystemError } from '../../../src/errors.ts';

async function run(...words: readonly string[]) {
  let stdout = '';
  let stderr = '';
  const code = await main(words, {
    stdout: (text) => {
      stdout += text;
    },
    stderr: (text) => {
      stderr += text;
    },
  });
  return { code, stdout, stderr };
}

test('--version prints the version of the package', async () => {
  assert.deepEqual(await run('--version'), {
    code: 0,
    stdout: `${packageDescription.version}\n`,
    stderr: '',
  });
});

for (const command of [[], ['run'], ['explain'], ['status'], ['cleanup']]) {
  test(`the help of "${['bpvs', ...command].join(' ')}" documents the exit codes`, async () => {
    const { code, stdout } = await run(...command, '--help');
    assert.equal(code, 0);
    assert.match(stdout, /Exit codes: 0 all well, 1 .*, 2 wrong usage, 3 /);
  });
}

for (const [words, expected] of [
  [['fly'], /unknown command 'fly'/],
  [
    ['run', '--manifests', '/tmp', '--master', 'http://192.0.2.1'],
    /either --manifests or an API server but received both/,
  ],
  [['run', '--kubeconfig', '/none'], /Expected a usable kubeconfig .*"\/none": ENOENT/],
  [['run', '--master', 'nowhere'], /http or https URL .*"nowhere"/],
  [['run', '--manifests', '/tmp', '--scheduler', 'wlcc'], /Allowed choices are rr, wrr, lc, /],
  [
    ['run', '--manifests', '/tmp', '--scheduler-flags', 'sh-port'],
    /^bpvs: Expected flags of rr for .* sh-port/,
  ],
  [['run', '--manifests', '/tmp', '--ipvs-profile', 'old'], /Allowed choices are classic, recent/],
  [['run', '--manifests', '/tmp', '--max-connections', '1023'], /whole number from 1024 to 8388608/],
  [['run', '--manifests', '/tmp', '--max-connections', '8388609'], /whole number from 1024 to 8388608/],
  [['run', '--manifests', '/tmp', '--udp-timeout', '1.5'], /whole number from 1/],
  [['run', '--manifests', '/tmp', '--devices', 'a,,b'], /^bpvs: Expected device names/],
  [['explain', '--client', '10.0.0.300', '--service', '10.0.0.1:80'], /Expected an address/],
  [['explain', '--client', '10.0.0.3', '--service', '10.0.0.1'], /Expected address:port/],
  [['explain', '--client', '10.0.0.3', '--service', '10.0.0.1:80/icmp'], /Expected address:port/],
  [['explain', '--client', '10.0.0.3', '--service', '[fd00::1]:80'], /of one family/],
] as const) {
  test(`"bpvs ${words.join(' ')}" is wrong usage, said in one line`, async () => {
    const { code, stdout, stderr } = await run(...words);
    assert.equal(code, 2);
    assert.equal(stdout, '');
    assert.match(stderr, expected);
    assert.equal(stderr.trimEnd().split('\n').length, 1);
  });
}

test('errors end with the exit code of their kind', () => {
  assert.equal(exitCodeOf(new InputError('x')), 2);
  assert.equal(exitCodeOf(new EnvironmentError('x')), 3);
  assert.equal(exitCodeOf(new LayoutError('x')), 3);
  assert.equal(exitCodeOf(new SystemError('bpf', 1, 'EPERM', 'x')), 3);
  assert.equal(exitCodeOf(new SystemError('bpf', 28, 'ENOSPC', 'x')), 1);
  assert.equal(exitCodeOf(new TypeError('x')), 1);
});

test('an error of several lines becomes one line', () => {
  assert.equal(describeError(new InputError('a\nb')), 'a b');
});

test('the root of the control groups is found beside those of version 1', () => {
  const mounts =
    'cgroup /sys/fs/cgroup/cpu cgroup rw 0 0\ncgroup2 /sys/fs/cgroup/my\\040group cgroup2 rw 0 0\n';
  assert.equal(
    findCgroupRoot(mounts, () => true),
    '/sys/fs/cgroup/my group',
  );
  const hidden = `cgroup2 /sys/fs/cgroup/hidden cgroup2 rw 0 0\n${mounts}`;
  assert.equal(
    findCgroupRoot(hidden, (path) => !path.endsWith('hidden')),
    '/sys/fs/cgroup/my group',
  );
  assert.throws(() => findCgroupRoot('tmpfs /tmp tmpfs rw 0 0\n'), EnvironmentError);
});

const client = { address: '10.244.1.3', port: 40000 };
const key = { protocol: 'tcp', address: '10.96.0.80', port: 80 } as const;
const nothing = {
  reason: 'passed_not_ours',
  isKnownConnection: false,
  service: undefined,
  destination: undefined,
  load: undefined,
  place: undefined,
  tableSize: 0,
};

test('an explanation leads from the client to the destination', () => {
  const text = formatExplanation(client, key, {
    ...nothing,
    reason: 'translated',
    service: { ...key, scheduler: 'sh', schedulerFlags: [], noDestination: 'reject' },
    destination: { address: '10.244.1.2', port: 8080, weight: 3, forwarding: 'masq' },
    place: 17,
    tableSize: 256,
  });
  assert.equal(
    text,
    `client     10.244.1.3:40000
service    tcp 10.96.0.80:80
scheduler  sh: the hash leads to place 17 of 0..255
result     goes to 10.244.1.2:8080 (masq, weight 3)
`,
  );
});

test('an explanation of a scheduler that compares says its rule, and what the destination has', () => {
  const text = formatExplanation(client, key, {
    ...nothing,
    reason: 'translated',
    service: { ...key, scheduler: 'wlc', schedulerFlags: [], noDestination: 'reject' },
    destination: { address: '10.244.1.2', port: 8080, weight: 3, forwarding: 'masq' },
    load: { activeConnections: 2, inactiveConnections: 5 },
    place: 1,
    tableSize: 4,
  });
  assert.match(text, /^scheduler {2}wlc: the one with the least load for its weight; .*$/m);
  assert.match(text, /^load {7}2 active and 5 inactive connections there$/m);
});

test('an explanation without a destination says why there is none', () => {
  assert.equal(
    formatExplanation(client, key, nothing),
    `client     10.244.1.3:40000
service    tcp 10.96.0.80:80 (there is none)
result     passes untouched: no virtual service has this address, port and protocol
`,
  );
});

const nothingThere: NodeStatus = {
  pinDirectory: '/sys/fs/bpf/bpvs',
  daemon: null,
  layoutVersion: 1,
  devices: [],
  cgroups: [],
  missingForSocketExpiry: null,
  tables: {
    services: { used: 0, size: 1 },
    destinations: { used: 0, size: 1 },
    connections: { used: 0, size: 1 },
  },
  states: {},
  counted: { connections: 2, inPackets: 5, outPackets: 4, inBytes: 300, outBytes: 999 },
  reasons: { expired: 3 },
};

test('the status of a kernel that cannot destroy sockets says what follows from it', () => {
  const missingForSocketExpiry = 'the kernel was built without CONFIG_INET_DIAG_DESTROY';
  assert.match(
    formatStatus({ ...nothingThere, missingForSocketExpiry }),
    /\nsockets +none\n +they keep destinations that are removed: the kernel .*_DESTROY\nservices /,
  );
});

test('the status of a node without anything says none where there is none', () => {
  assert.equal(
    formatStatus(nothingThere),
    `data plane    bpf, pinned at /sys/fs/bpf/bpvs, layout 1
daemon        not running
devices       none
sockets       none
services      0 of 1
destinations  0 of 1
connections   0 of 1
states        none
counted       2 connections, in 5 packets, 300 bytes, out 4 packets, 999 bytes
packets       expired 3
`,
  );
});
