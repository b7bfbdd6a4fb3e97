// SPDX-License-Identifier: Apache-2.0
// bpvs render: the virtual services that a node would have, from manifests alone.
import { Command, CommanderError, Option } from 'commander';
import { dump } from 'js-yaml';
import { formatSave } from '../../cli/format-save.ts';
import { InputError } from '../../errors.ts';
import { ManifestStore, type Scan } from '../../kube/manifest-store.ts';
import type { VirtualService } from '../../model/virtual-service.ts';
import { nodeView } from '../../plan/node-view.ts';
import { plan } from '../../plan/plan.ts';
import { formatRemark, remarks } from '../remarks.ts';

/** Where a command writes; each call is a piece of text with its line ends. */
export interface CommandOutput {
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
}

type OutputFormat = 'ipvsadm' | 'json' | 'yaml';

interface RenderOptions {
  readonly manifests: string;
  readonly node: string;
  readonly output: OutputFormat;
}

const formats: Record<OutputFormat, (services: readonly VirtualService[]) => string> = {
  ipvsadm: (services) =>
    formatSave(services)
      .map((line) => `${line}\n`)
      .join(''),
  json: (services) => `${JSON.stringify(services, null, 2)}\n`,
  yaml: (services) => dump(services, { noRefs: true }),
};

/**
 * Prints to `io.stdout` what was asked for, to `io.stderr` one line for each problem, conflict and warning.
 * Exit codes: 0; 1 if a manifest was invalid (the rest is printed); 2 for wrong usage, an unreadable folder included.
 */
export function renderCommand(io: CommandOutput): Command {
  return new Command('render')
    .description('print the virtual services that a node would have, without touching the kernel')
    .requiredOption(
      '--manifests <dir>',
      'folder of Service, EndpointSlice and Node manifests (*.yaml, *.yml, *.json)',
    )
    .requiredOption('--node <name>', 'name of the node to plan for')
    .addOption(
      new Option('-o, --output <format>', 'how to print them')
        .choices(Object.keys(formats))
        .default('ipvsadm'),
    )
    .addHelpText('after', '\nExit codes: 0 all well, 1 some manifest was invalid, 2 wrong usage.')
    .configureOutput({ writeOut: io.stdout, writeErr: io.stderr })
    .exitOverride((error) => {
      throw new CommanderError(error.exitCode === 0 ? 0 : 2, error.code, error.message);
    })
    .action(async (options: RenderOptions, command: Command) => {
      try {
        process.exitCode = await render(options, io);
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
        command.error(`error: ${error.message}`);
      }
    });
}

async function render(options: RenderOptions, io: CommandOutput): Promise<number> {
  const { objects, problems } = await read(options.manifests);
  const node = objects.nodes.find((each) => each.name === options.node);
  const desired = plan(objects, nodeView(options.node, node?.addresses ?? [], node), {
    families: [4, 6],
    scheduler: 'rr',
    nodePortAddresses: [],
  });
  for (const line of [...problems, ...remarks(desired).map(formatRemark)]) io.stderr(`${line}\n`);
  if (!node) io.stderr(`no Node ${options.node} among the manifests: node ports are left out\n`);
  io.stdout(formats[options.output](desired.services));
  return problems.length > 0 ? 1 : 0;
}

async function read(directory: string): Promise<Scan> {
  try {
    return await new ManifestStore(directory).scan();
  } catch (error) {
    throw new InputError(`Expected a readable folder for --manifests but received "${directory}"`, {
      cause: error,
    });
  }
}
