// The article's peer-to-peer lookup, written anew for npm's seaport: a registry that workers connect to, and an
// HTTP server that answers the next worker's port. Arguments: seaport's port, HTTP's port, number of services.
const http = require('http');
const seaport = require('seaport');

const [registryPort, httpPort, count] = process.argv.slice(2).map(Number);
const registry = seaport.createServer();
registry.listen(registryPort, () => {
  const ports = seaport.connect('127.0.0.1', registryPort);
  for (let i = 0; i < count; i++) ports.register('classify@1.0.0', { port: 20000 + i });
});

let turn = -1;
http.createServer((request, response) => {
  const workers = registry.query('classify');
  if (workers.length < count) {
    response.statusCode = 503;
    response.end('no workers yet\n');
    return;
  }
  turn = (turn + 1) % workers.length;
  response.end(workers[turn].port + '\n');
}).listen(httpPort, '127.0.0.1');
