// SPDX-License-Identifier: Apache-2.0
// One daemon for each pin directory: who runs holds a socket of that name, which the kernel frees however it ends.
import { once } from 'node:events';
import { connect, createServer, type Server } from 'node:net';
import { text } from 'node:stream/consumers';

/** An abstract socket: no file to be left behind, one name space for all containers in the host's network namespace. */
function socketName(pinDirectory: string): string {
  return `\0bpvs ${pinDirectory}`;
}

/** Undefined where another daemon has it. Whoever takes it closes it. */
export async function lockPins(pinDirectory: string): Promise<Disposable | undefined> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.end(String(process.pid));
  });
  try {
    server.listen(socketName(pinDirectory));
    await once(server, 'listening');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') return undefined;
    throw error;
  }
  server.unref();
  return { [Symbol.dispose]: () => closeServer(server) };
}

/** The process id of the daemon that has these pins, as it sees itself; undefined if there is none. */
export async function daemonOf(pinDirectory: string): Promise<number | undefined> {
  const socket = connect(socketName(pinDirectory));
  try {
    const pid = Number(await text(socket));
    return pid > 0 ? pid : undefined;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ECONNREFUSED') return undefined;
    throw error;
  } finally {
    socket.destroy();
  }
}

function closeServer(server: Server): void {
  server.close();
}
