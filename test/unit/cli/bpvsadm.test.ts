// SPDX-License-Identifier: Apache-2.0
// The command itself: exit statuses, what happens without a data plane, and names of this machine.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Io, main, type OpenView } from '../../../src/cli/bpvsadm.ts';
import { lookUpNames, numericNames, ServiceTable, systemResolver } from '../../../src/cli/names.ts';
import { MemoryDataPlane } from '../../../src/dataplane/memory/memory-data-plane.ts';
import { EnvironmentError, SystemError } from '../../../src/errors.ts';

const program = fileURLToPath(new URL('../../../src/cli/bpvsadm.ts', import.meta.url));

test('without a data plane a listing ends with status 2 and names the remedy', async () => {
  const openView = () => Promise.reject(new EnvironmentError('nothing is pinned in /sys/fs/bpf/bpvs'));
  assert.deepEqual(await run('-Ln', openView), {
    status: 2,
    stdout: '',
    stderr:
      "Can't initialize ipvs: nothing is pinned in /sys/fs/bpf/bpvs\nIs BPVS running on this node? `bpvs run` starts it.\n",
  });
});

test('without the right to read the maps a listing says what ipvsadm says', async () => {
  const openView = () =>
    Promise.reject(new SystemError('bpf_obj_get services', 1, 'EPERM', 'bpf_obj_get: EPERM'));
  const { status, stderr } = await run('-Ln', openView);
  assert.equal(status, 2);
  assert.match(stderr, /^Can't initialize ipvs: Permission denied \(you must be root\)\n/);
});

test('a listing that cannot be fetched ends with status 1', async () => {
  const view = new MemoryDataPlane();
  view.services = () => {
    throw new SystemError('bpf_map_lookup_batch', 5, 'EIO', 'reading services failed: EIO');
  };
  const openView: OpenView = async () => view;
  assert.deepEqual(await run('-Ln', openView), {
    status: 1,
    stdout: '',
    stderr: 'reading services failed: EIO\n',
  });
});

test('a command that changes virtual services is refused by name with status 1', async () => {
  for (const [words, name] of [
    ['-C', 'flush'],
    ['-S -n', 'save'],
    ['-A -t 10.0.0.1:80', 'add-service'],
  ] as const) {
    const { status, stdout, stderr } = await run(words);
    assert.deepEqual([status, stdout], [1, ''], words);
    assert.match(
      stderr,
      new RegExp(`^${name}: this version of bpvsadm changes no virtual services; .*\n$`),
      words,
    );
  }
});

test('--set changes the timeouts that are not 0, --timeout shows them', async () => {
  const view = new MemoryDataPlane();
  const shown = async () => (await run('-L --timeout', async () => view)).stdout;
  assert.equal(await shown(), 'Timeout (tcp tcpfin udp): 900 120 300\n');
  assert.deepEqual(await run('--set 1000 0 30', async () => view), { status: 0, stdout: '', stderr: '' });
  assert.equal(await shown(), 'Timeout (tcp tcpfin udp): 1000 120 30\n');
});

test('-Z of a service that is not there ends with status 255', async () => {
  const view = new MemoryDataPlane();
  const refused = { status: 255, stdout: '', stderr: 'No such service\n' };
  assert.deepEqual(await run('-Z -t 10.96.0.10:80', async () => view), refused);
  const service = { protocol: 'tcp', address: '10.96.0.10', port: 80 } as const;
  view.apply([
    {
      do: 'add-service',
      service: { ...service, scheduler: 'rr', schedulerFlags: [], noDestination: 'reject' },
    },
  ]);
  for (const words of ['-Z -t 10.96.0.10:80', '-Z']) {
    assert.deepEqual(await run(words, async () => view), { status: 0, stdout: '', stderr: '' });
  }
});

test('the view is closed after the listing', async () => {
  let closed = 0;
  const view = new MemoryDataPlane();
  view.close = () => {
    closed++;
  };
  const { stdout } = await run('-Ln', async () => view);
  assert.match(stdout, /^IP Virtual Server version 1\.2\.1 \(size=0\)\n/);
  assert.equal(closed, 1);
});

test('help and version need neither a data plane nor root', () => {
  for (const [option, text] of [
    ['--help', 'Usage:'],
    ['-v', 'bpvsadm v'],
  ] as const) {
    const { status, stdout, stderr } = spawnSync(process.execPath, [program, option], { encoding: 'utf8' });
    assert.deepEqual([status, stderr], [0, ''], option);
    assert.ok(stdout.includes(text), option);
  }
});

test('a wrong command line ends the process with the status of ipvsadm', () => {
  const { status, stderr } = spawnSync(process.execPath, [program, '-Q'], { encoding: 'utf8' });
  assert.deepEqual([status, stderr], [255, "Try `bpvsadm -h' or 'bpvsadm --help' for more information.\n"]);
});

test('the first line of /etc/services that names a port counts, for its protocol only', () => {
  const table = new ServiceTable('# ports\nhttp 80/tcp www # web\nwww 80/tcp\ndomain\t53/udp\n\n');
  assert.equal(table.name(80, 'tcp'), 'http');
  assert.equal(table.name(80, 'udp'), undefined);
  assert.equal(table.name(53, 'udp'), 'domain');
  assert.equal(table.port('www', 'tcp'), 80);
  assert.equal(table.port('domain', 'tcp'), undefined);
});

test('names are looked up where the machine looks them up', async () => {
  const names = await lookUpNames(['127.0.0.1', '127.0.0.1']);
  assert.equal(names.host('127.0.0.1'), 'localhost');
  assert.equal(await systemResolver().hostAddress('localhost'), '127.0.0.1');
});

async function run(words: string, openView: OpenView = () => Promise.reject(new Error('not to be opened'))) {
  let [stdout, stderr] = ['', ''];
  const io: Io = {
    program: 'bpvsadm',
    stdout: (text) => {
      stdout += text;
    },
    stderr: (text) => {
      stderr += text;
    },
    lookUpNames: async () => numericNames,
    resolver: systemResolver(),
  };
  const status = await main(words.split(' '), io, openView);
  return { status, stdout, stderr };
}
