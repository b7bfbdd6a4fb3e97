// SPDX-License-Identifier: Apache-2.0
// bpvs run: the daemon, for an API server or a folder of manifests.
import { hostname } from 'node:os';
import { Command, Option } from 'commander';
import { defaultTimeouts } from '../../dataplane/bpf/options.ts';
import { knownSchedulers } from '../../dataplane/bpf/schedulers.ts';
import { InputError } from '../../errors.ts';
import { parseSchedulerFlag, type SchedulerFlag, type SchedulerName } from '../../model/scheduler.ts';
import type { ClusterLocation } from '../cluster-source.ts';
import type { DaemonOptions } from '../daemon.ts';
import { createLog } from '../log.ts';
import { serve } from '../serve.ts';
import type { CommandOutput } from './common.ts';
import { addNodeOptions, type NodeOptionValues, nodeOptions, seconds } from './node-options.ts';

interface RunOptions extends NodeOptionValues {
  readonly manifests?: string;
  readonly kubeconfig?: string;
  readonly master?: string;
  readonly node: string;
  readonly scheduler: SchedulerName;
  readonly schedulerFlags?: string;
  readonly tcpTimeout?: number;
  readonly tcpfinTimeout?: number;
  readonly udpTimeout?: number;
}

/** Runs until SIGTERM or SIGINT, which leave data plane and attachments in place. */
export function runCommand(io: CommandOutput): Command {
  const { tcpSeconds, tcpFinSeconds, udpSeconds } = defaultTimeouts;
  const kept = 'or what `bpvsadm --set` has set';
  const command = new Command('run')
    .description(
      'serve the Services of a cluster, or of a folder of manifests, on this node, following their changes',
    )
    .option('--manifests <dir>', 'folder of Service, EndpointSlice and Node manifests')
    .option('--kubeconfig <file>', 'where the API server is (default: that of the pod this runs in)')
    .option('--master <url>', "the API server's URL, in place of the kubeconfig's")
    .option('--node <name>', 'name of this node', hostname())
    .addOption(
      new Option('--scheduler <name>', 'scheduler of all virtual services')
        .choices(knownSchedulers)
        .default('rr'),
    )
    .option(
      '--scheduler-flags <names>',
      'its flags, joined by commas: sh-port, sh-fallback, mh-port, mh-fallback (default: mh-port with mh, else none)',
    )
    .option(
      '--tcp-timeout <seconds>',
      `idle established TCP connections (default: ${tcpSeconds}, ${kept})`,
      seconds,
    )
    .option(
      '--tcpfin-timeout <seconds>',
      `TCP connections after a FIN (default: ${tcpFinSeconds}, ${kept})`,
      seconds,
    )
    .option('--udp-timeout <seconds>', `idle UDP connections (default: ${udpSeconds}, ${kept})`, seconds);
  return addNodeOptions(command).action((options: RunOptions) =>
    serve(daemonOptions(options), createLog(io.stderr), io),
  );
}

function daemonOptions(options: RunOptions): DaemonOptions {
  const { node, scheduler, tcpTimeout, tcpfinTimeout, udpTimeout } = options;
  const timeouts = { tcpSeconds: tcpTimeout, tcpFinSeconds: tcpfinTimeout, udpSeconds: udpTimeout };
  const schedulerFlags =
    options.schedulerFlags === undefined ? undefined : readFlags(scheduler, options.schedulerFlags);
  return {
    cluster: clusterLocation(options),
    node,
    scheduler,
    schedulerFlags,
    ...nodeOptions(options, timeouts),
  };
}

function clusterLocation({ manifests, kubeconfig, master }: RunOptions): ClusterLocation {
  if (manifests === undefined) return { api: { kubeconfig, master } };
  if (kubeconfig === undefined && master === undefined) return { manifests };
  throw new InputError('Expected either --manifests or an API server but received both');
}

function readFlags(scheduler: SchedulerName, text: string): readonly SchedulerFlag[] {
  return text
    .split(',')
    .filter((name) => name !== '')
    .map((name) => {
      const flag = parseSchedulerFlag(scheduler, name);
      if (flag) return flag;
      throw new InputError(`Expected flags of ${scheduler} for --scheduler-flags but received ${name}`);
    });
}
