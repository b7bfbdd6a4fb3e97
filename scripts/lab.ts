// SPDX-License-Identifier: Apache-2.0
// npm run lab: makes a lab of network namespaces, shows it, runs programs in it and removes it.
import { spawnSync } from 'node:child_process';
import { Command, Option } from 'commander';
import { BpvsError } from '../src/errors.ts';
import { clusterRange, externalRange, segment } from '../test/lib/cast.ts';
import { type Wiring, wirings } from '../test/lib/cni.ts';
import type { Host } from '../test/lib/host.ts';
import { Lab, removeLab } from '../test/lib/lab.ts';

interface Options {
  readonly name: string;
}

const program = new Command('npm run lab --')
  .description(
    'An outside client, two nodes and their pods as network namespaces, wired by real CNI plugins.',
  )
  .enablePositionalOptions()
  .showHelpAfterError();

verb('setup', 'make the lab, after removing one of the same name')
  .addOption(new Option('--cni <plugin>', 'how pods are wired').choices(wirings).default('ptp'))
  .option('--pods <count>', 'pods on each node', Number, 3)
  .action(async ({ name, cni, pods }: Options & { readonly cni: Wiring; readonly pods: number }) => {
    const lab = await Lab.create({ name, cni, podsPerNode: pods });
    lab.keep();
    process.stdout.write(picture(lab));
  });

verb('status', 'show the machines and their addresses').action(async ({ name }: Options) => {
  process.stdout.write(picture(await Lab.open(name)));
});

verb('enter', 'open a shell on a machine')
  .argument('<machine>', 'client, node1, n1-pod1, …')
  .action((machine: string, { name }: Options) =>
    runInside(name, machine, ['env', `PS1=${name}-${machine}# `, 'bash', '--norc', '-i']),
  );

verb('exec', 'run a program on a machine')
  .argument('<machine>')
  .argument('<argv...>')
  .passThroughOptions()
  .action((machine: string, argv: string[], { name }: Options) =>
    runInside(name, machine, argv[0] === '--' ? argv.slice(1) : argv),
  );

verb('ping', 'ping a machine, in both families, or an address')
  .argument('<from>')
  .argument('<to>', 'machine or address')
  .action(async (from: string, to: string, { name }: Options) => {
    const lab = await Lab.open(name);
    const isAddress = /[.:]/.test(to);
    const targets = isAddress ? [to] : Object.values(lab.host(to).addresses);
    for (const target of targets)
      attach(lab.host(from), ['ping', '-n', '-c', '3', '-i', '0.2', '-W', '1', target]);
  });

verb('capture', 'show the packets that a machine sees, until interrupted')
  .argument('<machine>')
  .argument('[filter...]', 'a pcap filter: tcp port 80')
  .option('--device <name>', 'the device to listen on', 'any')
  .action((machine: string, filter: string[], { name, device }: Options & { readonly device: string }) =>
    runInside(name, machine, ['tcpdump', '-Z', 'root', '-n', '-l', '-i', device, ...filter]),
  );

verb('teardown', 'remove the lab, a half-made one too').action(({ name }: Options) => removeLab(name));

try {
  await program.parseAsync();
} catch (error) {
  if (!(error instanceof BpvsError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}

function verb(name: string, description: string): Command {
  return program.command(name).description(description).option('--name <lab>', 'which lab', 'lab');
}

async function runInside(name: string, machine: string, argv: readonly string[]): Promise<void> {
  const lab = await Lab.open(name);
  attach(lab.host(machine), argv);
}

/** Runs a program on this terminal; its exit code becomes ours if it is not 0. */
function attach(host: Host, argv: readonly string[]): void {
  const [file = '', ...rest] = host.command(argv);
  process.once('SIGINT', () => {}); // the terminal's interrupt is for the program
  const { status, error } = spawnSync(file, rest, { stdio: 'inherit' });
  if (error) throw error;
  if (status !== 0) process.exitCode = status ?? 1;
}

function picture(lab: Lab): string {
  const line = (indent: string, host: Host, extra = '') =>
    `${(indent + host.name).padEnd(18)}${host.addresses.v4.padEnd(15)}${host.addresses.v6.padEnd(22)}${extra}`;
  const lines = lab.nodes.flatMap((node, i) => {
    const isLast = i === lab.nodes.length - 1;
    const trunk = isLast ? '   ' : '│  ';
    const pods = node.pods.map((pod, j) =>
      line(`${trunk}${j === node.pods.length - 1 ? '└─ ' : '├─ '}`, pod, `on ${node.name} ${pod.hostDevice}`),
    );
    return [line(isLast ? '└─ ' : '├─ ', node, 'eth0'), ...pods];
  });
  return [
    `lab "${lab.name}": pods wired by ${lab.cni}; namespaces are called ${lab.name}-MACHINE`,
    '',
    line('', lab.client, `eth0, reaches ${clusterRange.v4} ${externalRange.v4} via node1`),
    `│  ${`segment`.padEnd(15)}${segment.v4.padEnd(15)}${segment.v6}`,
    ...lines,
    '',
  ].join('\n');
}
