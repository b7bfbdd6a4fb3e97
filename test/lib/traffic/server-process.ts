// SPDX-License-Identifier: Apache-2.0
// Runs inside a machine of the lab: TCP and UDP servers that say who they are. Started by Server.
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { ByteReader, PatternCheck, pattern, plainAddress, type ServerReply } from './protocol.ts';

/** What a server process gets as its only argument, in JSON. */
export interface ServerConfig {
  readonly name: string;
  readonly tcp: readonly number[];
  readonly udp: readonly number[];
  /** "::" serves both families. */
  readonly address: string;
}

const config = JSON.parse(process.argv[2] ?? '') as ServerConfig;

await Promise.all([...config.tcp.map(serveTcp), ...config.udp.map(serveUdp)]);
process.stdout.write('ready\n');
process.stdin.resume().once('end', () => process.exit()); // whoever started us is gone

async function serveTcp(port: number): Promise<void> {
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    socket.on('error', () => {}); // a client's reset ends its connection and nothing else
    answerLines(socket).catch(() => socket.destroy());
  });
  server.listen({ port, host: config.address, backlog: 4096 });
  await once(server, 'listening');
}

/**
 * The line protocol: "whoami" is answered with a ServerReply, "stream N" with N bytes of the pattern, "sink" takes the
 * pattern up to the client's FIN and is answered with a TransferReport, "bye" makes the server close first.
 */
async function answerLines(socket: Socket): Promise<void> {
  const reader = new ByteReader(socket.iterator({ destroyOnReturn: false }));
  for (let line = await reader.line(); line !== undefined && line !== 'bye'; line = await reader.line()) {
    const [verb, argument] = line.split(' ');
    if (verb === 'whoami') {
      socket.write(`${JSON.stringify(replyTo(socket.localPort, socket.remoteAddress, socket.remotePort))}\n`);
    } else if (verb === 'stream') {
      for (const piece of pattern(Number(argument))) if (!socket.write(piece)) await once(socket, 'drain');
    } else if (verb === 'sink') {
      const check = new PatternCheck();
      for await (const piece of reader.bytes()) check.add(piece);
      socket.write(`${JSON.stringify(check.report)}\n`);
    } else {
      socket.destroy();
    }
  }
  socket.end().resume();
}

/** Every datagram is answered with its token and a ServerReply, padded to the datagram's own length. */
async function serveUdp(port: number): Promise<void> {
  const type = config.address.includes(':') ? 'udp6' : 'udp4';
  const socket = createSocket({ type, recvBufferSize: 1 << 20 });
  socket.on('message', (message, from) => {
    const token = message.toString().trimEnd();
    const answer = `${token} ${JSON.stringify(replyTo(port, from.address, from.port))}`;
    socket.send(answer.padEnd(message.length), from.port, from.address, () => {}); // an unroutable client gets nothing
  });
  socket.bind(port, config.address);
  await once(socket, 'listening');
}

function replyTo(port = 0, clientAddress = '', clientPort = 0): ServerReply {
  return { server: config.name, port, client: { address: plainAddress(clientAddress), port: clientPort } };
}
