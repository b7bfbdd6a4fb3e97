// SPDX-License-Identifier: Apache-2.0
// bpvs cleanup: everything that BPVS put on the node goes.
import { Command } from 'commander';
import { BpvsError } from '../../errors.ts';
import { type CommandOutput, pinDirectoryOption } from './common.ts';

interface CleanupOptions {
  readonly pinDir: string;
}

/** Refuses while a daemon runs, which would only put it back. */
export function cleanupCommand(io: CommandOutput): Command {
  return new Command('cleanup')
    .description('remove everything that BPVS put on this node: attachments, programs, maps and connections')
    .addOption(pinDirectoryOption())
    .action(async ({ pinDir }: CleanupOptions) => {
      const { daemonOf } = await import('../daemon-lock.ts');
      const pid = await daemonOf(pinDir);
      if (pid !== undefined) {
        throw new BpvsError(
          'BPVS_RUNNING',
          `\`bpvs run\` (process ${pid}) still serves ${pinDir}: end it first`,
        );
      }
      const { removeDataPlane } = await import('../../dataplane/bpf/cleanup.ts');
      const { links, classifiers, programs, maps } = removeDataPlane(pinDir);
      const isNothing = links + classifiers + programs + maps === 0;
      io.stdout(
        isNothing
          ? `nothing of BPVS at ${pinDir}\n`
          : `removed from ${pinDir}: ${links} links, ${classifiers} tc filters, ${programs} programs, ${maps} maps\n`,
      );
    });
}
