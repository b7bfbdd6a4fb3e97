// SPDX-License-Identifier: Apache-2.0
// What a process takes with it when it ends early: its lab, and the daemon there with all that it has on the machine.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { suite, test } from 'node:test';
import { findCgroupRoot } from '../../src/agent/cgroup.ts';
import { missingForLab } from '../lib/lab.ts';

const lab = new URL('../lib/lab.ts', import.meta.url);
const daemon = new URL('../lib/daemon.ts', import.meta.url);

const endings = {
  SIGINT: { says: 'that is ended by SIGINT', line: '', code: 130 },
  SIGTERM: { says: 'that is ended by SIGTERM', line: '', code: 143 },
  exception: { says: 'that an exception ends', line: "throw new Error('on purpose')", code: 1 },
} as const;

suite('a process that ends early', { skip: missingForLab() ?? false }, () => {
  for (const [ending, { says, line, code }] of Object.entries(endings)) {
    test(`a process ${says} takes its lab and the daemon there with it`, async () => {
      const name = `test-owned-${ending.toLowerCase()}`;
      const program = `
        const { Lab } = await import('${lab}');
        const { NodeAgent } = await import('${daemon}');
        const lab = await Lab.create({ name: '${name}', podsPerNode: 1 });
        const agent = new NodeAgent(lab, lab.nodes[0]);
        await agent.start();
        agent.host.spawn(['sleep', '1000']);
        process.stdin.once('data', () => { ${line} });
        console.log('stands');`;
      const child = spawn(process.execPath, ['--input-type=module', '--eval', program]);
      await once(child.stdout, 'data');
      assert.deepEqual(kinds(name), ['control group', 'lab', 'manifests', 'namespaces', 'pins']);
      if (line) child.stdin.write('\n');
      else child.kill(ending as NodeJS.Signals);
      const [status] = await once(child, 'close');
      assert.equal(status, code);
      assert.deepEqual(kinds(name), []);
    });
  }
});

/** Kinds of things on the machine that have this lab's name. */
function kinds(name: string): readonly string[] {
  const places = {
    'control group': findCgroupRoot(),
    lab: '/run/bpvs-lab',
    manifests: tmpdir(),
    namespaces: '/run/netns',
    pins: '/sys/fs/bpf',
  };
  return Object.entries(places).flatMap(([kind, folder]) =>
    readdirSync(folder).some((entry) => entry.includes(name)) ? [kind] : [],
  );
}
