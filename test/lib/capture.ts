// SPDX-License-Identifier: Apache-2.0
// Packets as tcpdump saw them.
import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

/** One line of tcpdump. Packets other than IP (ARP) have an empty source and target and port 0. */
export interface CapturedPacket {
  readonly timeSeconds: number;
  /** Present when all devices are listened on. */
  readonly device: string | undefined;
  /** In: received by the device; Out: sent by it; others as tcpdump prints them (B, M, P). */
  readonly direction: string | undefined;
  readonly source: string;
  /** Host order; 0 for protocols without ports. */
  readonly sourcePort: number;
  readonly target: string;
  /** Host order; 0 for protocols without ports. */
  readonly targetPort: number;
  /** What follows the addresses: "Flags [S], seq 1, win 64240, length 0". */
  readonly detail: string;
  readonly line: string;
}

const linePattern = /^(\d+\.\d+)\s+(?:(\S+)\s+(In|Out|B|M|P)\s+)?(\S+)\s+(.*)$/;
const addressPattern = /^(\S+) > (\S+): (.*)$/;

/** Reads one line that `tcpdump -n -tt` printed; undefined if it describes no packet. */
export function parseCaptureLine(line: string): CapturedPacket | undefined {
  const match = linePattern.exec(line);
  if (!match) return undefined;
  const [, time, device, direction, kind, rest = ''] = match;
  const addresses = kind === 'IP' || kind === 'IP6' ? addressPattern.exec(rest) : null;
  const hasPorts = addresses !== null && !/^ICMP/.test(addresses[3] ?? '');
  const source = splitPort(addresses?.[1] ?? '', hasPorts);
  const target = splitPort(addresses?.[2] ?? '', hasPorts);
  return {
    timeSeconds: Number(time),
    device,
    direction,
    source: source.address,
    sourcePort: source.port,
    target: target.address,
    targetPort: target.port,
    detail: addresses?.[3] ?? rest,
    line,
  };
}

function splitPort(text: string, hasPort: boolean): { address: string; port: number } {
  const isFourParts = /^\d+\.\d+\.\d+\.\d+$/.test(text);
  const dot = text.lastIndexOf('.');
  if (!hasPort || isFourParts || dot < 0) return { address: text, port: 0 };
  return { address: text.slice(0, dot), port: Number(text.slice(dot + 1)) };
}

/** A running tcpdump. Whoever starts it stops it. */
export class Capture {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #packets: CapturedPacket[] = [];
  #ended: Promise<unknown>;
  #wake = Promise.withResolvers<void>();

  private constructor(child: ChildProcessWithoutNullStreams) {
    this.#child = child;
    const lines = createInterface({ input: child.stdout });
    lines.on('line', (line) => {
      const packet = parseCaptureLine(line);
      if (packet) this.#packets.push(packet);
      this.#wake.resolve();
      this.#wake = Promise.withResolvers();
    });
    this.#ended = once(lines, 'close');
  }

  /** Takes a tcpdump just spawned and waits until it listens. Rejects with its words if it ends before. */
  static async start(child: ChildProcessWithoutNullStreams): Promise<Capture> {
    const capture = new Capture(child);
    let said = '';
    await new Promise<void>((resolve, reject) => {
      child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
        said += chunk;
        if (said.includes('listening on')) resolve();
      });
      child.once('error', reject);
      child.once('close', () => reject(new Error(`Expected tcpdump to listen but received: ${said}`)));
    });
    return capture;
  }

  /** Every packet so far. */
  get packets(): readonly CapturedPacket[] {
    return this.#packets;
  }

  /**
   * Resolves with the first packet, past or to come, for which `isWanted` holds.
   * Rejects with the packets seen if there is none within `timeoutMs`.
   */
  async until(isWanted: (packet: CapturedPacket) => boolean, timeoutMs = 5000): Promise<CapturedPacket> {
    const deadline = AbortSignal.timeout(timeoutMs);
    const expired = once(deadline, 'abort');
    for (;;) {
      const found = this.#packets.find(isWanted);
      if (found) return found;
      if (deadline.aborted) {
        const seen = this.#packets.map((packet) => `\n  ${packet.line}`).join('');
        throw new Error(
          `Expected a packet within ${timeoutMs} ms but received ${this.#packets.length}${seen}`,
        );
      }
      await Promise.race([this.#wake.promise, expired]);
    }
  }

  /**
   * Ends tcpdump and returns every packet. To claim that something was *not* seen, first wait with
   * {@link until} for a later packet: one that is still on its way to tcpdump is lost.
   */
  async stop(): Promise<readonly CapturedPacket[]> {
    this.#child.kill('SIGINT');
    await this.#ended;
    return this.#packets;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
