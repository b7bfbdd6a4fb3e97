// SPDX-License-Identifier: Apache-2.0
// Replays recorded scheduling decisions against the schedulers' models.
import { parseAddressPort } from '../../src/model/address.ts';
import type { DestinationModel } from '../../src/model/schedulers/destination-model.ts';
import { isUsable } from '../../src/model/schedulers/scheduler.ts';
import { destinationId } from '../../src/model/virtual-service.ts';
import { ModelDirector, type ModelPacket } from './model-director.ts';
import { expectSame } from './oracle.ts';
import type { Counters, Scenario, Step } from './oracle-schedulers.ts';

/** Throws Differs at the first difference, Needs at what is no scheduler's business. @returns the number of decisions */
export async function replayInModel(scenario: Scenario): Promise<number> {
  const director = new ModelDirector(scenario);
  let decisions = 0;
  for (const [number, step] of scenario.steps.entries()) {
    const what = `step ${number} (${step.do} ${step.args ?? step.op ?? step.seconds ?? ''})`;
    switch (step.do) {
      case 'ipvsadm':
        await director.ipvsadm(step.args ?? '');
        break;
      case 'udp':
      case 'syn':
      case 'sctp':
        decisions += sendFlows(director, scenario, step, what);
        break;
      case 'tcp':
        act(director, scenario, step, what);
        decisions++;
        break;
      case 'sleep':
        director.sleep(step.seconds ?? 0);
        break;
      default:
    }
    if (step.counters) compareCounters(director, scenario, step.counters, what);
  }
  return decisions;
}

function sendFlows(director: ModelDirector, scenario: Scenario, step: Step, what: string): number {
  const flows = step.flows ?? [];
  const decisions = flows.map((flow) => {
    const [source, sourcePort] = flow;
    const to = parseAddressPort(step.dst ?? '') ?? { address: String(flow[2]), port: Number(flow[3]) };
    const packet = {
      protocol: step.do === 'syn' ? 'tcp' : step.do,
      source,
      sourcePort,
      destination: to.address,
      destinationPort: to.port,
    };
    return decide(director, scenario, packet, (flow.length === 5 ? flow[4] : flow[2]) ?? null);
  });
  expectSame(
    what,
    decisions,
    flows.map((flow) => (flow.length === 5 ? flow[4] : flow[2])),
  );
  return flows.length;
}

function act(director: ModelDirector, scenario: Scenario, step: Step, what: string): void {
  const to = parseAddressPort(step.dst ?? '') ?? { address: '', port: 0 };
  const packet = {
    protocol: 'tcp',
    source: step.src ?? '',
    sourcePort: step.sport ?? 0,
    destination: to.address,
    destinationPort: to.port,
  };
  const isOpening = step.op === 'open' || step.op === 'syn';
  if (isOpening) expectSame(what, decide(director, scenario, packet, step.dest ?? null), step.dest ?? null);
  const connection = director.connection(packet);
  if (connection && step.state) director.become(connection, step.state);
  else expectSame(`${what} state`, connection?.state ?? null, step.state ?? null);
}

/** An index into the scenario's destinations; twos may decide as recorded if it could have. */
function decide(
  director: ModelDirector,
  scenario: Scenario,
  packet: ModelPacket,
  recorded: number | null,
): number | null {
  const model = director.service(packet)?.model;
  const isRandom = model?.scheduler === 'twos' && recorded !== null;
  const indexOf = (destination: DestinationModel) => scenario.dests.indexOf(destinationId(destination));
  const mayBe = (each: DestinationModel) => isUsable(each) && indexOf(each) === recorded;
  const chosen = isRandom ? model.destinations.find(mayBe) : undefined;
  const destination = director.send(packet, chosen);
  return destination ? indexOf(destination) : null;
}

function compareCounters(
  director: ModelDirector,
  scenario: Scenario,
  expected: NonNullable<Step['counters']>,
  what: string,
): void {
  const counters = director.counters();
  const row = (destinations: readonly DestinationModel[], length: number): Counters =>
    scenario.dests.slice(0, length).map((name) => {
      const found = destinations.find((each) => destinationId(each) === name);
      return found ? [found.activeConnections, found.inactiveConnections] : null;
    });
  const rows: readonly (readonly [string, Counters])[] = Array.isArray(expected)
    ? [[[...counters.keys()][0] ?? '', expected]]
    : Object.entries(expected);
  for (const [service, list] of rows) {
    expectSame(`${what} counters of ${service}`, row(counters.get(service) ?? [], list.length), list);
  }
}
