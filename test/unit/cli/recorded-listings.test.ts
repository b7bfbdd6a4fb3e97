// SPDX-License-Identifier: Apache-2.0
// bpvsadm against recordings of the real ipvsadm 1.31 (test/oracle/listings): the same commands, the same texts.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { type Io, main } from '../../../src/cli/bpvsadm.ts';
import { type Names, numericNames, type Resolver, ServiceTable } from '../../../src/cli/names.ts';
import { MemoryDataPlane } from '../../../src/dataplane/memory/memory-data-plane.ts';
import { readConnections, readNumbers } from './recorded-numbers.ts';
import { RecordedState } from './recorded-state.ts';

interface Step {
  readonly cmd?: string;
  readonly stdout?: string;
  readonly stderr?: string;
  readonly rc?: number;
  readonly stdin?: string;
  readonly as_user?: number;
  readonly note?: string;
  readonly text?: string;
  readonly file?: string;
}

interface Group {
  readonly name: string;
  readonly about: string;
  readonly steps: readonly Step[];
}

/** What the recordings hold that bpvsadm does not print. The first that fits a command counts. */
const notPrinted: readonly (readonly [pattern: RegExp, reason: string])[] = [
  [/ (-S|-R)\b/, 'saving and restoring'],
  [/ (-h|--help|-v|--version)$/, 'texts of our own'],
  [/ --daemon\b/, 'synchronization daemons'],
  [/^ipvsadm -L --thresholds$/, 'thresholds with counts that no numeric listing tells'],
  [/ --tun-info\b/, 'tunnel types'],
];

const listing = /^ipvsadm$|^ipvsadm (-[Ll]|--list)/;

for (const plan of ['a', 'b']) {
  const url = new URL(`../../oracle/listings/${plan}.json`, import.meta.url);
  const { groups }: { groups: readonly Group[] } = JSON.parse(readFileSync(url, 'utf8'));
  for (const group of groups) {
    test(`bpvsadm answers as ipvsadm did: ${group.name}/${plan}, ${group.about}`, async (t) => {
      const replay = new Replay(group);
      for (const [i, step] of group.steps.entries()) await replay.step(step, i);
      t.diagnostic(`${replay.compared} texts compared`);
      for (const [reason, count] of replay.skipped) t.diagnostic(`${count} skipped: ${reason}`);
      assert.ok(replay.compared > 0 || group.name === 'module-missing', 'nothing was compared');
    });
  }
}

class Replay {
  compared = 0;
  readonly skipped = new Map<string, number>();
  readonly #state = new RecordedState();
  readonly #steps: readonly Step[];
  #hosts = '';
  /** Ports that the recording machine had names for. */
  #services = 'http 80/tcp\nhttps 443/tcp\nhttp-alt 8080/tcp\ndomain 53/udp\n';

  constructor(group: Group) {
    this.#steps = group.steps;
  }

  async step(step: Step, index: number): Promise<void> {
    if (step.note === '/etc/hosts holds') this.#hosts = step.text ?? '';
    if (step.note === '/etc/services holds') this.#services = step.text ?? '';
    if (step.cmd === undefined) return;
    if (step.as_user !== undefined || step.stderr?.includes("Can't initialize"))
      return this.#skip('no IPVS, no rights');
    if (step.rc === 0 && listing.test(step.cmd)) return this.#compareListing(step, step.cmd, index);
    if (step.rc === 0) {
      await this.#state.apply(wordsOf(step.cmd), step.stdin ?? '', this.#resolver());
      return;
    }
    await this.#compareRefusal(step, step.cmd);
  }

  async #compareListing(step: Step, cmd: string, index: number): Promise<void> {
    const reason = notPrinted.find(([pattern]) => pattern.test(cmd))?.[1];
    if (reason && !/ -\w*c/.test(cmd)) return this.#skip(reason);
    const recorded = step.stdout ?? '';
    const names = / -\w*n|--numeric/.test(cmd) ? numericNames : this.#names();
    const uncovered = this.#state.uncoveredNames(names);
    const isOne = / (-t|-u|-f) /.test(cmd);
    if (isOne && uncovered.some((name) => recorded.split('\n')[2]?.startsWith(name))) {
      return this.#skip('one service with a persistence engine, or with a strange mask');
    }
    const { kept, left } = withoutUncovered(recorded, uncovered);
    if (left > 0) this.#skip('lines of services with persistence engines or strange masks', left);
    const { status, stdout, stderr } = await this.#run(cmd, this.#moment(index));
    assert.equal(stderr, '', cmd);
    // The hash order is the kernel's own, and with 224.0.0.1 the sorted order depends on it.
    const isUnordered = cmd.includes('--nosort') || recorded.includes('TCP  224.0.0.1:');
    assert.equal(isUnordered ? sortedBlocks(stdout) : stdout, isUnordered ? sortedBlocks(kept) : kept, cmd);
    assert.equal(status, 0, cmd);
    this.compared++;
  }

  async #compareRefusal(step: Step, cmd: string): Promise<void> {
    if (/ -R\b/.test(cmd) && step.stdin !== undefined) {
      await this.#state.apply(wordsOf(cmd), step.stdin, this.#resolver());
      return this.#skip('saving and restoring');
    }
    const { status, stderr } = await this.#run(cmd, []);
    const isByKernel =
      step.rc === 255 &&
      !/ -Z\b/.test(cmd) &&
      !/^Try |: (unknown option|missing argument)/.test(step.stderr ?? '');
    if (isByKernel) {
      // The grammar has nothing against it; to carry it out is not ours.
      assert.match(stderr, /changes no virtual services/, cmd);
      assert.equal(status, 1, cmd);
      return this.#skip('refusals of the kernel');
    }
    assert.deepEqual({ cmd, status, stderr }, { cmd, status: step.rc, stderr: step.stderr });
    this.compared++;
  }

  /** The listings that show the same moment as the one at `index`: nothing was done between. */
  #moment(index: number): readonly Step[] {
    const isStill = (step: Step | undefined) =>
      step !== undefined &&
      (step.file !== undefined || (step.cmd !== undefined && (step.rc !== 0 || listing.test(step.cmd))));
    let [first, last] = [index, index];
    while (isStill(this.#steps[first - 1])) first--;
    while (isStill(this.#steps[last + 1])) last++;
    const self = this.#steps[index];
    return [...this.#steps.slice(first, last + 1).filter((step) => step !== self), ...(self ? [self] : [])];
  }

  async #run(cmd: string, moment: readonly Step[]) {
    let [stdout, stderr] = ['', ''];
    const io: Io = {
      program: 'ipvsadm',
      stdout: (text) => {
        stdout += text;
      },
      stderr: (text) => {
        stderr += text;
      },
      lookUpNames: async () => this.#names(),
      resolver: this.#resolver(),
    };
    const view = {
      services: () => readNumbers(this.#state.services(), moment),
      connections: () => readConnections(moment),
      connectionTableSize: 4096,
      timeouts: () => this.#state.timeouts.timeouts(),
    };
    const status = await main(wordsOf(cmd), io, async () => Object.assign(new MemoryDataPlane(), view));
    return { status, stdout, stderr };
  }

  #names(): Names {
    const hosts = new Map(this.#hostLines().map(([address = '', name = '']) => [address, name]));
    const services = new ServiceTable(this.#services);
    return { host: (address) => hosts.get(address), port: (port, protocol) => services.name(port, protocol) };
  }

  #resolver(): Resolver {
    const services = new ServiceTable(this.#services);
    return {
      hostAddress: async (host) =>
        this.#hostLines().find(([address, ...names]) => !address?.includes(':') && names.includes(host))?.[0],
      portNumber: (name, protocol) => services.port(name, protocol),
    };
  }

  #hostLines(): readonly string[][] {
    return this.#hosts.split('\n').map((line) => line.split(/\s+/));
  }

  #skip(reason: string, count = 1): void {
    this.skipped.set(reason, (this.skipped.get(reason) ?? 0) + count);
  }
}

function wordsOf(cmd: string): readonly string[] {
  return cmd.split(' ').slice(1);
}

/** Leaves out the services that `uncovered` begins, with their real servers. */
function withoutUncovered(text: string, uncovered: readonly string[]): { kept: string; left: number } {
  let isLeft = false;
  const lines = text.split('\n');
  const kept = lines.filter((line) => {
    if (!line.startsWith('  ->')) {
      isLeft = uncovered.some((name) => `${line} `.startsWith(`${name} `));
    }
    return !isLeft;
  });
  return { kept: kept.join('\n'), left: lines.length - kept.length };
}

function sortedBlocks(text: string): string {
  return text
    .split(/\n(?! )/)
    .toSorted()
    .join('\n');
}
