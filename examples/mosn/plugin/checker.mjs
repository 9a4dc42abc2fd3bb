// A plugin as MOSN starts it: `checker -c FILE`. It answers proto.Plugin/Call by grpc-js and knows nothing of Weir.
import { readFileSync } from 'node:fs';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import protobuf from 'protobufjs';

const wanted = Object.entries(JSON.parse(readFileSync(process.argv[process.argv.indexOf('-c') + 1], 'utf8')));
const { root } = protobuf.parse(`syntax = "proto3"; package proto;
message Request { map<string,string> header = 1; map<string,string> trailer = 2; bytes body = 3; string type = 4; }
message Response { map<string,string> header = 1; map<string,string> trailer = 2; bytes body = 3; int32 status = 4; }`);
const [Request, Response] = [root.lookupType('proto.Request'), root.lookupType('proto.Response')];

const server = new Server();
server.register(
  '/proto.Plugin/Call',
  ({ request }, callback) => {
    const passes = wanted.every(([name, value]) => request.header[name] === value);
    callback(null, { status: passes ? 1 : -1 });
  },
  (response) => Response.encode(response).finish(),
  (bytes) => Request.decode(bytes),
  'unary',
);
server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
  if (error !== null) throw error;
  console.log(`1|1|tcp|127.0.0.1:${port}|grpc`);
});
