// SPDX-License-Identifier: Apache-2.0
// One machine of the lab: a network namespace in which programs run.
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { Capture } from './capture.ts';
import type { DualAddress } from './cast.ts';
import { type CommandOptions, type CommandResult, mustRun, runCommand } from './command.ts';

/** What is written down about a machine, so that another process can find it. */
export interface HostRecord {
  /** Its name within the lab: "client", "node1", "n1-pod1". */
  readonly name: string;
  /** "/run/netns/LAB-n1-pod1". */
  readonly namespacePath: string;
  readonly addresses: DualAddress;
}

export interface CaptureOptions {
  /** The device to listen on; all of the namespace's if not given. */
  readonly device?: string;
}

/** Of each packet: what is printed of it. The rest would only cost room. */
const captureBytes = 256;
/** Some 20,000 packets, for a tcpdump that does not get to run for a while. */
const captureBufferKib = 8192;

export class Host implements HostRecord {
  readonly name: string;
  readonly namespacePath: string;
  readonly addresses: DualAddress;

  constructor(record: HostRecord) {
    this.name = record.name;
    this.namespacePath = record.namespacePath;
    this.addresses = record.addresses;
  }

  /** The argument vector that runs `argv` here. Mounts stay those of the caller, so bpffs remains visible. */
  command(argv: readonly string[]): string[] {
    return ['nsenter', `--net=${this.namespacePath}`, '--', ...argv];
  }

  /** Runs a program here to its end; an exit code other than 0 is a result, not an error. */
  run(argv: readonly string[], options?: CommandOptions): Promise<CommandResult> {
    return runCommand(this.command(argv), options);
  }

  /** Runs a program here and returns its stdout; rejects if the exit code is not 0. */
  mustRun(argv: readonly string[], options?: CommandOptions): Promise<string> {
    return mustRun(this.command(argv), options);
  }

  /**
   * Starts a program here and leaves it running. nsenter becomes the program, so the child's pid is the program's.
   * The caller ends it; the lab's teardown kills what is left.
   */
  spawn(argv: readonly string[]): ChildProcessWithoutNullStreams {
    const [file = '', ...rest] = this.command(argv);
    return spawn(file, rest);
  }

  /** Starts tcpdump with a pcap filter ("tcp port 80"); resolves once it listens. */
  capture(filter: string, options: CaptureOptions = {}): Promise<Capture> {
    const device = options.device ?? 'any';
    const argv = [
      'tcpdump',
      '-Z',
      'root',
      '-n',
      '-tt',
      '-l',
      '--immediate-mode',
      ...['-s', String(captureBytes), '-B', String(captureBufferKib)],
      '-i',
      device,
      ...filter.split(/\s+/),
    ];
    return Capture.start(this.spawn(argv.filter((argument) => argument !== '')));
  }
}

export interface PodRecord extends HostRecord {
  /** The pod's device as its node sees it: the host end of the veth pair. */
  readonly hostDevice: string;
}

export class Pod extends Host implements PodRecord {
  readonly hostDevice: string;

  constructor(record: PodRecord) {
    super(record);
    this.hostDevice = record.hostDevice;
  }
}

export interface NodeRecord extends HostRecord {
  readonly pods: readonly PodRecord[];
}

export class Node extends Host implements NodeRecord {
  /** The device on the segment. */
  readonly uplink = 'eth0';
  readonly pods: readonly Pod[];

  constructor(record: NodeRecord) {
    super(record);
    this.pods = record.pods.map((pod) => new Pod(pod));
  }
}
