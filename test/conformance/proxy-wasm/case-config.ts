/** Weir's configuration for a case that was recorded from Envoy by shared/conformance/wasm/oracle.py: names are those of that program. */
import type { ConfigInput } from '../../../src/main.ts';

export interface WasmCase {
  root_id?: string;
  configuration?: string;
  fail_open?: boolean;
}

export function caseConfig(
  module: string,
  wasmCase: WasmCase,
  ports: { listen: number; upstream: number; dead: number },
): ConfigInput {
  const cluster = (name: string, port: number) => ({ name, endpoints: [`127.0.0.1:${port}`], connect_timeout: '1s' });
  return {
    workers: 1,
    drain_timeout: '100ms',
    listeners: [
      {
        name: 'l',
        address: `127.0.0.1:${ports.listen}`,
        filters: [
          {
            use: module,
            runtime: 'proxy-wasm',
            name: 'plugin',
            root_id: wasmCase.root_id ?? '',
            vm: { id: 'vm' },
            ...(wasmCase.configuration === undefined ? {} : { config: wasmCase.configuration }),
            on_error: wasmCase.fail_open === true ? 'fail_open' : 'fail_closed',
          },
        ],
        virtual_hosts: [
          { name: 'v', domains: ['*'], routes: [{ name: 'r', match: { prefix: '/' }, cluster: 'upstream' }] },
        ],
      },
    ],
    clusters: [
      cluster('upstream', ports.upstream),
      cluster('aux', ports.upstream),
      cluster('httpbin', ports.upstream),
      cluster('dead', ports.dead),
    ],
  };
}
