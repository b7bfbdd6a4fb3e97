// SPDX-License-Identifier: Apache-2.0
// What a kube-proxy leaves on a node: rules that send the virtual addresses somewhere else than BPVS does.
import type { DualAddress, ServiceAddress } from './cast.ts';

/** The tables of its nftables mode, cut down to what a packet to these services meets. */
export function kubeProxyNftRules(services: readonly ServiceAddress[], endpoint: DualAddress): string {
  const table = (family: 'v4' | 'v6') => {
    const ip = family === 'v4' ? 'ip' : 'ip6';
    const to = family === 'v4' ? `${endpoint.v4}:8080` : `[${endpoint.v6}]:8080`;
    const elements = services.flatMap((service) =>
      ['tcp', 'udp'].map(
        (protocol) => `${service[family]} . ${protocol} . ${service.port} : goto endpoint-${protocol}`,
      ),
    );
    return `table ${ip} kube-proxy {
      map service-ips {
        type ${family === 'v4' ? 'ipv4_addr' : 'ipv6_addr'} . inet_proto . inet_service : verdict
        elements = { ${elements.join(', ')} }
      }
      set cluster-ips {
        type ${family === 'v4' ? 'ipv4_addr' : 'ipv6_addr'}
        elements = { ${services.map((service) => service[family]).join(', ')} }
      }
      chain mark-for-masquerade { meta mark set meta mark | 0x4000; }
      chain endpoint-tcp { meta l4proto tcp dnat to ${to}; }
      chain endpoint-udp { meta l4proto udp dnat to ${to}; }
      chain services { ${ip} daddr . meta l4proto . th dport vmap @service-ips; }
      chain masquerading {
        meta mark & 0x4000 == 0 return
        meta mark set meta mark ^ 0x4000
        masquerade fully-random
      }
      chain cluster-ips-check { ${ip} daddr @cluster-ips reject; }
      chain nat-prerouting { type nat hook prerouting priority dstnat; policy accept; jump services; }
      chain nat-output { type nat hook output priority -100; policy accept; jump services; }
      chain nat-postrouting { type nat hook postrouting priority srcnat; policy accept; jump masquerading; }
      chain filter-forward { type filter hook forward priority 0; policy accept; ct state new jump cluster-ips-check; }
      chain filter-output { type filter hook output priority 0; policy accept; ct state new jump cluster-ips-check; }
    }\n`;
  };
  return table('v4') + table('v6');
}

/** The chains of its iptables mode, likewise, for iptables-restore and ip6tables-restore. */
export function kubeProxyTables(
  services: readonly ServiceAddress[],
  endpoint: DualAddress,
): (family: 'v4' | 'v6') => string {
  return (family) => {
    const to = family === 'v4' ? `${endpoint.v4}:8080` : `[${endpoint.v6}]:8080`;
    const protocols = ['tcp', 'udp'];
    return [
      '*nat',
      ':KUBE-SERVICES - [0:0]',
      ':KUBE-POSTROUTING - [0:0]',
      ':KUBE-MARK-MASQ - [0:0]',
      ...protocols.flatMap((protocol) => [`:KUBE-SVC-${protocol} - [0:0]`, `:KUBE-SEP-${protocol} - [0:0]`]),
      '-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
      '-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
      '-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING',
      '-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000',
      '-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN',
      '-A KUBE-POSTROUTING -j MARK --xor-mark 0x4000',
      '-A KUBE-POSTROUTING -j MASQUERADE --random-fully',
      ...protocols.flatMap((protocol) => [
        ...services.map(
          (service) =>
            `-A KUBE-SERVICES -d ${service[family]} -p ${protocol} -m ${protocol} --dport ${service.port} -j KUBE-SVC-${protocol}`,
        ),
        `-A KUBE-SVC-${protocol} -j KUBE-SEP-${protocol}`,
        `-A KUBE-SEP-${protocol} -p ${protocol} -m ${protocol} -j DNAT --to-destination ${to}`,
      ]),
      'COMMIT',
      '*filter',
      ':KUBE-FORWARD - [0:0]',
      ':KUBE-FIREWALL - [0:0]',
      '-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD',
      '-A INPUT -j KUBE-FIREWALL',
      '-A OUTPUT -j KUBE-FIREWALL',
      '-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP',
      '-A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT',
      '-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
      '-A KUBE-FIREWALL -m mark --mark 0x8000/0x8000 -j DROP',
      'COMMIT',
      '',
    ].join('\n');
  };
}
