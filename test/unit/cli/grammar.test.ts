// SPDX-License-Identifier: Apache-2.0
// The command line's grammar where the recordings of ipvsadm have no example.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CommandLine, parseCommandLine } from '../../../src/cli/grammar.ts';
import type { Resolver } from '../../../src/cli/names.ts';
import { UsageError } from '../../../src/cli/usage-error.ts';

const resolver: Resolver = {
  hostAddress: async (name) => (name === 'web' ? '10.96.0.1' : undefined),
  portNumber: (name, protocol) => (name === 'domain' && protocol === 'udp' ? 53 : undefined),
};

const parse = (text: string): Promise<CommandLine> => parseCommandLine(text.split(' '), 'bpvsadm', resolver);

test('options may be bundled, joined to their value, and written long', async () => {
  for (const text of [
    '-At10.0.0.1:80 -srr',
    '-A -t=10.0.0.1:80 -s=rr',
    '--add-service --tcp-service=10.0.0.1:80 --scheduler rr',
  ]) {
    const { command, settings } = await parse(text);
    assert.equal(command, 'add-service', text);
    assert.deepEqual(settings.service, { protocol: 'tcp', address: '10.0.0.1', port: 80 }, text);
    assert.equal(settings.scheduler, 'rr', text);
  }
});

test('-p takes the next word unless it begins with a dash', async () => {
  assert.equal((await parse('-A -t 10.0.0.1:80 -p 60')).settings.persistentSeconds, 60);
  assert.equal((await parse('-A -t 10.0.0.1:80 -p60')).settings.persistentSeconds, 60);
  assert.equal((await parse('-A -t 10.0.0.1:80 -p')).settings.persistentSeconds, 360);
  const line = await parse('-A -t 10.0.0.1:80 -p -s rr');
  assert.equal(line.settings.persistentSeconds, 360);
  assert.equal(line.settings.scheduler, 'rr');
});

test('addresses are read as ipvsadm reads them', async () => {
  const rows: [string, string, number][] = [
    ['web:domain', '10.96.0.1', 53],
    ['0x7f000001:1', '127.0.0.1', 1],
    ['010.1:1', '8.0.0.1', 1],
    ['10.1.258:1', '10.1.1.2', 1],
    ['[fd00:0::1]:1', 'fd00::1', 1],
  ];
  for (const [text, address, port] of rows) {
    const { settings } = await parse(`-L -u ${text}`);
    assert.deepEqual(settings.service, { protocol: 'udp', address, port }, text);
  }
});

test('an address without a port has port 0, and in brackets IPv4 loses its port', async () => {
  for (const text of ['fd00::1', '[10.0.0.1]:80', '10.0.0.1']) {
    const { settings } = await parse(`-D -t ${text}`);
    assert.equal(settings.service && 'port' in settings.service && settings.service.port, 0, text);
  }
});

test("a real server takes the service's port where it has none, and always when it is reached by a tunnel", async () => {
  assert.equal((await parse('-a -t 10.0.0.1:80 -r 10.1.0.1 -m')).settings.server?.port, 80);
  assert.equal((await parse('-a -t 10.0.0.1:80 -r 10.1.0.1:8080 -m')).settings.server?.port, 8080);
  assert.equal((await parse('-a -t 10.0.0.1:80 -r 10.1.0.1:8080 -i')).settings.server?.port, 80);
  assert.equal((await parse('-a -f 5 -r 10.1.0.1:8080 -i')).settings.server?.port, 8080);
});

test('help is answered whatever follows it', async () => {
  assert.equal((await parse('-h -Q extra')).command, 'help');
});

test('a command line that is wrong is refused with the message and status of ipvsadm', async () => {
  const rows: [string, number, string][] = [
    ['-Lnq', 255, '-Lnq: unknown option'],
    ['-L --numeric=1', 255, '--numeric=1: option does not take an argument'],
    ['-L --tcp-serv 10.0.0.1:80', 255, '--tcp-serv: unknown option'],
    ['-Ln -n', 2, "multiple 'numeric' options specified"],
    ['-L -- -n', 2, 'unexpected argument -n'],
    ['extra -L', 2, 'unexpected argument extra'],
    ['-L -t 80', 2, 'illegal virtual server address[:port] specified'],
    ['-L -t [fd00::1]', 2, 'illegal virtual server address[:port] specified'],
    ['-L --daemon --persistent-conn', 2, 'options conflicts in the list command'],
    ['-A -t 10.0.0.1:80 -b sh-port', 2, "incompatible scheduler flag `sh-port'"],
    ['-A -t 10.0.0.1:80 -s sh -b sh-port,flag-9', 2, "invalid scheduler flag `flag-9'"],
    ['-A -t 10.0.0.1:80 -p -M no.mask', 2, 'illegal virtual server persistent mask specified'],
    [
      '-a -t 10.0.0.1:80 -r 10.1.0.1 -i --tun-port 1',
      2,
      "Illegal 'tun-port' option with the 'ipip' tunnel type",
    ],
    [
      '-a -t 10.0.0.1:80 -r 10.1.0.1 -i --tun-type gre --tun-csum --tun-nocsum',
      2,
      "The option 'tun-csum' conflicts with the 'tun-nocsum' option in the 'gre' tunnel type",
    ],
    ['--stop-daemon nobody', 2, 'illegal start_daemon specified'],
    ['--start-daemon backup --sync-maxlen 0', 2, 'illegal sync-maxlen specified'],
    ['--start-daemon backup --mcast-group 10.0.0.1', 2, "invalid IPv4 mcast-group `10.0.0.1'"],
    ['--start-daemon backup --mcast-group fe80::1', 2, "invalid IPv6 mcast-group `fe80::1'"],
    ['-n -L', 255, "Try `bpvsadm -h' or 'bpvsadm --help' for more information."],
  ];
  for (const [text, status, message] of rows) {
    await assert.rejects(parse(text), (error) => {
      assert.ok(error instanceof UsageError, text);
      assert.deepEqual([text, error.status, error.message], [text, status, message]);
      return true;
    });
  }
});
