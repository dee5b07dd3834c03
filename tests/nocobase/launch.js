// Runs a NocoBase command in this very process: no yarn, pm2 or shell in between, so that its pid is
// the server's, and a signal to it is what the server gets.
//
//   cd DIR/app && APP_PORT=13001 PIDFILE=DIR/run/n1.pid node launch.js start --quickstart
const fs = require('fs');
const { Module } = require('module');
const path = require('path');

const { initEnv, generateAppDir } = require(
  path.resolve('node_modules/@nocobase/cli-v1/src/util.js'),
);
initEnv();
generateAppDir();
// initEnv has set NODE_PATH, which a running process reads again only when asked.
Module._initPaths();
const server = path.resolve(process.env.APP_PACKAGE_ROOT, 'lib/index.js');
process.argv.splice(1, 1, server);
// Whoever keeps the pid by itself, as the recipe for plain processes does, sets no PIDFILE.
if (process.env.PIDFILE) fs.writeFileSync(process.env.PIDFILE, `${process.pid}\n`);
require(server);
