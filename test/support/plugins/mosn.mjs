#!/usr/bin/env node
import { readFileSync, writeSync } from 'node:fs';
// A plugin that knows MOSN's contract and nothing of Weir. `--BEHAVIOUR [VALUE]` chooses what it does besides checking a header.
import { Server, ServerCredentials } from '@grpc/grpc-js';
import protobuf from 'protobufjs';

const [, , behaviour = 'check', value = ''] = process.argv;
const { root } = protobuf.parse(
  `syntax = "proto3"; package proto;
  message Request { map<string,string> header = 1; map<string,string> trailer = 2; bytes body = 3; string type = 4; }
  message Response { map<string,string> header = 1; map<string,string> trailer = 2; bytes body = 3; int32 status = 4; }`,
  { keepCase: true },
);
const Request = root.lookupType('proto.Request');
const Response = root.lookupType('proto.Response');

if (process.env.MOSN_PLUGIN !== 'ON') {
  console.error('This binary is a plugin. These are not meant to be executed directly.');
  process.exit(1);
}
if (behaviour === 'exit') {
  console.error('there is no license file');
  process.exit(3);
}
if (behaviour === 'noise') console.log('starting up, please wait ...');
if (behaviour === 'silent') setInterval(() => {}, 1000);
if (behaviour === 'ignore-term') process.on('SIGTERM', () => console.error('not now'));

// Read once: a program that lacks it does not start.
const pair = behaviour === 'certificate' ? readFileSync(value) : '';
const answers = {
  check: ({ header }) => ({ status: header.User === 'admin' ? 1 : -1 }),
  echo: (request) => ({
    body: Buffer.from(
      JSON.stringify({ ...request, body: request.body.toString(), pid: process.pid, env: process.env }),
    ),
  }),
  edit: ({ body, trailer }) => ({
    header: { 'X-Checked': 'yes', 'X-Secret': '' },
    ...(body.length > 0 ? { body: Buffer.from(body.toString().toUpperCase()) } : {}),
    trailer: Object.keys(trailer).length > 0 ? { 'X-Sum': 'checked' } : {},
  }),
  status: () => ({ status: Number(value) }),
  large: () => ({ body: Buffer.alloc(Number(value)) }),
  certificate: () => ({ body: Buffer.from(pair) }),
  die: () => process.exit(9),
};

const sick = behaviour === 'sick' ? Date.now() + Number(value) : Number.POSITIVE_INFINITY;
const server = new Server({ 'grpc.max_send_message_length': -1 });
server.addService(
  {
    Call: {
      path: '/proto.Plugin/Call',
      requestStream: false,
      responseStream: false,
      requestSerialize: (message) => message,
      requestDeserialize: (bytes) => Request.toObject(Request.decode(bytes), { defaults: true }),
      responseSerialize: (message) =>
        behaviour === 'nonsense' ? Buffer.from('ffffff', 'hex') : Response.encode(message).finish(),
      responseDeserialize: (message) => message,
    },
  },
  {
    Call: ({ request }, callback) => {
      if (behaviour === 'hang') return;
      if (behaviour === 'error') return callback({ code: 13, details: 'the database is down' });
      if (behaviour === 'slow') return setTimeout(() => callback(null, answers.check(request)), Number(value));
      if (behaviour === 'stop') return process.kill(process.pid, 'SIGSTOP');
      callback(null, (answers[behaviour] ?? answers.check)(request));
    },
  },
);
// Health checks by grpc.health.v1: SERVING is 1, NOT_SERVING 2.
if (behaviour === 'sick') {
  const same = (bytes) => bytes;
  const check = (_call, callback) => callback(null, Buffer.from([8, Date.now() < sick ? 1 : 2]));
  server.register('/grpc.health.v1.Health/Check', check, same, same, 'unary');
}
const tcp = behaviour === 'tcp';
const address = tcp ? '127.0.0.1:0' : `unix:${process.env.TMPDIR}/plugin`;
if (behaviour !== 'silent') {
  server.bindAsync(address, ServerCredentials.createInsecure(), (error, port) => {
    if (error !== null) throw error;
    const line =
      behaviour === 'line' ? value : `1|1|${tcp ? `tcp|127.0.0.1:${port}` : `unix|${process.env.TMPDIR}/plugin`}|grpc`;
    writeSync(1, `${line}\n`);
    console.log('ready to check');
  });
}
