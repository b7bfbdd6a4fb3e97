// SPDX-License-Identifier: Apache-2.0
// bpvs cleanup: everything that BPVS put on the node goes.
import { Command } from 'commander';
import { BpvsError } from '../../errors.ts';
import { type CommandOutput, pinDirectoryOption } from './common.ts';

interface CleanupOptions {
  readonly pinDir: string;
  readonly kubeProxy?: boolean;
}

export function cleanupCommand(io: CommandOutput): Command {
  return new Command('cleanup')
    .description('remove everything that BPVS put on this node: attachments, programs, maps and connections')
    .addOption(pinDirectoryOption())
    .option(
      '--kube-proxy',
      'also what a kube-proxy left here: its nftables tables, iptables chains, ipsets, its device and virtual services',
    )
    .action((options: CleanupOptions) => cleanUp(options, io));
}

/** Refuses while a daemon runs, which would only put it back. Throws BpvsError, also after all else for what could not be removed. */
export async function cleanUp({ pinDir, kubeProxy }: CleanupOptions, io: CommandOutput): Promise<void> {
  const { daemonOf } = await import('../daemon-lock.ts');
  const pid = await daemonOf(pinDir);
  if (pid !== undefined) {
    throw new BpvsError('BPVS_RUNNING', `\`bpvs run\` (process ${pid}) still serves ${pinDir}: end it first`);
  }
  const { removeDataPlane } = await import('../../dataplane/bpf/cleanup.ts');
  const { links, classifiers, programs, maps } = removeDataPlane(pinDir);
  const isNothing = links + classifiers + programs + maps === 0;
  io.stdout(
    isNothing
      ? `nothing of BPVS at ${pinDir}\n`
      : `removed from ${pinDir}: ${links} links, ${classifiers} tc filters, ${programs} programs, ${maps} maps\n`,
  );
  if (kubeProxy) await cleanUpKubeProxy(io);
}

async function cleanUpKubeProxy(io: CommandOutput): Promise<void> {
  const { removeKubeProxyLeftovers } = await import('../kube-proxy-leftovers.ts');
  const outcomes = removeKubeProxyLeftovers();
  for (const { what, result, reason } of outcomes)
    io.stdout(reason === undefined ? `${result} ${what}\n` : `${result}: ${what}: ${reason}\n`);
  if (outcomes.every(({ result }) => result === 'not looked for')) io.stdout('nothing of kube-proxy\n');
  const failures = outcomes.filter(({ result }) => result === 'not removed').length;
  if (failures > 0) {
    throw new BpvsError(
      'BPVS_LEFTOVERS',
      `${failures} of kube-proxy's leftovers could not be removed, see above`,
    );
  }
}
