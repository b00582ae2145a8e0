// Starts the host for a test and stops it again, by its process id.
import { spawn } from 'node:child_process';
import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:net';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const binary = process.env.APPWRITE_BIN;
if (!binary) throw new Error('APPWRITE_BIN: the host, built from examples/appwrite');

export const project = 'demo';
export const apiKey = 'the key of the server';

// freePort asks the system for a free port.
const freePort = () => new Promise((resolve, reject) => {
  const probe = createServer();
  probe.on('error', reject);
  probe.listen(0, '127.0.0.1', () => {
    const { port } = probe.address();
    probe.close(() => resolve(port));
  });
});

// postgres returns the address of a PostgreSQL server that stops with this process.
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

  // halt ends the process as its operator would do it.
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

  // call makes a request without an SDK.
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

// Inbox is an SMTP server and an SMS webhook. They keep every message.
export class Inbox {
  static async start() {
    const inbox = new Inbox();
    inbox.mails = [];
    inbox.texts = [];
    inbox.waiting = [];
    inbox.smtp = createServer((socket) => inbox.serve(socket));
    inbox.web = createHttpServer((request, response) => {
      let body = '';
      request.on('data', (part) => { body += part; });
      request.on('end', () => {
        inbox.texts.push({ ...JSON.parse(body), raw: body, headers: request.headers });
        response.end();
        inbox.came();
      });
    });
    for (const server of [inbox.smtp, inbox.web]) await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    inbox.env = { SMTP_ADDR: `127.0.0.1:${inbox.smtp.address().port}`, SMS_WEBHOOK: `http://127.0.0.1:${inbox.web.address().port}/sms` };
    return inbox;
  }

  serve(socket) {
    let buffer = '';
    let data = false;
    let mail = {};
    const say = (line) => socket.write(`${line}\r\n`);
    say('220 inbox');
    socket.on('error', () => {});
    socket.on('data', (part) => {
      buffer += part;
      for (;;) {
        const end = data ? buffer.indexOf('\r\n.\r\n') : buffer.indexOf('\r\n');
        if (end < 0) return;
        const line = buffer.slice(0, end);
        buffer = buffer.slice(end + (data ? 5 : 2));
        if (data) {
          data = false;
          mail.text = line.replaceAll('=\r\n', '').replaceAll(/=([0-9A-F]{2})/g, (_, code) => String.fromCharCode(parseInt(code, 16)));
          this.mails.push(mail);
          mail = {};
          say('250 kept');
          this.came();
        } else if (/^RCPT TO:/i.test(line)) {
          mail.to = line.match(/<(.*)>/)[1];
          say('250 ok');
        } else if (line === 'DATA') {
          data = true;
          say('354 go on');
        } else if (line === 'QUIT') {
          say('221 bye');
          socket.end();
        } else say('250 ok');
      }
    });
  }

  came() {
    for (const wake of this.waiting.splice(0)) wake();
  }

  // next returns the first matching message that was not returned before.
  async next(list, fits) {
    const until = Date.now() + 15_000;
    for (;;) {
      const i = list.findIndex(fits);
      if (i >= 0) return list.splice(i, 1)[0];
      if (Date.now() > until) throw new Error('no message came');
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, 1000);
        this.waiting.push(() => { clearTimeout(timer); resolve(); });
      });
    }
  }

  mail(to) { return this.next(this.mails, (mail) => mail.to === to); }

  sms(to) { return this.next(this.texts, (text) => text.to === to); }

  stop() {
    this.smtp.close();
    this.web.close();
    this.web.closeAllConnections();
  }
}
