/** Load balancing by `weir.plugin.v1.LoadBalancer`: the program is told how its endpoints do, and says what share of the requests each gets. */
import {
  type FilterHost,
  type FilterSpec,
  type LoadBalancer,
  type LoadBalancerEndpoint,
  occasionally,
} from '../../src/abi/index.ts';
import { messageType } from './messages.ts';
import type { PluginClient } from './plugin-client.ts';

const METHOD = '/weir.plugin.v1.LoadBalancer/Balance';
const Request = messageType<{ config: string; endpoints: object[] }>('weir_plugin', 'weir.plugin.v1.BalanceRequest');
const Response = messageType<{ weights: number[] }>('weir_plugin', 'weir.plugin.v1.BalanceResponse');
/** Milliseconds between two calls. */
const INTERVAL = 1000;

interface Share {
  weight: number;
  chosen: number;
}

export function createWeirLoadBalancer(client: PluginClient, spec: FilterSpec, host: FilterHost): LoadBalancer {
  const config = JSON.stringify(spec.config);
  const shares = new Map<LoadBalancerEndpoint, Share>();
  let timer: NodeJS.Timeout | undefined;
  const tell = occasionally((message) => host.log.error(message));

  async function ask(): Promise<void> {
    const asked = [...shares];
    const endpoints = asked.map(([{ name, weight, active, metadata }, share]) => {
      const { chosen } = share;
      share.chosen = 0;
      return { name, weight, active, chosen, metadata: JSON.stringify(metadata) };
    });
    try {
      const { weights } = Response.decode(await client.call(METHOD, Request.encode({ config, endpoints })));
      if (weights.length !== asked.length)
        throw new Error(`it gave ${weights.length} weights for ${asked.length} endpoints`);
      for (const [i, [, share]] of asked.entries()) share.weight = weights[i] as number;
    } catch (error) {
      tell(`the shares of the endpoints stay as they are: ${(error as Error).message}`);
    }
  }

  return {
    onEndpoints(endpoints) {
      // Until the program has spoken, the configuration's weights are the shares.
      for (const endpoint of endpoints) shares.set(endpoint, { weight: endpoint.weight, chosen: 0 });
      void ask();
      timer = setInterval(() => void ask(), INTERVAL);
      timer.unref();
    },
    choose(endpoints) {
      const sum = endpoints.reduce((total, endpoint) => total + (shares.get(endpoint)?.weight ?? 0), 0);
      if (sum === 0) throw new Error('the shares of all endpoints are 0');
      let drawn = Math.random() * sum;
      const chosen = endpoints.find((endpoint) => {
        drawn -= shares.get(endpoint)?.weight ?? 0;
        return drawn < 0;
      });
      const endpoint =
        chosen ?? (endpoints.findLast((one) => (shares.get(one)?.weight ?? 0) > 0) as LoadBalancerEndpoint);
      (shares.get(endpoint) as Share).chosen++;
      return endpoint;
    },
    close() {
      clearInterval(timer);
      client.close();
    },
  };
}
