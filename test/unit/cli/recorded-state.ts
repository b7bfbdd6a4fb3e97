// SPDX-License-Identifier: Apache-2.0
// Kernel IPVS as far as the recordings need it: the virtual services that recorded ipvsadm commands make.
import { formatServiceName } from '../../../src/cli/format-listing.ts';
import { type CommandLine, parseCommandLine } from '../../../src/cli/grammar.ts';
import type { Names, Resolver } from '../../../src/cli/names.ts';
import { persistenceOf } from '../../../src/cli/persistence.ts';
import { UsageError } from '../../../src/cli/usage-error.ts';
import type { DestinationStatus, VirtualServiceStatus } from '../../../src/dataplane/data-plane.ts';
import { MemoryDataPlane } from '../../../src/dataplane/memory/memory-data-plane.ts';
import { isSchedulerName } from '../../../src/model/scheduler.ts';
import { noRates, noStatistics } from '../../../src/model/statistics.ts';
import {
  destinationId,
  type Persistence,
  type VirtualServiceKey,
  virtualServiceId,
  virtualServiceKey,
} from '../../../src/model/virtual-service.ts';

interface RecordedService {
  readonly service: VirtualServiceStatus;
  /** Whether the model can hold it: no persistence engine, no mask with ones behind zeros. */
  readonly isCovered: boolean;
}

export class RecordedState {
  readonly #services = new Map<string, RecordedService>();
  /** Keeps what --set set. */
  readonly timeouts = new MemoryDataPlane();

  services(): readonly VirtualServiceStatus[] {
    return this.#all((recorded) => recorded.isCovered);
  }

  covers(selector: VirtualServiceKey): boolean {
    return this.#services.get(virtualServiceId(selector))?.isCovered !== false;
  }

  /** How the lines of services begin that the model cannot hold. */
  uncoveredNames(names: Names): readonly string[] {
    const name = (each: VirtualServiceStatus) => formatServiceName(each, names);
    return this.#all((recorded) => !recorded.isCovered).map(name);
  }

  /** Carries out a command that the kernel accepted; what does not fit (in a restored file) changes nothing. */
  async apply(words: readonly string[], stdin: string, resolver: Resolver): Promise<void> {
    const line = await parseCommandLine(words, 'ipvsadm', resolver);
    if (line.command === 'restore') await this.#restore(stdin, resolver);
    else if (line.command === 'flush') this.#services.clear();
    else if (line.command === 'set') {
      const [tcpSeconds, tcpFinSeconds, udpSeconds] = line.settings.timeouts ?? [];
      this.timeouts.setTimeouts({ tcpSeconds, tcpFinSeconds, udpSeconds });
    } else if (line.settings.service) this.#change(line, line.settings.service);
  }

  async #restore(stdin: string, resolver: Resolver): Promise<void> {
    for (const line of stdin.split('\n').map((text) => text.trim())) {
      if (line === '') continue;
      try {
        await this.apply(line.split(/\s+/), '', resolver);
      } catch (error) {
        if (error instanceof UsageError) return;
        throw error;
      }
    }
  }

  #change(line: CommandLine, key: VirtualServiceKey): void {
    const id = virtualServiceId(key);
    const old = this.#services.get(id);
    const { settings } = line;
    if (line.command === 'add-service' ? !old : line.command === 'edit-service' && old) {
      if (!isSchedulerName(settings.scheduler)) return;
      const persistence = coveredPersistence(line);
      const { scheduler } = settings;
      const service: VirtualServiceStatus = {
        ...virtualServiceKey(key),
        ...{ noDestination: 'reject', scheduler, schedulerFlags: line.schedulerFlags },
        ...{ persistence, isOnePacket: line.given.has('ops') },
        ...{ destinations: old?.service.destinations ?? [], statistics: noStatistics, rates: noRates },
      };
      const isCovered = !line.given.has('pe') && (persistence !== undefined || !line.given.has('persistent'));
      this.#services.set(id, { service, isCovered });
    } else if (old && line.command === 'delete-service') this.#services.delete(id);
    else if (old && settings.server) {
      const destinations = changeDestinations(line, old.service.destinations);
      this.#services.set(id, { ...old, service: { ...old.service, destinations } });
    }
  }

  #all(select: (recorded: RecordedService) => boolean): readonly VirtualServiceStatus[] {
    return [...this.#services.values()].filter(select).map((recorded) => recorded.service);
  }
}

/** Undefined also for a mask that the model cannot hold. */
function coveredPersistence(line: CommandLine): Persistence | undefined {
  try {
    return persistenceOf(line.settings);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    return undefined;
  }
}

function changeDestinations(
  { command, settings }: CommandLine,
  old: readonly DestinationStatus[],
): readonly DestinationStatus[] {
  if (!settings.server) return old;
  const counts = { activeConnections: 0, inactiveConnections: 0, persistentConnections: 0 };
  const numbers = { ...counts, statistics: noStatistics, rates: noRates };
  const { weight, forwarding, upperThreshold, lowerThreshold } = settings;
  const destination = {
    ...settings.server,
    ...numbers,
    weight,
    forwarding,
    upperThreshold,
    lowerThreshold,
  };
  const id = destinationId(destination);
  if (command === 'add-server') return [...old, destination];
  if (command === 'edit-server') return old.map((each) => (destinationId(each) === id ? destination : each));
  return old.filter((each) => destinationId(each) !== id);
}
