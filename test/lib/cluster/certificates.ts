// SPDX-License-Identifier: Apache-2.0
// The certificates of a control plane and of those who talk to it.
import { writeFile } from 'node:fs/promises';
import { mustRun } from '../command.ts';

export interface Identity {
  /** Name of its files: NAME.crt and NAME.key. */
  readonly name: string;
  /** Common name: the user, in the API server's eyes. */
  readonly user: string;
  /** Organization: the user's group. */
  readonly group?: string;
  /** Addresses of a server. */
  readonly addresses?: readonly string[];
}

/** Makes a key of P-256. */
export async function makeKey(folder: string, name: string): Promise<void> {
  await mustRun([
    'openssl',
    'ecparam',
    '-name',
    'prime256v1',
    '-genkey',
    '-noout',
    '-out',
    `${folder}/${name}.key`,
  ]);
}

/** Makes ca.crt and ca.key. */
export async function makeAuthority(folder: string): Promise<void> {
  await makeKey(folder, 'ca');
  const subject = ['-subj', '/CN=lab', '-days', '30', '-addext', 'keyUsage=critical,keyCertSign,cRLSign'];
  await mustRun([
    'openssl',
    'req',
    '-x509',
    '-new',
    '-key',
    `${folder}/ca.key`,
    ...subject,
    '-out',
    `${folder}/ca.crt`,
  ]);
}

/** Makes a certificate of the authority, and its key. */
export async function makeCertificate(folder: string, identity: Identity): Promise<void> {
  const { name, user, group, addresses = [] } = identity;
  const path = `${folder}/${name}`;
  await makeKey(folder, name);
  const subject = `${group === undefined ? '' : `/O=${group}`}/CN=${user}`;
  await mustRun(['openssl', 'req', '-new', '-key', `${path}.key`, '-subj', subject, '-out', `${path}.csr`]);
  const names = addresses.map((address) => `IP:${address}`);
  const extensions = [
    `extendedKeyUsage=${addresses.length > 0 ? 'serverAuth' : 'clientAuth'}`,
    ...(names.length > 0 ? [`subjectAltName=${names.join()}`] : []),
  ];
  await writeFile(`${path}.ext`, `${extensions.join('\n')}\n`);
  const authority = [
    '-CA',
    `${folder}/ca.crt`,
    '-CAkey',
    `${folder}/ca.key`,
    '-CAcreateserial',
    '-days',
    '30',
  ];
  const files = ['-in', `${path}.csr`, '-out', `${path}.crt`, '-extfile', `${path}.ext`];
  await mustRun(['openssl', 'x509', '-req', ...authority, ...files]);
}
