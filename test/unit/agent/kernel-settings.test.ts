// SPDX-License-Identifier: Apache-2.0
// What of the kernel is set at the start, by the configuration.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { applyKernelSettings, isTolerable, kernelSettings } from '../../../src/agent/kernel-settings.ts';
import type { ConntrackSettings } from '../../../src/config/agent-settings.ts';

const defaults: ConntrackSettings = {
  maxPerCore: 32768,
  min: 131072,
  tcpEstablishedSeconds: 86_400,
  tcpCloseWaitSeconds: 3600,
  udpSeconds: 0,
  udpStreamSeconds: 0,
  isTcpLiberal: false,
};

const settingsOf = (conntrack: Partial<ConntrackSettings>, cpuCount = 2) =>
  kernelSettings({ conntrack: { ...defaults, ...conntrack } }, cpuCount).map(
    ({ path, value }) => `${path.slice(path.lastIndexOf('/') + 1)} ${value}`,
  );

test('the defaults set forwarding, the size of the table and its hash, and two timeouts', () => {
  assert.deepEqual(settingsOf({}), [
    'ip_forward 1',
    'nf_conntrack_max 131072',
    'nf_conntrack_tcp_timeout_established 86400',
    'nf_conntrack_tcp_timeout_close_wait 3600',
    'hashsize 32768',
  ]);
});

test('values of 0 leave the kernel as it is', () => {
  const nothing = { maxPerCore: 0, tcpEstablishedSeconds: 0, tcpCloseWaitSeconds: 0 };
  assert.deepEqual(settingsOf(nothing), ['ip_forward 1']);
});

for (const [maxPerCore, min, cpuCount, expected] of [
  [32768, 131072, 8, 262144],
  [32768, 131072, 1, 131072],
  [32768, 131072, 64, 1048576],
  [32768, 2_000_000, 2, 2_000_000],
  [32768, 2_000_000, 64, 1048576],
] as const) {
  test(`${maxPerCore} entries for each of ${cpuCount} CPUs, ${min} at least, are ${expected}`, () => {
    assert.equal(settingsOf({ maxPerCore, min }, cpuCount)[1], `nf_conntrack_max ${expected}`);
  });
}

test('liberal TCP and the timeouts of UDP are set where they are asked for', () => {
  const wanted = { maxPerCore: 0, isTcpLiberal: true, udpSeconds: 30, udpStreamSeconds: 180 };
  assert.deepEqual(settingsOf(wanted).slice(3), [
    'nf_conntrack_tcp_be_liberal 1',
    'nf_conntrack_udp_timeout 30',
    'nf_conntrack_udp_timeout_stream 180',
  ]);
});

test('a setting that is right already is not written, one that is wrong is, one that cannot be is told', () => {
  const folder = mkdtempSync(join(tmpdir(), 'settings-'));
  const path = (name: string, content: string) => {
    writeFileSync(join(folder, name), content);
    return join(folder, name);
  };
  const right = path('right', '1\n');
  const before = statSync(right).mtimeMs;
  const larger = path('larger', '9\n');
  const missing = join(folder, 'none/missing');
  const failures = applyKernelSettings([
    { path: right, value: 1 },
    { path: path('wrong', '5\n'), value: 6 },
    { path: larger, value: 7, isLeast: true },
    { path: missing, value: 8 },
  ]);
  assert.equal(statSync(right).mtimeMs, before);
  assert.equal(readFileSync(join(folder, 'wrong'), 'utf8'), '6');
  assert.equal(readFileSync(larger, 'utf8'), '9\n');
  assert.deepEqual(
    failures.map(({ setting, error }) => [setting.path, error.code]),
    [[missing, 'ENOENT']],
  );
  rmSync(folder, { recursive: true });
});

for (const [path, code, expected] of [
  ['/proc/sys/net/netfilter/nf_conntrack_max', 'ENOENT', true],
  ['/proc/sys/net/netfilter/nf_conntrack_max', 'EROFS', false],
  ['/sys/module/nf_conntrack/parameters/hashsize', 'EROFS', true],
  ['/sys/module/nf_conntrack/parameters/hashsize', 'ENOENT', true],
  ['/sys/module/nf_conntrack/parameters/hashsize', 'EACCES', false],
  ['/proc/sys/net/ipv4/ip_forward', 'ENOENT', false],
  ['/proc/sys/net/ipv4/ip_forward', 'EROFS', false],
] as const) {
  test(`--init-only ${expected ? 'goes on' : 'ends'} after ${code} of ${path}`, () => {
    const error = Object.assign(new Error(code), { code });
    assert.equal(isTolerable({ setting: { path, value: 1 }, error }), expected);
  });
}
