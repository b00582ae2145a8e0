// Starts the host for a test and stops it again, by its process id.
import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const binary = process.env.APPWRITE_BIN;
if (!binary) throw new Error('APPWRITE_BIN: the host, built from examples/appwrite');

export const project = 'demo';
export const apiKey = 'the key of the server';

// freePort asks the system for one.
const freePort = () => new Promise((resolve, reject) => {
  const probe = createServer();
  probe.on('error', reject);
  probe.listen(0, '127.0.0.1', () => {
    const { port } = probe.address();
    probe.close(() => resolve(port));
  });
});

// postgres is the address of a PostgreSQL server that stops with this process.
let postgres;
let namespaces = 0;
const postgresAddress = () => {
  postgres ??= new Promise((resolve, reject) => {
    const server = spawn(process.env.POSTGRES_BIN ?? '', { stdio: ['pipe', 'pipe', 'inherit'] });
    server.on('error', reject);
    server.on('exit', (code) => reject(new Error(`the PostgreSQL server ended with ${code}`)));
    server.stdout.once('data', (text) => {
      for (const handle of [server, server.stdin, server.stdout]) handle.unref();
      resolve(text.toString().trim());
    });
  });
  return postgres;
};

export class Server {
  static async start(kind, env = {}) {
    const server = new Server();
    server.folder = await mkdtemp(join(tmpdir(), 'appwrite-test-'));
    server.env = {
      STORE: kind === 'memory' ? 'memory:' : kind === 'postgres' ? await postgresAddress() : `${kind}:${join(server.folder, 'data')}`,
      STORE_NAMESPACE: kind === 'postgres' ? `test${namespaces += 1}` : '',
      PROJECT_ID: project, API_KEY: apiKey, SECRET: 'for tests only', RATE_LIMITS: 'off', DEBUG_ROLES: 'true',
      ALLOWED_HOSTS: 'app.example.org', TRUST_FORWARDED_FOR: 'true', CLOCK_OFFSET_FILE: join(server.folder, 'clock'), ...env,
    };
    await server.run();
    return server;
  }

  async run() {
    const port = await freePort();
    this.base = `http://127.0.0.1:${port}`;
    this.endpoint = `${this.base}/v1`;
    this.output = '';
    this.child = spawn(binary, { env: { ...this.env, ADDR: `127.0.0.1:${port}` } });
    this.child.stderr.on('data', (text) => { this.output += text; });
    this.exited = new Promise((resolve) => this.child.on('exit', (code) => resolve(code)));
    const until = Date.now() + 15_000;
    for (;;) {
      try {
        await (await fetch(`${this.endpoint}/health/version`)).text();
        return;
      } catch (error) {
        if (this.child.exitCode !== null || Date.now() > until) throw new Error(`no answer: ${this.output}`, { cause: error });
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  }

  // halt ends the process as its operator would.
  async halt() {
    const began = Date.now();
    this.child.kill('SIGTERM');
    const code = await this.exited;
    if (code !== 0 || Date.now() - began > 5_000) throw new Error(`ended with ${code} after ${Date.now() - began} ms: ${this.output}`);
  }

  async restart() {
    await this.halt();
    await this.run();
  }

  async stop() {
    await this.halt();
    await rm(this.folder, { recursive: true, force: true });
  }

  // call is a request without an SDK.
  async call(method, path, { body, headers = {}, base = this.endpoint, text } = {}) {
    const response = await fetch(base + path, {
      method,
      headers: { 'X-Appwrite-Project': project, ...(body !== undefined ? { 'Content-Type': 'application/json' } : {}), ...headers },
      body: text ?? (body === undefined ? undefined : JSON.stringify(body)),
    });
    const answer = await response.text();
    return { status: response.status, headers: response.headers, json: answer ? JSON.parse(answer) : undefined };
  }
}
