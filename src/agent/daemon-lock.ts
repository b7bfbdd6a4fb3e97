// SPDX-License-Identifier: Apache-2.0
// One daemon for each pin directory: who runs holds a socket of that name, which the kernel frees however it ends.
import { once } from 'node:events';
import { statSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { basename, dirname, resolve } from 'node:path';
import { text } from 'node:stream/consumers';

/**
 * Abstract sockets: no file to be left behind, one name space for all containers in the host's network namespace. By the path, and by
 * the folder above it: a container may have the host's BPF file system at another path.
 */
function socketNames(pinDirectory: string): readonly string[] {
  const path = resolve(pinDirectory);
  const byPath = `\0bpvs ${path}`;
  try {
    const { dev, ino } = statSync(dirname(path));
    return [byPath, `\0bpvs ${dev}:${ino}/${basename(path)}`];
  } catch {
    return [byPath]; // not there yet, or not ours to see
  }
}

/** Undefined where another daemon has it. Whoever takes it closes it. */
export async function lockPins(pinDirectory: string): Promise<Disposable | undefined> {
  const servers: Server[] = [];
  const close = () => servers.forEach(closeServer);
  try {
    for (const name of socketNames(pinDirectory)) servers.push(await hold(name));
  } catch (error) {
    close();
    if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') return undefined;
    throw error;
  }
  return { [Symbol.dispose]: close };
}

async function hold(name: string): Promise<Server> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.end(String(process.pid));
  });
  server.listen(name);
  await once(server, 'listening');
  return server.unref();
}

/** The process id of the daemon that has these pins, as it sees itself; undefined if there is none. */
export async function daemonOf(pinDirectory: string): Promise<number | undefined> {
  for (const name of socketNames(pinDirectory)) {
    const pid = await holderOf(name);
    if (pid !== undefined) return pid;
  }
  return undefined;
}

async function holderOf(name: string): Promise<number | undefined> {
  const socket = connect(name);
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
