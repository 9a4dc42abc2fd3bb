/**
 * The line by which a plugin says where it listens: `core version|protocol version|network|address|protocol[|certificate]`.
 * Source: hashicorp/go-plugin, docs/internals.md.
 */
import type { PluginProcess } from '../abi/index.ts';

/** What a process finds in its environment. Source: MOSN, pkg/plugin; go-plugin. */
export const HANDSHAKE_ENV: Readonly<Record<string, string>> = {
  MOSN_PLUGIN: 'ON',
  // 0: as many threads as the program's language takes by itself.
  MOSN_PROCS: '0',
  PLUGIN_MIN_PORT: '10000',
  PLUGIN_MAX_PORT: '25000',
  PLUGIN_PROTOCOL_VERSIONS: '1',
  WEIR_PLUGIN: '1',
};

const VERSION = '1';
/** go-plugin takes shorter ones for noise. */
const MIN_CERTIFICATE = 50;
const SHAPE = '1|1|unix|/path/of/socket|grpc or 1|1|tcp|127.0.0.1:1234|grpc';

/** @throws Error that says what is wrong with the line. */
export function parseHandshake(line: string): Pick<PluginProcess, 'network' | 'address'> {
  const fail = (why: string): never => {
    throw new Error(`${why}; its first line was ${JSON.stringify(line.slice(0, 200))}`);
  };
  const [core, app = '', network = '', address = '', protocol = 'netrpc', certificate = ''] = line.trim().split('|');
  if (!line.includes('|') || !/^[0-9]+$/.test(core ?? '')) {
    return fail(`it printed something else before its handshake (expected: ${SHAPE})`);
  }
  if (core !== VERSION) return fail(`it speaks version ${core} of the handshake, Weir speaks ${VERSION}`);
  if (app !== VERSION) return fail(`it speaks version ${app} of the plugin protocol, Weir speaks ${VERSION}`);
  if (protocol !== 'grpc') return fail(`it speaks ${protocol}, Weir speaks grpc`);
  if (certificate.length > MIN_CERTIFICATE) return fail('it wants TLS (AutoMTLS), which Weir does not offer to it');
  if (network === 'unix' && address.startsWith('/')) return { network, address };
  if (network === 'tcp' && /^.+:[0-9]+$/.test(address)) return { network, address };
  return fail(`it names no address (expected: ${SHAPE})`);
}
