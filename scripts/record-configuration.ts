// SPDX-License-Identifier: Apache-2.0
// node scripts/record-configuration.ts KUBE_PROXY: records what the real kube-proxy (1.36.3 for what is in the repository) makes
// of command lines and configuration files, into test/oracle/configuration/recorded.json.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

interface Case {
  readonly words: readonly string[];
  readonly file?: string;
}

/** `written`: what --write-config-to wrote; else `error`, as kube-proxy logs it. */
export interface RecordedCase extends Case {
  readonly written?: string;
  readonly error?: string;
  /** The strict reader's complaint about a file that is read leniently. */
  readonly warning?: string;
}

const heading = 'apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n';

/** Bodies of files. The first is what kubeadm makes. */
const files = [
  `bindAddress: 0.0.0.0
bindAddressHardFail: false
clientConnection:
  acceptContentTypes: ""
  burst: 0
  contentType: ""
  kubeconfig: /var/lib/kube-proxy/kubeconfig.conf
  qps: 0
clusterCIDR: 10.244.0.0/16,fd00:244::/56
configSyncPeriod: 0s
conntrack:
  maxPerCore: null
  min: null
  tcpBeLiberal: false
  tcpCloseWaitTimeout: null
  tcpEstablishedTimeout: null
  udpStreamTimeout: 0s
  udpTimeout: 0s
detectLocal:
  bridgeInterface: ""
  interfaceNamePrefix: ""
detectLocalMode: ""
enableProfiling: false
healthzBindAddress: ""
hostnameOverride: ""
iptables:
  localhostNodePorts: null
  masqueradeAll: false
  masqueradeBit: null
  minSyncPeriod: 0s
  syncPeriod: 0s
ipvs:
  excludeCIDRs: null
  minSyncPeriod: 0s
  scheduler: ""
  strictARP: false
  syncPeriod: 0s
  tcpFinTimeout: 0s
  tcpTimeout: 0s
  udpTimeout: 0s
logging:
  flushFrequency: 0
  options:
    json:
      infoBufferSize: "0"
    text:
      infoBufferSize: "0"
  verbosity: 0
metricsBindAddress: ""
mode: ""
nftables:
  masqueradeAll: false
  masqueradeBit: null
  minSyncPeriod: 0s
  syncPeriod: 0s
nodePortAddresses: null
oomScoreAdj: null
portRange: ""
showHiddenMetricsForVersion: ""
winkernel:
  enableDSR: false
  forwardHealthCheckVip: false
  networkName: ""
  rootHnsEndpointName: ""
  sourceVip: ""
`,
  '',
  'mode: ipvs\n',
  'mode: nftables\n',
  'mode: foo\n',
  'mode: 5\n',
  'mode: ipvs\nmode: nftables\n',
  'Mode: ipvs\nipvs: {Scheduler: sh}\nfoo: {bar: 1}\n',
  'udpIdleTimeout: 250ms\nfeatureGates: ""\n',
  'udpIdleTimeout: 250ms\nresourceContainer: /kube-proxy\nconntrack: {max: null}\n',
  'mode: ipvs\nipvs: {scheduler: sh, strictARP: yes, tcpTimeout: 15m, tcpFinTimeout: 2m0s, udpTimeout: 300s}\n',
  'mode: ipvs\nipvs: {syncPeriod: 1m30s, minSyncPeriod: 1500ms, excludeCIDRs: [10.0.0.0/8, "fd00::/64"]}\n',
  'mode: ipvs\nipvs: {tcpTimeout: -1s, tcpFinTimeout: -2s, udpTimeout: -3s, excludeCIDRs: [x, 1.2.3.4]}\n',
  'ipvs: {tcpTimeout: -1s, excludeCIDRs: [x], syncPeriod: 9s}\n',
  'mode: ipvs\nipvs: {syncPeriod: 1s, minSyncPeriod: 3s}\n',
  'mode: ipvs\nipvs: {syncPeriod: -1s, minSyncPeriod: -2s}\n',
  'ipvs: {tcpTimeout: 5}\n',
  'ipvs: {tcpTimeout: 1d}\n',
  'ipvs: [a]\n',
  'ipvs: null\n',
  'iptables: {masqueradeAll: true, masqueradeBit: 0, localhostNodePorts: false, syncPeriod: 1h, minSyncPeriod: 250ms}\n',
  'mode: ipvs\niptables: {masqueradeAll: true, masqueradeBit: 31, syncPeriod: 1h}\n',
  'mode: nftables\niptables: {masqueradeAll: true, masqueradeBit: 32}\nnftables: {masqueradeBit: -1}\n',
  'mode: nftables\nnftables: {masqueradeAll: true, masqueradeBit: 5, syncPeriod: 2s, minSyncPeriod: 100us}\n',
  'mode: nftables\nnodePortAddresses: [10.0.0.0/8]\n',
  'bindAddress: "::"\n',
  'bindAddress: 10.0.0.1\nhealthzBindAddress: 10.0.0.1\nmetricsBindAddress: "fd00::1"\n',
  'bindAddress: 010.000.0.1\nmetricsBindAddress: "[::]:10249"\n',
  'bindAddress: x\nhealthzBindAddress: foo\nmetricsBindAddress: "foo:bar"\n',
  'healthzBindAddress: "1.2.3.4:0"\nmetricsBindAddress: "1.2.3.4:65536"\n',
  'healthzBindAddress: "[fd00::1]:80"\nmetricsBindAddress: "fd00::1:80"\n',
  'bindAddressHardFail: true\nenableProfiling: true\nhostnameOverride: Node-A\nportRange: 1-2\n',
  'clientConnection: {burst: -3, qps: 2.5, acceptContentTypes: a/b, contentType: application/json, kubeconfig: /a b}\n',
  'clientConnection: {burst: 20, qps: -1}\n',
  'clientConnection: {qps: abc}\n',
  'clusterCIDR: 10.0.0.0/8\n',
  'clusterCIDR: 10.0.0.7/08,fd00::1/64\n',
  'clusterCIDR: 1.2.3.0/24,1.2.4.0/24\n',
  'clusterCIDR: a,b,c\n',
  'clusterCIDR: "10.0.0.0/8, fd00::/64"\n',
  'clusterCIDR: a,b,c\ndetectLocalMode: NodeCIDR\n',
  'detectLocalMode: Foo\n',
  'detectLocalMode: BridgeInterface\n',
  'detectLocalMode: BridgeInterface\ndetectLocal: {bridgeInterface: cni0}\n',
  'detectLocalMode: InterfaceNamePrefix\n',
  'detectLocalMode: InterfaceNamePrefix\ndetectLocal: {interfaceNamePrefix: veth}\n',
  'nodePortAddresses: []\n',
  'nodePortAddresses: [primary]\n',
  'nodePortAddresses: [10.0.0.0/8, "fd00::/64", 0.0.0.0/0]\n',
  'nodePortAddresses: [a, 1.2.3.4, 1.2.3.4/33]\n',
  'nodePortAddresses: 10.0.0.0/8\n',
  'configSyncPeriod: 1h\n',
  'configSyncPeriod: -1s\n',
  'conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}\n',
  'conntrack: {maxPerCore: 1, min: 2, tcpEstablishedTimeout: 2h, tcpCloseWaitTimeout: 1m, tcpBeLiberal: true, udpTimeout: 30s, udpStreamTimeout: 3m}\n',
  'conntrack: {maxPerCore: -1, min: -1, tcpEstablishedTimeout: -1s, tcpCloseWaitTimeout: -1s, udpTimeout: -1s, udpStreamTimeout: -1s}\n',
  'conntrack: {maxPerCore: 9999999999}\n',
  'conntrack: {maxPerCore: "9"}\n',
  'oomScoreAdj: 0\n',
  'oomScoreAdj: 1001\n',
  'oomScoreAdj: 1.5\n',
  'featureGates: {AllowServiceExternalIPs: false}\n',
  'featureGates: {NoSuchGate: true}\n',
  'featureGates: {LoggingBetaOptions: 1}\n',
  'logging: {format: json, verbosity: 3}\n',
  'logging: {flushFrequency: 7s, verbosity: 2, vmodule: [{filePattern: "prox*", verbosity: 4}]}\n',
  'logging: {flushFrequency: 5000000000}\n',
  'logging: {format: foo, flushFrequency: -1, verbosity: 3}\n',
  'logging: {verbosity: -1}\n',
  'winkernel: {enableDSR: true, networkName: net, sourceVip: 1.2.3.4, rootHnsEndpointName: r, forwardHealthCheckVip: true}\nwindowsRunAsService: true\n',
  'hostnameOverride: "true"\nportRange: "0"\nwinkernel: {networkName: "1e3", sourceVip: "0x1F", rootHnsEndpointName: "2001-01-01"}\n',
  'hostnameOverride: "a: b"\nportRange: " x "\nwinkernel: {networkName: "é", sourceVip: "a\'b", rootHnsEndpointName: "- a"}\n',
  'hostnameOverride: "*"\nportRange: "a #b"\nwinkernel: {networkName: "~", sourceVip: "no", rootHnsEndpointName: "a\\tb"}\n',
  'a: b: c\n',
].map((body) => ({ words: [], file: heading + body }));

const wholeFiles = [
  '',
  'a: 1\n',
  'kind: KubeProxyConfiguration\napiVersion: kubeproxy.config.k8s.io/v1\n',
  'kind: KubeletConfiguration\napiVersion: kubeproxy.config.k8s.io/v1alpha1\n',
  '{"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration", "mode": "ipvs", "ipvs": {"scheduler": "wrr"}}',
  `---\n${heading}mode: ipvs\n---\n${heading}mode: nftables\n`,
].map((file) => ({ words: [], file }));

/** Without a file. */
const commandLines = [
  [],
  ['--proxy-mode=ipvs'],
  ['--proxy-mode', 'ipvs', '--ipvs-scheduler', 'sh', '--ipvs-sync-period=20s', '--iptables-sync-period=10s'],
  ['--proxy_mode=ipvs', '--ipvs-min-sync-period=0s', '--ipvs-strict-arp', '--masquerade-all=true'],
  ['--proxy-mode=nftables', '--masquerade-all', '--iptables-sync-period=10s', '--ipvs-sync-period=20s'],
  ['--proxy-mode=nftables', '--nodeport-addresses=10.0.0.0/8,fd00::/64', '--nodeport-addresses=127.0.0.0/8'],
  [
    '--proxy-mode=ipvs',
    '--ipvs-exclude-cidrs=10.0.0.0/8',
    '--ipvs-tcp-timeout=1h',
    '--ipvs-tcpfin-timeout=1m',
  ],
  ['--proxy-mode=ipvs', '--ipvs-udp-timeout=-1s'],
  ['--iptables-sync-period=1m', '--iptables-min-sync-period=2s', '--iptables-masquerade-bit=0x10'],
  ['--iptables-masquerade-bit=40'],
  ['--iptables-localhost-nodeports=false', '--oom-score-adj=-5', '--config-sync-period=1m'],
  ['--cluster-cidr=10.244.0.0/16,fd00::/64', '--detect-local-mode=NodeCIDR'],
  ['--pod-bridge-interface=cni0', '--pod-interface-name-prefix=veth', '--detect-local-mode=BridgeInterface'],
  ['--bind-address=::', '--kubeconfig=/k', '--kube-api-qps=1.5', '--kube-api-burst=7'],
  ['--bind-address=', '--healthz-bind-address=', '--metrics-bind-address='],
  ['--bind-address=x'],
  ['--healthz-bind-address=1.2.3.4:99', '--metrics-bind-address=[::1]:98'],
  ['--healthz-bind-address=1.2.3.4'],
  ['--healthz-bind-address=1.2.3.4:x'],
  ['--hostname-override= Node-B '],
  ['--hostname-override=  '],
  ['--hostname-override='],
  ['--conntrack-max-per-core=0', '--conntrack-min=1', '--conntrack-tcp-timeout-established=1h'],
  ['--conntrack-tcp-timeout-close-wait=2h', '--conntrack-tcp-be-liberal', '--conntrack-udp-timeout=1s'],
  ['--conntrack-udp-timeout-stream=1s', '--bind-address-hard-fail', '--profiling'],
  [
    '--kube-api-content-type=application/json',
    '--master=https://h:1',
    '--feature-gates=AllowServiceExternalIPs=false',
  ],
  ['--feature-gates=AllowServiceExternalIPs=maybe'],
  ['-v=4', '--vmodule=a=1,b=2', '--logging-format=json', '--log-flush-frequency=3s'],
  ['-v4'],
  ['-v', '4', '--vmodule=a=1'],
  ['--v=x'],
  ['--boot-id-file=/x', '--machine-id-file=/y'],
  ['--conntrack-min=abc'],
  ['--config-sync-period=5'],
  ['--ipvs-strict-arp=maybe'],
  ['--no-such-flag'],
  ['word'],
].map((words) => ({ words }));

/** Beside a file. */
const both = [
  ['--hostname-override=NODE-C'],
  ['-v=6', '--vmodule=c=3', '--log-flush-frequency=9s'],
  ['--proxy-mode=nftables', '--ipvs-scheduler=lc', '--bind-address=::', '--nodeport-addresses=10.0.0.0/8'],
  ['--conntrack-min=abc'],
].map((words) => ({
  words,
  file: `${heading}mode: ipvs\nhostnameOverride: Node-A\nlogging: {verbosity: 1, vmodule: [{filePattern: d, verbosity: 5}]}\n`,
}));

function record(kubeProxy: string, directory: string, { words, file }: Case): RecordedCase {
  const configPath = join(directory, 'config.conf');
  const output = join(directory, 'written');
  rmSync(output, { force: true });
  if (file !== undefined) writeFileSync(configPath, file);
  const config = file === undefined ? [] : [`--config=${configPath}`];
  const { stderr } = spawnSync(kubeProxy, [...config, ...words, `--write-config-to=${output}`], {
    encoding: 'utf8',
  });
  const error =
    /"command failed" err="(.*)"\n/.exec(stderr)?.[1] ??
    /"command failed" err=<\n\t(.*)\n/.exec(stderr)?.[1] ??
    /^Error: (.*)$/m.exec(stderr)?.[1];
  const warning = /strict decoding error: (.*?)"?\n(?:\t {2}(.*)\n)?/.exec(stderr);
  return {
    words,
    ...(file !== undefined && { file }),
    ...(existsSync(output) && { written: readFileSync(output, 'utf8') }),
    ...(error !== undefined && { error: error.replaceAll('\\"', '"').replaceAll('\\\\', '\\') }),
    ...(warning && { warning: (warning[2] ?? warning[1] ?? '').replaceAll('\\"', '"') }),
  };
}

const [kubeProxy] = process.argv.slice(2);
if (kubeProxy === undefined) {
  process.stderr.write('usage: node scripts/record-configuration.ts KUBE_PROXY\n');
  process.exit(2);
}
const directory = mkdtempSync(join(tmpdir(), 'record-'));
const cases = [...files, ...wholeFiles, ...commandLines, ...both];
const recorded = cases.map((each) => record(kubeProxy, directory, each));
const path = fileURLToPath(new URL('../test/oracle/configuration/recorded.json', import.meta.url));
const version = spawnSync(kubeProxy, ['--version'], { encoding: 'utf8' }).stdout.trim();
writeFileSync(
  path,
  `${JSON.stringify({ recordedFrom: `kube-proxy, ${version}`, cases: recorded }, null, 1)}\n`,
);
rmSync(directory, { recursive: true });
