// The suite's origin server, on a free port of the loopback: by itself it would listen everywhere.
import net from 'node:net'
import process from 'node:process'

import { load } from './suite.mjs'

const listen = net.Server.prototype.listen
net.Server.prototype.listen = function () {
  return listen.call(this, 0, '127.0.0.1')
}
process.env.npm_config_protocol = 'http'
process.env.npm_config_port = '0'
process.env.npm_config_pidfile = 'origin.pid'
await load('http-cache-tests/server/server.mjs')
