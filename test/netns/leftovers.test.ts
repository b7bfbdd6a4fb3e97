// SPDX-License-Identifier: Apache-2.0
// bpvs cleanup --kube-proxy against the rules of the real tools.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { serviceEmpty, serviceWeb } from '../lib/cast.ts';
import { NodeAgent } from '../lib/daemon.ts';
import { missingForFirewall } from '../lib/firewall.ts';
import type { Node } from '../lib/host.ts';
import { kubeProxyNftRules, kubeProxyTables } from '../lib/kube-proxy-rules.ts';
import { Lab, missingForLab } from '../lib/lab.ts';

const skip = missingForLab() ?? missingForFirewall('ptp') ?? false;

suite('what kube-proxy left on a node', { skip }, () => {
  const resources = new AsyncDisposableStack();
  let lab: Lab;
  let node: Node;

  before(async () => {
    lab = resources.use(await Lab.create({ name: 'test-left', podsPerNode: 1 }));
    node = lab.nodes[0];
  });
  after(() => resources.disposeAsync());

  const services = [serviceWeb, serviceEmpty];
  const saved = async (command: string) => {
    const text = await node.mustRun([command]);
    return text.replace(/^#.*\n/gm, '').replace(/\[\d+:\d+\]/g, '');
  };

  test('its nftables tables go, and no other', async () => {
    await using agent = new NodeAgent(lab, node);
    const before = await node.mustRun(['nft', 'list', 'ruleset']);
    const rules = kubeProxyNftRules(services, lab.pods[0]?.addresses as never);
    await node.mustRun(['nft', '-f', '-'], { input: rules });
    const { stdout, code } = await agent.command('cleanup', '--kube-proxy');
    assert.match(stdout, /^removed nftables table ip kube-proxy\nremoved nftables table ip6 kube-proxy$/m);
    assert.equal(code, 0);
    assert.equal(await node.mustRun(['nft', 'list', 'ruleset']), before);
  });

  test("its iptables chains go with the jumps to them, the kubelet's stay", async () => {
    await using agent = new NodeAgent(lab, node);
    const tables = kubeProxyTables(services, lab.pods[0]?.addresses as never);
    for (const [family, command] of [
      ['v4', 'iptables-nft-restore'],
      ['v6', 'ip6tables-nft-restore'],
    ] as const)
      await node.mustRun([command], { input: tables(family) });
    const { stdout, code } = await agent.command('cleanup', '--kube-proxy');
    assert.match(
      stdout,
      /^removed iptables-nft chains of kube-proxy\nremoved ip6tables-nft chains of kube-proxy$/m,
    );
    assert.equal(code, 0);
    const rules = (await saved('iptables-nft-save')) + (await saved('ip6tables-nft-save'));
    const names = new Set(rules.match(/KUBE-[A-Z-]+/g));
    assert.deepEqual([...names], ['KUBE-FIREWALL']);
    assert.match(rules, /^-A INPUT -j KUBE-FIREWALL$/m);
  });

  test('its device goes; what needs a tool that is missing is told, with exit code 1', async (t) => {
    if ((await node.run(['which', 'ipvsadm'])).code === 0) return t.skip('ipvsadm is installed');
    await using agent = new NodeAgent(lab, node);
    await node.mustRun(['ip', 'link', 'add', 'kube-ipvs0', 'type', 'bridge']);
    const { stdout, stderr, code } = await agent.command('cleanup', '--kube-proxy');
    assert.match(stdout, /^not removed: virtual services of kernel IPVS: its tool is not installed$/m);
    assert.match(stdout, /^removed device kube-ipvs0$/m);
    assert.match(stderr, /1 of kube-proxy's leftovers could not be removed/);
    assert.equal(code, 1);
    assert.notEqual((await node.run(['ip', 'link', 'show', 'kube-ipvs0'])).code, 0);
  });

  test('a node without any of it needs no change', async () => {
    await using agent = new NodeAgent(lab, node);
    const { stdout, code } = await agent.command('cleanup', '--kube-proxy');
    assert.match(
      stdout,
      /^nothing of BPVS at .*\n(?:not looked for: .* is not installed\n)*nothing of kube-proxy\n$/,
    );
    assert.equal(code, 0);
  });
});
