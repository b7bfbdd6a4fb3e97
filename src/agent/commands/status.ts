// SPDX-License-Identifier: Apache-2.0
// bpvs status: what of BPVS is on the node, and what it is doing.
import { Command, Option } from 'commander';
import type { DataPlaneStatus, DeviceStatus } from '../../dataplane/bpf/status.ts';
import { type CommandOutput, pinDirectoryOption } from './common.ts';

interface StatusOptions {
  readonly output: 'text' | 'json';
  readonly pinDir: string;
}

export interface NodeStatus extends DataPlaneStatus {
  readonly pinDirectory: string;
  /** The process id of the daemon; null where none runs. */
  readonly daemon: number | null;
}

export function statusCommand(io: CommandOutput): Command {
  return new Command('status')
    .description('show the data plane of this node: attachments, tables, connections and counters')
    .addOption(
      new Option('-o, --output <format>', 'how to print it').choices(['text', 'json']).default('text'),
    )
    .addOption(pinDirectoryOption())
    .action(async ({ output, pinDir }: StatusOptions) => {
      const { readStatus } = await import('../../dataplane/bpf/status.ts');
      const { daemonOf } = await import('../daemon-lock.ts');
      const status = {
        pinDirectory: pinDir,
        daemon: (await daemonOf(pinDir)) ?? null,
        ...readStatus(pinDir),
      };
      io.stdout(output === 'json' ? `${JSON.stringify(status, null, 2)}\n` : formatStatus(status));
    });
}

export function formatStatus(status: NodeStatus): string {
  const { tables } = status;
  const list = (counts: Readonly<Record<string, number>>) =>
    Object.entries(counts)
      .map(([name, count]) => `${name} ${count}`)
      .join(', ') || 'none';
  const { missingForSocketExpiry: missing } = status;
  const rows = [
    ['data plane', `bpf, pinned at ${status.pinDirectory}, layout ${status.layoutVersion}`],
    ['daemon', status.daemon === null ? 'not running' : `process ${status.daemon}`],
    ['devices', status.devices.map(formatDevice).join(', ') || 'none'],
    [
      'sockets',
      status.cgroups.map(({ programs, id }) => `${programs} programs at cgroup ${id}`).join(', ') || 'none',
    ],
    ...(missing === null ? [] : [['', `they keep destinations that are removed: ${missing}`]]),
    ...Object.entries(tables).map(([name, { used, size }]) => [name, `${used} of ${size}`]),
    ['states', list(status.states)],
    ['counted', formatCounted(status.counted)],
    ['packets', list(status.reasons)],
  ];
  return rows.map(([name = '', value = '']) => `${name.padEnd(14)}${value}\n`).join('');
}

function formatCounted(counted: NodeStatus['counted']): string {
  const { connections, inPackets, inBytes, outPackets, outBytes } = counted;
  return `${connections} connections, in ${inPackets} packets, ${inBytes} bytes, out ${outPackets} packets, ${outBytes} bytes`;
}

function formatDevice({ name, hook, hasXdp, xdpRefusal }: DeviceStatus): string {
  const xdp = hasXdp ? ', XDP' : xdpRefusal === null ? '' : `, no XDP: ${xdpRefusal}`;
  return `${name} (${hook}${xdp})`;
}
