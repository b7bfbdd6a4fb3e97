// SPDX-License-Identifier: Apache-2.0
// A virtual service as the kernel has it: the list, what was deleted from it, and its scheduler.
import type { SchedulerFlag, SchedulerName } from '../scheduler.ts';
import { type DestinationKey, destinationId } from '../virtual-service.ts';
import { createScheduler } from './create.ts';
import { DestinationModel, type DestinationSettings } from './destination-model.ts';
import type { Request, Scheduled, Scheduler, SchedulerEnvironment } from './scheduler.ts';

export interface ServiceSettings {
  readonly scheduler: SchedulerName;
  readonly schedulerFlags: readonly SchedulerFlag[];
}

const defaults: SchedulerEnvironment = {
  profile: 'recent',
  now: () => 0,
  random: (highest) => Math.floor(Math.random() * (highest + 1)),
  lblcExpirationSeconds: 86_400,
  lblcrExpirationSeconds: 86_400,
};

/**
 * Decides as kernel IPVS does: the specification that the loaded programs are held to. It knows no packets and no time: who
 * uses it counts connections at the destinations chosen, and calls {@link ServiceModel.housekeep}.
 */
export class ServiceModel implements Scheduled<DestinationModel> {
  readonly #environment: SchedulerEnvironment;
  readonly #list: DestinationModel[] = [];
  /** Connections and caches may know them: one that is added again continues as the one that it was. */
  readonly #trash = new Map<string, DestinationModel>();
  #settings: ServiceSettings;
  #scheduler: Scheduler<DestinationModel>;

  /** @param environment what is not given is as the kernel has it by default; its clock then stands still */
  constructor(settings: ServiceSettings, environment: Partial<SchedulerEnvironment> = {}) {
    this.#environment = { ...defaults, ...environment };
    this.#settings = settings;
    this.#scheduler = this.#bound(settings.scheduler);
  }

  /** Newest first. */
  get destinations(): readonly DestinationModel[] {
    return this.#list;
  }

  get scheduler(): SchedulerName {
    return this.#settings.scheduler;
  }

  get schedulerFlags(): readonly SchedulerFlag[] {
    return this.#settings.schedulerFlags;
  }

  destination(key: DestinationKey): DestinationModel | undefined {
    return this.#list[this.#placeOf(key)];
  }

  /** New flags hold at once; another scheduler begins anew. Throws RangeError as {@link Scheduler.bind}. */
  edit(settings: ServiceSettings): void {
    if (settings.scheduler !== this.scheduler) {
      try {
        this.#scheduler = this.#bound(settings.scheduler);
      } catch (error) {
        this.#scheduler = this.#bound(this.scheduler);
        throw error;
      }
    }
    this.#settings = settings;
  }

  /** Throws RangeError if it is there. */
  add(settings: DestinationSettings): DestinationModel {
    const id = destinationId(settings);
    if (this.destination(settings)) throw new RangeError(`Expected a new destination but received ${id}`);
    const added = this.#trash.get(id) ?? new DestinationModel(settings, this.#environment.profile);
    this.#trash.delete(id);
    added.enter(settings);
    this.#list.unshift(added);
    this.#scheduler.destinationAdded?.(this, added);
    return added;
  }

  /** Throws RangeError if it is not there. */
  editDestination(settings: DestinationSettings): void {
    const edited = this.#expect(settings);
    edited.edit(settings);
    this.#scheduler.destinationEdited?.(this, edited);
  }

  /** Throws RangeError if it is not there. */
  deleteDestination(key: DestinationKey): void {
    const deleted = this.#expect(key);
    const place = this.#list.indexOf(deleted);
    this.#list.splice(place, 1);
    deleted.leave();
    this.#trash.set(destinationId(key), deleted);
    this.#scheduler.destinationDeleted?.(this, deleted, place);
  }

  /** Whom a new connection goes to; it is for the caller to count it (`bindConnection`). */
  pick(request: Request): DestinationModel | undefined {
    return this.#scheduler.pick(this, request);
  }

  /** To be called every 60 seconds. */
  housekeep(): void {
    this.#scheduler.housekeep?.();
  }

  #bound(name: SchedulerName): Scheduler<DestinationModel> {
    const scheduler = createScheduler<DestinationModel>(name, this.#environment);
    scheduler.bind?.(this);
    return scheduler;
  }

  #expect(key: DestinationKey): DestinationModel {
    const found = this.destination(key);
    if (!found)
      throw new RangeError(`Expected a destination of the service but received ${destinationId(key)}`);
    return found;
  }

  #placeOf({ address, port }: DestinationKey): number {
    return this.#list.findIndex((each) => each.address === address && each.port === port);
  }
}
