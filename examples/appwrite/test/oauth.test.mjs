// Sign-ins by another service: the official SDKs, both generations, in a browser that
// obeys the rules of cookies, and an OpenID provider of other people.
import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { after, before, describe, test } from 'node:test';
import * as web27 from 'appwrite';
import * as web18 from 'appwrite-18';
import * as node27 from 'node-appwrite';
import * as node17 from 'node-appwrite-17';
import { Provider } from 'oidc-provider';
import { Server, apiKey, project } from './server.mjs';

const password = 'correct horse';
const dateForm = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00$/;
const success = 'https://app.example.org/in?a=1#top';
const failure = 'https://app.example.org/out?b=2';

let counter = 0;
const fresh = (name) => `${name}${counter += 1}@example.org`;

const keys = [
  generateKeyPairSync('rsa', { modulusLength: 2048 }), generateKeyPairSync('ec', { namedCurve: 'P-256' }), generateKeyPairSync('ed25519'),
].map(({ privateKey }) => privateKey.export({ format: 'jwk' }));

// Service is an OpenID provider at which the present person signs in without a page.
class Service {
  static async listen() {
    const service = new Service();
    service.people = new Map();
    service.calls = [];
    service.http = createServer((request, response) => service.serve(request, response));
    await new Promise((resolve) => service.http.listen(0, '127.0.0.1', resolve));
    service.issuer = `http://127.0.0.1:${service.http.address().port}`;
    service.clientID = 'the host: 100% + more';
    service.clientSecret = 'a:b%3A+c d/e?f&g=h"i\\j~%';
    service.env = { OIDC_ISSUER: service.issuer, OIDC_CLIENT_ID: service.clientID, OIDC_CLIENT_SECRET: service.clientSecret };
    return service;
  }

  // open lets the host sign its users in.
  open(server, { client, ...configuration } = {}) {
    this.provider = new Provider(this.issuer, {
      clients: [{
        client_id: this.clientID, client_secret: this.clientSecret, grant_types: ['authorization_code', 'refresh_token'],
        redirect_uris: [`${server.endpoint}/account/sessions/oauth2/callback/oidc/${project}`], token_endpoint_auth_method: 'client_secret_basic', ...client,
      }],
      claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
      cookies: { keys: ['for tests only'] },
      enabledJWA: { idTokenSigningAlgValues: ['RS256', 'ES256', 'EdDSA'], userinfoSigningAlgValues: ['RS256', 'ES256', 'EdDSA'] },
      features: { devInteractions: { enabled: false }, claimsParameter: { enabled: true }, jwtUserinfo: { enabled: true } },
      findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, ...this.people.get(id) }) }),
      interactions: { url: (_, { uid }) => `/interaction/${uid}` },
      issueRefreshToken: (_, client) => client.grantTypeAllowed('refresh_token'),
      jwks: { keys },
      pkce: { required: () => true },
      rotateRefreshToken: true,
      ttl: { AccessToken: 600, AuthorizationCode: 60, Grant: 3600, IdToken: 600, Interaction: 600, RefreshToken: 3600, Session: 3600 },
      ...configuration,
    });
    this.provider.on('grant.success', ({ oidc }) => this.calls.push({ grant: oidc.params.grant_type }));
    this.answer = this.provider.callback();
  }

  // person returns the id of a new person, who signs in from now on.
  person(claims) {
    this.present = `person ${counter += 1}`;
    this.people.set(this.present, claims);
    return this.present;
  }

  async serve(request, response) {
    this.calls.push({ path: new URL(request.url, this.issuer).pathname, authorization: request.headers.authorization });
    if (!request.url.startsWith('/interaction/')) {
      this.answer(request, response);
      return;
    }
    const { params } = await this.provider.interactionDetails(request, response);
    this.scope = params.scope;
    if (this.denies) {
      await this.provider.interactionFinished(request, response, { error: 'access_denied', error_description: 'a word of the service' });
      return;
    }
    const grant = new this.provider.Grant({ accountId: this.present, clientId: params.client_id });
    grant.addOIDCScope(params.scope);
    grant.addOIDCClaims(['email', 'email_verified', 'name']);
    await this.provider.interactionFinished(request, response, { login: { accountId: this.present }, consent: { grantId: await grant.save() } });
  }

  // took returns the calls of a path or a grant since the last time.
  took(...names) {
    return this.calls.splice(0).filter(({ path, grant }) => names.includes(path ?? grant));
  }

  stop() {
    this.http.close();
    this.http.closeAllConnections();
  }
}

// Jar keeps cookies by host, path, age, SameSite and Secure.
class Jar {
  constructor() {
    this.cookies = new Map();
  }

  keep(url, response) {
    for (const line of response.headers.getSetCookie()) {
      const [[name, value], ...attributes] = line.split(';').map((part) => {
        const at = part.indexOf('=');
        return at < 0 ? [part.trim(), ''] : [part.slice(0, at).trim(), part.slice(at + 1).trim()];
      });
      const is = Object.fromEntries(attributes.map(([attribute, text]) => [attribute.toLowerCase(), text]));
      const path = is.path?.startsWith('/') ? is.path : url.pathname.replace(/\/[^/]*$/, '') || '/';
      const sameSite = is.samesite?.toLowerCase() ?? 'lax';
      if ('secure' in is ? url.protocol !== 'https:' : sameSite === 'none') continue;
      const expires = is['max-age'] !== undefined ? Date.now() + Number(is['max-age']) * 1000 : is.expires ? Date.parse(is.expires) : Infinity;
      const key = [url.hostname, path, name].join(' ');
      this.cookies.delete(key);
      if (expires > Date.now()) this.cookies.set(key, { host: url.hostname, path, name, value, expires, sameSite });
    }
  }

  // header returns the cookies for a request. The form of another site comes with those of
  // SameSite=None only.
  header(url, foreignForm = false) {
    const under = (path) => url.pathname === path || url.pathname.startsWith(path.endsWith('/') ? path : `${path}/`);
    return [...this.cookies.values()]
      .filter((c) => c.host === url.hostname && under(c.path) && c.expires > Date.now() && !(foreignForm && c.sameSite !== 'none'))
      .sort((a, b) => b.path.length - a.path.length).map((c) => `${c.name}=${c.value}`).join('; ');
  }

  get(name) {
    return [...this.cookies.values()].find((c) => c.name === name)?.value;
  }

  // forget deletes the cookies with other names than those of the host.
  forget() {
    for (const [key, { name }] of this.cookies) if (!name.startsWith('a_')) this.cookies.delete(key);
  }
}

const isCallback = (url) => url.pathname.includes('/callback/');

// Browser is a client SDK whose calls have the cookies of a browser.
class Browser {
  constructor(sdk, server) {
    this.sdk = sdk;
    this.server = server;
    this.jar = new Jar();
    this.client = new sdk.Client().setEndpoint(server.endpoint).setProject(project);
  }

  get account() {
    return new Proxy(new this.sdk.Account(this.client), {
      get: (target, name) => async (...args) => {
        const plain = globalThis.fetch;
        globalThis.fetch = (url, init) => this.request(url, init, plain);
        try {
          return await target[name](...args);
        } finally {
          globalThis.fetch = plain;
        }
      },
    });
  }

  async request(address, { foreignForm, ...init } = {}, plain = globalThis.fetch) {
    const url = new URL(address);
    const headers = new Headers(init.headers);
    const cookie = this.jar.header(url, foreignForm);
    if (cookie) headers.set('Cookie', cookie);
    const response = await plain(url, { redirect: 'manual', ...init, headers });
    this.jar.keep(url, response);
    return response;
  }

  // visit follows redirections to a page, to another machine, or to an address that
  // fits, and returns that address, the answer if there is one, and the steps.
  async visit(address, fits = () => false) {
    const steps = [];
    for (let url = new URL(address); steps.length < 12;) {
      if (url.hostname !== '127.0.0.1' || steps.length > 0 && fits(url)) return { url, steps };
      const response = await this.request(url);
      const text = await response.text();
      steps.push({ url, status: response.status, headers: response.headers });
      const to = response.headers.get('location');
      if (!to) return { url, steps, status: response.status, text };
      url = new URL(to, url);
    }
    throw new Error('more than 12 redirections');
  }

  start(...args) {
    return this.account.createOAuth2Session('oidc', ...args);
  }

  async signIn(...args) {
    return this.visit(await this.start(...args));
  }

  // toCallback signs in at the service and returns the address of the host to which the
  // service sends the browser.
  async toCallback(...args) {
    return (await this.visit(await this.start(...args), isCallback)).url;
  }
}

// refused expects an error of the API.
const refused = async (promise, code, type) => {
  const error = await promise.then(() => undefined, (e) => e);
  assert.ok(error, `not refused, want ${type}`);
  assert.deepEqual([error.code, error.type], [code, type], error.message);
};

// failed expects the failure page of a start that names one.
const failed = ({ url }, code, type) => {
  assert.equal(url.origin + url.pathname, 'https://app.example.org/out', url.href);
  assert.deepEqual([...url.searchParams.keys()], ['b', 'error']);
  const error = JSON.parse(url.searchParams.get('error'));
  assert.deepEqual(Object.keys(error).sort(), ['code', 'message', 'type']);
  assert.deepEqual([error.code, error.type], [code, type], error.message);
  return error;
};

// rendered expects an error as the answer of the host.
const rendered = ({ status, text }, code, type) => {
  const error = JSON.parse(text);
  assert.deepEqual([status, error.code, error.type], [code, code, type], error.message);
};

const checkSession = (session, want) => {
  for (const [name, value] of Object.entries({ provider: 'oidc', factors: ['email', 'oauth2'], current: true, secret: '', ...want })) assert.deepEqual(session[name], value, name);
};

const checkUser = (user, want) => {
  for (const [name, value] of Object.entries(want)) assert.deepEqual(user[name], value, name);
};

// opened returns a host and a service that knows it.
const opened = async (kind, options) => {
  const service = await Service.listen();
  const server = await Server.start(kind, service.env);
  service.open(server, options);
  const stop = async () => {
    await server.stop();
    service.stop();
  };
  return { service, server, stop };
};

const generations = [
  { name: 'appwrite 27, node-appwrite 27', web: web27, node: node27 },
  { name: 'appwrite 18, node-appwrite 17', web: web18, node: node17 },
];

for (const kind of ['memory', 'bbolt', 'sqlite', 'postgres']) {
  describe(kind, () => {
    let service;
    let server;
    let stop;
    before(async () => { ({ service, server, stop } = await opened(kind)); });
    after(() => stop());

    for (const { name, web, node } of generations) {
      describe(name, () => {
        const browser = () => new Browser(web, server);
        const users = () => new node.Users(new node.Client().setEndpoint(server.endpoint).setProject(project).setKey(apiKey));
        // later does something so many seconds later.
        const later = async (seconds, work) => {
          await writeFile(server.env.CLOCK_OFFSET_FILE, String(seconds));
          try {
            await work();
          } finally {
            await writeFile(server.env.CLOCK_OFFSET_FILE, '0');
          }
        };
        // signedUp returns a browser with a signed-in user.
        const signedUp = async (email = fresh('grace')) => {
          const b = browser();
          const user = await b.account.create(web.ID.unique(), email, password, 'Grace');
          await b.account.createEmailPasswordSession(email, password);
          return { b, user, email };
        };
        // identityOf returns the only identity of a user.
        const identityOf = async (b) => {
          const list = await b.account.listIdentities();
          assert.equal(list.total, 1);
          return list.identities[0];
        };

        test('a person signs up and in by the service, with a session in cookies', async () => {
          const email = fresh('Ada');
          const id = service.person({ email, email_verified: true, name: 'Ada Lovelace' });
          const b = browser();
          const { url, steps } = await b.signIn(success, failure);
          assert.equal(url.href, success);
          const ours = steps.filter((step) => step.url.origin === server.base);
          assert.deepEqual(ours.map((step) => [step.status, step.url.pathname]), [
            [301, '/v1/account/sessions/oauth2/oidc'], [301, `/v1/account/sessions/oauth2/callback/oidc/${project}`], [301, '/v1/account/sessions/oauth2/oidc/redirect'],
          ]);
          for (const step of ours) assert.match(step.headers.get('cache-control'), /no-store/);
          assert.equal(b.jar.get('a_oauth2'), undefined);
          const user = await b.account.get();
          checkUser(user, { email: email.toLowerCase(), emailVerification: true, name: 'Ada Lovelace', phone: '', passwordUpdate: '' });
          checkSession(await b.account.getSession('current'), { userId: user.$id, providerUid: id });

          const again = browser();
          const page = await again.signIn();
          assert.deepEqual([page.status, page.url.href], [200, `${server.base}/auth/oauth2/success?project=${project}`]);
          assert.equal((await again.account.get()).$id, user.$id);
          assert.equal((await again.account.listSessions()).total, 2);
          await refused(browser().account.get(), 401, 'general_unauthorized_scope');
        });

        test('a server begins, and a page redeems the token once and within a minute', async () => {
          const email = fresh('ada');
          const id = service.person({ email, email_verified: true, name: 'Ada' });
          const client = () => new node.Client().setEndpoint(server.endpoint).setProject(project);
          const accounts = [new node.Account(client()), new node.Account(client().setKey(apiKey))];
          const handedOver = async (account) => {
            const { url } = await browser().visit(await account.createOAuth2Token('oidc', success, failure));
            assert.deepEqual([url.host, url.hash, [...url.searchParams.keys()]], ['app.example.org', '#top', ['a', 'secret', 'userId']]);
            return [url.searchParams.get('userId'), url.searchParams.get('secret')];
          };
          for (const account of accounts) {
            const [userId, secret] = await handedOver(account);
            const b = browser();
            await refused(b.account.createSession(userId, 'f'.repeat(64)), 401, 'user_invalid_token');
            checkSession(await b.account.createSession(userId, secret), { userId, providerUid: id });
            checkUser(await b.account.get(), { $id: userId, email, emailVerification: true, name: 'Ada' });
            await refused(browser().account.createSession(userId, secret), 401, 'user_invalid_token');
          }
          const page = browser();
          const { url } = await page.visit(await page.account.createOAuth2Token('oidc', success, failure));
          assert.equal(page.jar.get('a_session_demo_legacy'), undefined);
          await page.account.createSession(url.searchParams.get('userId'), url.searchParams.get('secret'));
          const older = await handedOver(accounts[0]);
          const newer = await handedOver(accounts[0]);
          await refused(browser().account.createSession(...older), 401, 'user_invalid_token');
          await later(50, () => browser().account.createSession(...newer));
          const late = await handedOver(accounts[0]);
          await later(61, () => refused(browser().account.createSession(...late), 401, 'user_invalid_token'));
        });

        test('a signed-in user links the service, lists the identity and unlinks it', async () => {
          const { b, user, email } = await signedUp();
          const theirs = fresh('work');
          const id = service.person({ email: theirs, email_verified: true, name: 'G. Hopper' });
          const before = await b.account.getSession('current');
          const { url } = await b.signIn(success, failure);
          assert.equal(url.href, success);
          assert.equal((await b.account.getSession('current')).$id, before.$id);
          checkUser(await b.account.get(), { $id: user.$id, email, emailVerification: false, name: 'Grace' });
          const identity = await identityOf(b);
          checkUser(identity, { userId: user.$id, provider: 'oidc', providerUid: id, providerEmail: theirs, providerAccessToken: '', providerRefreshToken: '' });
          for (const field of ['$createdAt', '$updatedAt', 'providerAccessTokenExpiry']) assert.match(identity[field], dateForm, field);
          assert.ok(Date.parse(identity.providerAccessTokenExpiry) - Date.now() > 500_000);

          const { Query } = node;
          for (const queries of [[Query.equal('provider', ['oidc'])], [Query.equal('providerUid', [id])], [Query.equal('providerEmail', [theirs]), Query.limit(1)]]) {
            assert.deepEqual((await b.account.listIdentities(queries)).identities.map((i) => i.$id), [identity.$id]);
            const found = await users().listIdentities([Query.equal('userId', [user.$id]), ...queries]);
            assert.deepEqual([found.total, found.identities.map((i) => i.$id)], [1, [identity.$id]]);
          }
          assert.equal((await b.account.listIdentities([Query.equal('provider', ['github'])])).total, 0);
          const { b: other } = await signedUp();
          assert.equal((await other.account.listIdentities()).total, 0);
          await refused(other.account.deleteIdentity(identity.$id), 404, 'user_identity_not_found');

          const by = browser(); // signed in by the identity
          await by.signIn(success, failure);
          assert.equal((await by.account.get()).$id, user.$id);
          await b.account.deleteIdentity(identity.$id);
          await refused(by.account.get(), 401, 'general_unauthorized_scope');
          assert.equal((await b.account.listIdentities()).total, 0);
          await refused(b.account.deleteIdentity(identity.$id), 404, 'user_identity_not_found');

          b.jar.forget(); // the service signs in once more
          await b.signIn(success, failure);
          const linked = await identityOf(b);
          assert.notEqual(linked.$id, identity.$id);
          failed(await other.signIn(success, failure), 409, 'user_identity_already_exists');
          await users().deleteIdentity(linked.$id);
          await refused(users().deleteIdentity(linked.$id), 404, 'user_identity_not_found');
          assert.equal((await b.account.listIdentities()).total, 0);
          assert.equal((await b.account.get()).$id, user.$id);

          const only = browser(); // with no password, and no mail that could sign in
          service.person({ email: fresh('only'), email_verified: true });
          await only.signIn(success, failure);
          const last = await identityOf(only);
          await refused(only.account.deleteIdentity(last.$id), 409, 'user_last_way_in');
          await refused(users().deleteIdentity(last.$id), 409, 'user_last_way_in');
          assert.equal((await identityOf(only)).$id, last.$id);
        });

        test('an anonymous account becomes a full one with the same id', async () => {
          const b = browser();
          const { userId } = await b.account.createAnonymousSession();
          const cookie = b.jar.get('a_session_demo_legacy');
          const email = fresh('ada');
          const id = service.person({ email, email_verified: true, name: 'Ada' });
          assert.equal((await b.signIn(success, failure)).url.href, success);
          checkUser(await b.account.get(), { $id: userId, email, emailVerification: true, name: 'Ada' });
          checkSession(await b.account.getSession('current'), { userId, providerUid: id });
          assert.notEqual(b.jar.get('a_session_demo_legacy'), cookie);
          const old = await server.call('GET', '/account', { headers: { Cookie: `a_session_demo_legacy=${cookie}` } });
          assert.equal(old.status, 401);
          const again = browser();
          await again.signIn(success, failure);
          assert.equal((await again.account.get()).$id, userId);
        });

        if (kind !== 'memory') return;

        test('an account is found by its address, if account and service have proven it', async () => {
          const { b, user, email } = await signedUp();
          await users().updateEmailVerification(user.$id, true);
          const other = browser();
          service.person({ email, email_verified: true });
          assert.equal((await other.signIn(success, failure)).url.href, success);
          checkUser(await other.account.get(), { $id: user.$id, email, name: 'Grace' });
          assert.equal((await identityOf(b)).providerEmail, email);
          for (const claim of [false, undefined, 'true', 1]) {
            service.person({ email, email_verified: claim });
            const stranger = browser();
            failed(await stranger.signIn(success, failure), 409, 'user_already_exists');
            await refused(stranger.account.get(), 401, 'general_unauthorized_scope');
          }
          assert.equal((await b.account.listIdentities()).total, 1);
          const page = await browser().signIn(success);
          assert.deepEqual([page.status, page.url.pathname, page.url.searchParams.get('project')], [200, '/auth/oauth2/failure', project]);
          assert.equal(JSON.parse(page.url.searchParams.get('error')).type, 'user_already_exists');

          const unproven = fresh('unproven');
          service.person({ email: unproven, email_verified: false, name: 'Eve' });
          const eve = browser();
          await eve.signIn(success, failure);
          checkUser(await eve.account.get(), { email: '', emailVerification: false, name: 'Eve' });
          assert.equal((await identityOf(eve)).providerEmail, unproven);
          await signedUp(unproven); // nothing reserves it
          service.person({ name: 'Nobody' });
          failed(await browser().signIn(success, failure), 401, 'user_unauthorized');
        });

        test('a callback that comes as a form of another site, without cookies', async () => {
          const post = async (b, url, form = url.searchParams) => {
            const init = { method: 'POST', headers: { Origin: 'https://provider.example' }, body: new URLSearchParams(form), foreignForm: true };
            return b.request(url.origin + url.pathname, init);
          };
          const b = browser();
          const id = service.person({ email: fresh('ada'), email_verified: true });
          const url = await b.toCallback(success, failure);
          assert.equal(b.jar.header(url, true), '');
          const form = [...url.searchParams, ['user', '{"name":{"firstName":"Ada","lastName":"Lovelace"}}']];
          const kept = await post(b, url, form);
          assert.equal(kept.status, 303);
          assert.equal(kept.headers.getSetCookie().length, 0);
          const next = new URL(kept.headers.get('location'));
          assert.deepEqual([next.pathname, Object.fromEntries(next.searchParams)], ['/v1/account/sessions/oauth2/oidc/redirect', { state: url.searchParams.get('state'), project }]);
          failed(await browser().visit(next), 401, 'user_invalid_token'); // another browser, which uses the start up

          b.jar.forget();
          const second = await b.toCallback(success, failure);
          const location = (await post(b, second, [...second.searchParams, form.at(-1)])).headers.get('location');
          assert.equal((await b.visit(location)).url.href, success);
          checkUser(await b.account.get(), { name: 'Ada Lovelace', emailVerification: true });
          checkSession(await b.account.getSession('current'), { providerUid: id });

          const { b: linking, user } = await signedUp();
          service.person({ email: fresh('work'), email_verified: true });
          const third = await linking.toCallback(success, failure);
          assert.equal((await linking.visit((await post(linking, third)).headers.get('location'))).url.href, success);
          assert.equal((await identityOf(linking)).userId, user.$id);

          const twice = browser();
          const fourth = await twice.toCallback(success, failure);
          assert.equal((await post(twice, fourth)).status, 303);
          const again = await post(twice, fourth);
          assert.deepEqual([again.status, (await again.json()).type], [401, 'user_invalid_token']);
          rendered(await twice.visit(`${server.endpoint}/account/sessions/oauth2/oidc/redirect?state=${fourth.searchParams.get('state')}`), 401, 'user_invalid_token');
        });

        test('the issuer in the callback, and what else cannot be changed on the way', async () => {
          service.person({ email: fresh('ada'), email_verified: true });
          const changed = async (change) => {
            const b = browser();
            const url = await b.toCallback(success, failure);
            assert.equal(url.searchParams.get('iss'), service.issuer);
            change(url.searchParams);
            service.took();
            const page = await b.visit(url);
            await refused(b.account.get(), 401, 'general_unauthorized_scope');
            return page;
          };
          failed(await changed((p) => p.set('iss', 'https://provider.example')), 401, 'user_invalid_token');
          failed(await changed((p) => p.set('iss', `${service.issuer}/`)), 401, 'user_invalid_token');
          assert.deepEqual(service.took('/token'), []); // the code was shown to nobody
          failed(await changed((p) => p.delete('iss')), 424, 'user_oauth2_provider_failure');
          failed(await changed((p) => p.append('iss', service.issuer)), 400, 'general_argument_invalid');
          failed(await changed((p) => p.append('code', 'another')), 400, 'general_argument_invalid');
          assert.deepEqual(service.took('/token'), []);
          failed(await changed((p) => p.set('code', 'another')), 424, 'user_oauth2_provider_failure');
          failed(await changed((p) => p.delete('code')), 424, 'user_oauth2_provider_error');
          rendered(await changed((p) => p.delete('state')), 401, 'user_invalid_token');
          rendered(await changed((p) => p.set('state', 'f'.repeat(64))), 401, 'user_invalid_token');

          const b = browser(); // the service wants PKCE, and the host proves it
          const { url } = await b.visit(await b.start(success, failure), ({ origin }) => origin === service.issuer);
          assert.deepEqual([url.searchParams.get('code_challenge_method'), url.searchParams.get('code_challenge').length], ['S256', 43]);
          url.searchParams.delete('code_challenge');
          url.searchParams.delete('code_challenge_method');
          assert.match(failed(await b.visit(url), 424, 'user_oauth2_provider_error').message, /invalid_request$/);
          const c = browser();
          const theirs = (await c.visit(await c.start(success, failure), ({ origin }) => origin === service.issuer)).url;
          theirs.searchParams.set('code_challenge', 'A'.repeat(43));
          failed(await c.visit(theirs), 424, 'user_oauth2_provider_failure');
          const n = browser();
          const nonce = (await n.visit(await n.start(success, failure), ({ origin }) => origin === service.issuer)).url;
          nonce.searchParams.set('nonce', 'another');
          failed(await n.visit(nonce), 424, 'user_oauth2_provider_failure');
        });

        test('what is refused: denied, unknown, twice, and in another browser', async () => {
          service.person({ email: fresh('ada'), email_verified: true });
          service.denies = true;
          try {
            const error = failed(await browser().signIn(success, failure), 424, 'user_oauth2_provider_error');
            assert.match(error.message, /access_denied$/);
            assert.doesNotMatch(error.message, /a word of the service/);
          } finally {
            service.denies = false;
          }
          const start = async (...args) => {
            const b = browser();
            return b.visit(await b.account.createOAuth2Session(...args));
          };
          rendered(await start('nothing', success, failure), 400, 'project_provider_unsupported');
          rendered(await start('github', success, failure), 412, 'project_provider_disabled');
          for (const pages of [['https://evil.test/', failure], [success, 'https://evil.test/'], ['https://app.example.org.evil.test/', failure], ['//app.example.org', failure]]) {
            rendered(await start('oidc', ...pages), 400, 'general_argument_invalid');
          }
          rendered(await start('oidc', success, failure, ['a scope']), 400, 'general_argument_invalid');

          const b = browser();
          const url = await b.toCallback(success, failure);
          assert.equal((await b.visit(url)).url.href, success);
          const session = await b.account.getSession('current');
          rendered(await b.visit(url), 401, 'user_invalid_token');
          assert.equal((await b.account.getSession('current')).$id, session.$id);

          const [mine, another] = [browser(), browser()];
          const begun = await mine.toCallback(success, failure);
          await another.toCallback(success, failure); // it has a cookie, of its own start
          failed(await another.visit(begun), 401, 'user_invalid_token');
          await refused(another.account.get(), 401, 'general_unauthorized_scope');
          rendered(await mine.visit(begun), 401, 'user_invalid_token');

          const tabs = browser(); // of which the last one is the one that signs in
          const older = await tabs.toCallback(success, failure);
          const newer = await tabs.toCallback(success, failure);
          failed(await tabs.visit(older), 401, 'user_invalid_token');
          rendered(await tabs.visit(older), 401, 'user_invalid_token');
          await tabs.visit(await tabs.account.createOAuth2Token('oidc', success, failure));
          assert.equal((await tabs.visit(newer)).url.href, success);

          const { b: linking } = await signedUp(); // linked in the session that has begun, and in no other
          const { b: third } = await signedUp();
          const link = await linking.toCallback(success, failure);
          third.jar.cookies = new Map([...third.jar.cookies, ...[...linking.jar.cookies].filter(([key]) => key.endsWith(' a_oauth2'))]);
          failed(await third.visit(link), 401, 'general_unauthorized_scope');
          assert.equal((await third.account.listIdentities()).total + (await linking.account.listIdentities()).total, 0);

          const late = browser();
          const expired = await late.toCallback(success, failure);
          await later(601, async () => rendered(await late.visit(expired), 401, 'user_invalid_token'));
        });

        test('a session is extended, and the tokens of the service with it', async () => {
          service.person({ email: fresh('ada'), email_verified: true });
          const b = browser();
          await b.signIn(success, failure, ['offline_access']);
          assert.deepEqual(service.scope.split(' '), ['openid', 'profile', 'email']); // the service drops the other scope
          let { $id, providerAccessTokenExpiry: expiry } = await identityOf(b);
          service.took();
          for (let n = 0; n < 2; n += 1) { // each refresh token works once
            const session = await b.account.updateSession('current');
            assert.equal(session.provider, 'oidc');
            assert.deepEqual(service.took('refresh_token').length, 1);
            const identity = await identityOf(b);
            assert.equal(identity.$id, $id);
            assert.ok(identity.providerAccessTokenExpiry > expiry);
            expiry = identity.providerAccessTokenExpiry;
          }
          await b.account.get();
        });
      });
    }
  });
}

describe('other services', () => {
  // bySDKs signs a person in by each generation. check gets the calls at the service.
  const bySDKs = async (options, check) => {
    const { service, server, stop } = await opened('memory', options);
    try {
      const email = fresh('ada');
      const id = service.person({ email, email_verified: true, name: 'Ada' });
      const ids = [];
      for (const { web } of generations) {
        service.took();
        const b = new Browser(web, server);
        assert.equal((await b.signIn(success, failure)).url.href, success);
        const user = await b.account.get();
        ids.push(user.$id);
        checkUser(user, { email, emailVerification: true, name: 'Ada' });
        await check({ id, email, service, server, web, session: await b.account.getSession('current'), calls: service.took('/token', '/me') });
      }
      assert.equal(ids[0], ids[1]);
    } finally {
      await stop();
    }
  };
  const paths = (calls) => calls.map(({ path }) => path);

  test('client_secret_basic: the id and the secret are encoded as a form', () => bySDKs({ clientAuthMethods: ['client_secret_basic'] }, ({ service, calls }) => {
    const [kind, text] = calls[0].authorization.split(' ');
    const parts = Buffer.from(text, 'base64').toString().split(':');
    assert.deepEqual([kind, ...parts.map((part) => new URLSearchParams(`text=${part}`).get('text'))], ['Basic', service.clientID, service.clientSecret]);
  }));

  test('client_secret_post: the secret is in the body', () => bySDKs(
    { clientAuthMethods: ['client_secret_post'], client: { token_endpoint_auth_method: 'client_secret_post' } },
    ({ calls }) => assert.equal(calls[0].authorization, undefined),
  ));

  test('pairwise subjects: the identity is the pairwise one', () => {
    const pairwise = (id) => createHash('sha256').update(`pairwise ${id}`).digest('hex');
    return bySDKs({ subjectTypes: ['pairwise'], pairwiseIdentifier: (_, id) => pairwise(id), client: { subject_type: 'pairwise' } }, ({ id, session }) => {
      assert.equal(session.providerUid, pairwise(id));
    });
  });

  test('claims at the userinfo endpoint only', () => bySDKs({ conformIdTokenClaims: true }, ({ calls }) => assert.deepEqual(paths(calls), ['/token', '/me'])));

  test('claims in the ID token', () => bySDKs({ conformIdTokenClaims: false }, ({ calls }) => assert.deepEqual(paths(calls), ['/token'])));

  test('a signed answer of the userinfo endpoint', () => bySDKs({ client: { userinfo_signed_response_alg: 'ES256' } }, ({ calls }) => assert.deepEqual(paths(calls), ['/token', '/me'])));

  for (const algorithm of ['ES256', 'EdDSA']) {
    test(`ID tokens by ${algorithm}`, () => bySDKs({ client: { id_token_signed_response_alg: algorithm } }, ({ id, session }) => assert.equal(session.providerUid, id)));
  }

  test('the claims parameter: an address in the ID token without its proof is not proven', () => bySDKs({}, async ({ id, service, server, web }) => {
    service.person({ email: fresh('ada'), email_verified: true, name: 'Ada' });
    for (const [claims, proven] of [[{ email: null }, false], [{ email: null, email_verified: null }, true]]) {
      const b = new Browser(web, server);
      const { url } = await b.visit(await b.start(success, failure), ({ origin }) => origin === service.issuer);
      url.searchParams.set('claims', JSON.stringify({ id_token: claims }));
      service.took();
      assert.equal((await b.visit(url)).url.href, success);
      assert.deepEqual(paths(service.took('/token', '/me')), ['/token']);
      assert.equal((await b.account.get()).emailVerification, proven);
    }
    service.present = id;
  }));
});
