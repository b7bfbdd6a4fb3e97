// SPDX-License-Identifier: Apache-2.0
// Runs inside a machine of the lab: makes the connections that a test asks for on stdin. Started by Client.
import { createInterface } from 'node:readline';
import { type Channel, failureOf } from './channel.ts';
import type { Answer, Command, Failure, Opened, OpenRequest, TcpRequest } from './protocol.ts';
import { TcpChannel } from './tcp-channel.ts';
import { UdpChannel } from './udp-channel.ts';

const channels = new Map<number, Channel>();
let lastHandle = 0;

createInterface({ input: process.stdin })
  .on('line', (line) => void answer(JSON.parse(line) as Command & { readonly id: number }))
  .on('close', () => process.exit()); // whoever started us is gone
process.stdout.write('ready\n');

async function answer(command: Command & { readonly id: number }): Promise<void> {
  const response = await execute(command).then(
    (value) => ({ id: command.id, value }),
    (error: Error) => ({ id: command.id, error: error.message }),
  );
  process.stdout.write(`${JSON.stringify(response)}\n`);
}

async function execute(command: Command): Promise<unknown> {
  switch (command.do) {
    case 'tcp':
    case 'udp':
      return repeat(command.request, (index) =>
        askOnce({ ...command.request, ...sourcePortOf(command.request, index), protocol: command.do }),
      );
    case 'open':
      return attempt(() => open(command.request));
    case 'ask':
      return attempt(() => channel(command.handle).ask());
    case 'receive':
      return attempt(() => tcpChannel(command.handle).receive(command.bytes));
    case 'send':
      return attempt(() => tcpChannel(command.handle).send(command.bytes));
    case 'close':
      return channel(command.handle).close();
    case 'reset':
      return tcpChannel(command.handle).reset();
  }
}

/** Failures of the network are answers; anything else is thrown. */
async function attempt<T>(step: () => Promise<T>): Promise<T | Failure> {
  try {
    return await step();
  } catch (error) {
    return failureOf(error);
  }
}

function askOnce(request: OpenRequest): Promise<Answer> {
  return attempt(async () => {
    const opened = await connect(request);
    try {
      return await opened.askLast();
    } finally {
      await opened.close();
    }
  });
}

/** Each of several requests has a port of its own: those from the first one on, where that is given. */
function sourcePortOf({ sourcePort }: TcpRequest, index: number): Pick<TcpRequest, 'sourcePort'> {
  return sourcePort === undefined ? {} : { sourcePort: sourcePort + index };
}

async function repeat(request: TcpRequest, once: (index: number) => Promise<Answer>): Promise<Answer[]> {
  const answers: Answer[] = [];
  let started = 0;
  const worker = async () => {
    while (started < (request.count ?? 1)) {
      const index = started++;
      answers[index] = await once(index);
    }
  };
  await Promise.all(Array.from({ length: request.concurrency ?? 1 }, worker));
  return answers;
}

async function open(request: OpenRequest): Promise<Opened> {
  const opened = await connect(request);
  const handle = ++lastHandle;
  channels.set(handle, opened);
  return { outcome: 'open', handle, local: opened.local, peer: opened.peer };
}

function connect(request: OpenRequest): Promise<Channel> {
  return request.protocol === 'tcp' ? TcpChannel.connect(request) : UdpChannel.open(request);
}

function channel(handle: number): Channel {
  const found = channels.get(handle);
  if (!found) throw new Error(`Expected an open connection but received handle ${handle}`);
  return found;
}

function tcpChannel(handle: number): TcpChannel {
  const found = channel(handle);
  if (!(found instanceof TcpChannel)) throw new Error('Expected a TCP connection but received a UDP socket');
  return found;
}
