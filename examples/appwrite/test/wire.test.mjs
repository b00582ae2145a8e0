// Tests of behaviour that the SDKs hide: cookies, headers, errors of the transport,
// limits, origins and the clock.
import assert from 'node:assert/strict';
import { createHmac, createPublicKey, verify } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { get } from 'node:http';
import { createServer } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { Inbox, Server, apiKey, project } from './server.mjs';

const password = 'correct horse';
const key = { 'X-Appwrite-Key': apiKey };

let counter = 0;
const fresh = () => `wire${counter += 1}@example.org`;

const signUp = async (server, headers = {}) => {
  const email = fresh();
  const user = await server.call('POST', '/account', { body: { userId: 'unique()', email, password }, headers });
  assert.equal(user.status, 201);
  const session = await server.call('POST', '/account/sessions/email', { body: { email, password }, headers });
  assert.equal(session.status, 201);
  return { email, user: user.json, session };
};

// raw requests a path unchanged. fetch would normalise it.
const raw = (server, path) => new Promise((resolve, reject) => {
  get(server.base + path, { path, headers: { 'X-Appwrite-Project': project } }, (response) => {
    let text = '';
    response.on('data', (part) => { text += part; });
    response.on('end', () => resolve({ status: response.statusCode, headers: new Headers(response.headers), json: JSON.parse(text) }));
  }).on('error', reject);
});

const is = (answer, status, type) => {
  assert.deepEqual([answer.status, answer.json?.type, answer.json?.code], [status, type, status], JSON.stringify(answer.json));
  assert.equal(typeof answer.json.message, 'string');
  assert.equal(typeof answer.json.version, 'string');
  assert.match(answer.headers.get('content-type'), /application\/json/);
};

describe('the wire', () => {
  let server;
  before(async () => { server = await Server.start('memory'); });
  after(() => server.stop());

  test('cookies: two, of one value, read either way, and taken back', async () => {
    const { session, user } = await signUp(server);
    const cookies = session.headers.getSetCookie();
    assert.equal(cookies.length, 2);
    assert.match(cookies[0], /^a_session_demo=[^;]+; Path=\/; Expires=[^;]+ GMT; HttpOnly; SameSite=None$/);
    assert.match(cookies[1], /^a_session_demo_legacy=[^;]+; Path=\/; Expires=[^;]+ GMT; HttpOnly$/);
    const value = cookies[0].split(';')[0].split('=').slice(1).join('=');
    assert.equal(cookies[1].split(';')[0], `a_session_demo_legacy=${value}`);
    assert.deepEqual(JSON.parse(session.headers.get('x-fallback-cookies')), { a_session_demo: value });
    assert.equal(JSON.parse(Buffer.from(value, 'base64')).id, user.$id);
    for (const headers of [
      { Cookie: `a_session_demo=${value}` }, { Cookie: `a_session_demo=${encodeURIComponent(value)}` }, { Cookie: `a_session_demo_legacy=${value}` },
      { 'X-Appwrite-Session': value }, { 'X-Fallback-Cookies': JSON.stringify({ a_session_demo: value }) },
    ]) {
      const got = await server.call('GET', '/account', { headers });
      assert.deepEqual([got.status, got.json.$id], [200, user.$id], JSON.stringify(headers));
    }
    for (const broken of [`${value.slice(0, -8)}AAAAAAAA`, 'x', Buffer.from('{}').toString('base64'), '%%%']) {
      is(await server.call('GET', '/account', { headers: { Cookie: `a_session_demo=${broken}` } }), 401, 'general_unauthorized_scope');
    }
    const out = await server.call('DELETE', '/account/sessions/current', { headers: { Cookie: `a_session_demo=${value}` } });
    assert.deepEqual([out.status, out.json, out.headers.get('x-fallback-cookies')], [204, undefined, '[]']);
    assert.ok(out.headers.getSetCookie().every((c) => /^a_session_demo(_legacy)?=deleted; .*Max-Age=0/.test(c)), out.headers.getSetCookie().join('\n'));
  });

  test('an extended session comes with its cookie again', async () => {
    const { session } = await signUp(server);
    const cookie = session.headers.getSetCookie()[0].split(';')[0];
    const extended = await server.call('PATCH', '/account/sessions/current', { headers: { Cookie: cookie } });
    assert.equal(extended.status, 200);
    assert.equal(extended.headers.getSetCookie()[0].split(';')[0], cookie);
  });

  test('an account is deleted by its user', async () => {
    const { user, session } = await signUp(server);
    const headers = { Cookie: session.headers.getSetCookie().map((c) => c.split(';')[0]).join('; ') };
    assert.equal((await server.call('DELETE', '/account')).status, 401);
    const out = await server.call('DELETE', '/account', { headers });
    assert.equal(out.status, 204);
    assert.equal((await server.call('GET', '/account', { headers })).status, 401);
    assert.equal((await server.call('GET', `/users/${user.$id}`, { headers: { 'X-Appwrite-Key': apiKey } })).status, 404);
  });

  test('errors of the transport', async () => {
    is(await server.call('GET', '/nothing'), 404, 'general_route_not_found');
    is(await server.call('POST', '/account/logs', { body: {} }), 404, 'general_route_not_found');
    is(await server.call('GET', '/account', { headers: { 'X-Appwrite-Project': 'other' } }), 404, 'project_not_found');
    is(await server.call('GET', '/account'), 401, 'general_unauthorized_scope');
    assert.match((await server.call('GET', '/account')).json.message, /^User \(role: guests\) missing scope \(account\)$/);
    is(await server.call('GET', '/users/x'), 401, 'general_unauthorized_scope');
    is(await server.call('GET', '/users/x', { headers: { 'X-Appwrite-Key': 'wrong' } }), 401, 'general_unauthorized_scope');
    is(await server.call('GET', '/account', { headers: { 'X-Appwrite-JWT': 'x' } }), 401, 'user_jwt_invalid');
    const types = { 'Content-Type': 'application/json' };
    for (const text of ['{', '"text"', '[1]', '{"userId":1,"email":[],"password":{}}', '{"userId":null}', 'null', '\u0000', `{"email":"${'x'.repeat(2 << 20)}"}`]) {
      is(await server.call('POST', '/account', { text, headers: types }), 400, 'general_argument_invalid');
    }
    for (const text of ['', '{}', '[]']) {
      const answer = await server.call('POST', '/account', { text, headers: types });
      is(answer, 400, 'general_argument_invalid');
      assert.match(answer.json.message, /^Invalid `userId` param: /);
    }
    is(await server.call('PATCH', '/users/x/status', { text: '{"status":"perhaps"}', headers: { ...types, ...key } }), 400, 'general_argument_invalid');
  });

  test('forms, unknown fields and booleans as text', async () => {
    const form = { 'Content-Type': 'application/x-www-form-urlencoded' };
    const email = fresh();
    const made = await server.call('POST', '/account', { text: new URLSearchParams({ userId: 'unique()', email, password, color: 'red' }).toString(), headers: form });
    assert.deepEqual([made.status, made.json.email], [201, email]);
    const id = made.json.$id;
    const labels = await server.call('PUT', `/users/${id}/labels`, { text: 'labels[0]=vip&labels[1]=beta', headers: { ...form, ...key } });
    assert.deepEqual([labels.status, labels.json.labels], [200, ['vip', 'beta']]);
    for (const [status, want] of [['0', false], ['1', true], ['false', false], ['true', true]]) {
      const answer = await server.call('PATCH', `/users/${id}/status`, { body: { status, extra: 1 }, headers: key });
      assert.deepEqual([answer.status, answer.json.status], [200, want]);
    }
    const none = await server.call('GET', `/users/${id}/logs?total=0&queries[]=${encodeURIComponent('{"method":"limit","values":[1]}')}`, { headers: key });
    assert.deepEqual([none.status, none.json.total, none.json.logs.length], [200, 0, 1]);
  });

  test('odd requests get an answer', async () => {
    const form = { 'Content-Type': 'application/x-www-form-urlencoded' };
    for (const index of ['-1', '99999999999999999999', 'x', '1e3', ' ']) {
      is(await server.call('GET', `/nothing?a[${index}]=x`), 404, 'general_route_not_found');
      is(await server.call('POST', '/account', { text: `email[${index}]=x`, headers: form }), 400, 'general_argument_invalid');
    }
    is(await server.call('POST', '/account', { text: `email[9223372036854775807]=x&email[9223372036854775807]=y`, headers: form }), 400, 'general_argument_invalid');
    is(await server.call('POST', '/account', { text: `email=x&email[0]=y`, headers: form }), 400, 'general_argument_invalid');
    for (const path of ['//account', '/./account', '/x/../account']) is(await raw(server, `/v1${path}`), 404, 'general_route_not_found');
    const { session } = await signUp(server);
    const cookie = { Cookie: session.headers.getSetCookie()[0].split(';')[0] };
    const ignored = await server.call('PATCH', '/account/prefs', { text: '{"prefs":{"a":1},"Prefs":{"b":2},"other":1e999}', headers: { ...cookie, 'Content-Type': 'application/json' } });
    assert.deepEqual([ignored.status, ignored.json.prefs], [200, { a: 1 }]);
    is(await server.call('PATCH', '/account/prefs', { body: { PREFS: { b: 2 } }, headers: cookie }), 400, 'general_argument_invalid');
  });

  test('a session is of the user that its value names', async () => {
    const { session, user } = await signUp(server);
    const value = session.headers.getSetCookie()[0].split(';')[0].split('=').slice(1).join('=');
    const { secret } = JSON.parse(Buffer.from(value, 'base64'));
    for (const claim of [{ id: 'other', secret }, { secret }, { id: user.$id }, { id: user.$id, secret: '' }]) {
      is(await server.call('GET', '/account', { headers: { 'X-Appwrite-Session': Buffer.from(JSON.stringify(claim)).toString('base64') } }), 401, 'general_unauthorized_scope');
    }
    const fallback = { 'X-Fallback-Cookies': JSON.stringify({ a_session_demo: value, x: 1 }) };
    assert.equal((await server.call('GET', '/account', { headers: fallback })).status, 200);
    await server.call('PATCH', `/users/${user.$id}/status`, { body: { status: false }, headers: key });
    is(await server.call('GET', '/account', { headers: fallback }), 403, 'user_blocked');
    is(await server.call('GET', '/nothing', { headers: fallback }), 404, 'general_route_not_found');
    is(await server.call('GET', `/users/${user.$id}`, { headers: fallback }), 401, 'general_unauthorized_scope');
    assert.equal((await server.call('GET', `/users/${user.$id}`, { headers: { ...fallback, ...key } })).status, 200);
  });

  test('formats: older ones have no fields of the impersonator', async () => {
    const { user } = await signUp(server);
    for (const [format, has] of [['1.4.0', false], ['1.7.0', false], ['1.8.9', false], ['1.9.0', true], ['1.9.5', true], ['2.0.0', true], ['', true]]) {
      const answer = await server.call('GET', `/users/${user.$id}`, { headers: { ...key, ...(format ? { 'X-Appwrite-Response-Format': format } : {}) } });
      assert.deepEqual([answer.status, 'impersonator' in answer.json], [200, has], format);
    }
  });

  test('formats: older ones have no phone of a member', async () => {
    const { user } = await signUp(server);
    const team = (await server.call('POST', '/teams', { body: { teamId: 'unique()', name: 'Club' }, headers: key })).json;
    await server.call('POST', `/teams/${team.$id}/memberships`, { body: { roles: [], userId: user.$id }, headers: key });
    for (const [format, has] of [['1.4.0', false], ['1.9', false], ['1.9.1', false], ['1.9.2', true], ['1.9.5', true], ['1.10.0', true], ['2.0.0', true], ['', true]]) {
      const answer = await server.call('GET', `/teams/${team.$id}/memberships`, { headers: { ...key, ...(format ? { 'X-Appwrite-Response-Format': format } : {}) } });
      assert.deepEqual([answer.status, 'userPhone' in answer.json.memberships[0]], [200, has], format);
    }
  });

  test('both generations of paths', async () => {
    const email = fresh();
    await server.call('POST', '/account', { body: { userId: 'unique()', email, password } });
    assert.equal((await server.call('POST', '/account/sessions', { body: { email, password } })).status, 201);
  });

  test('origins', async () => {
    for (const origin of ['http://localhost:3000', 'http://127.0.0.1', 'http://[::1]:99', 'https://app.example.org']) {
      const answer = await server.call('OPTIONS', '/account', { headers: { Origin: origin, 'Access-Control-Request-Method': 'GET' } });
      assert.deepEqual([answer.status, answer.headers.get('access-control-allow-origin'), answer.headers.get('access-control-allow-credentials')], [200, origin, 'true']);
      const get = await server.call('GET', '/account', { headers: { Origin: origin } });
      assert.deepEqual([get.status, get.headers.get('access-control-allow-origin')], [401, origin]);
    }
    for (const origin of ['https://evil.example.org', 'http://localhost.evil.org', 'https://app.example.org.evil.org', 'null', 'http://127.0.0.2', 'http://[::2]', '//localhost', 'http://user:pw@localhost', 'http://localhost/path']) {
      is(await server.call('GET', '/account', { headers: { Origin: origin } }), 403, 'general_unknown_origin');
    }
    assert.equal((await server.call('GET', '/users/x', { headers: { Origin: 'https://evil.example.org', ...key } })).status, 404);
  });

  test('the client, as it says and as the proxy says', async () => {
    const agent = 'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/70.0.3538.110 Safari/537.36';
    const { session } = await signUp(server, { 'User-Agent': agent, 'X-Forwarded-For': '192.0.2.7, 10.0.0.1' });
    const want = {
      ip: '192.0.2.7', osCode: 'WIN', osName: 'Windows', osVersion: '10', clientType: 'browser', clientCode: 'CH', clientName: 'Chrome',
      clientVersion: '70.0', clientEngine: 'Blink', deviceName: 'desktop', deviceBrand: '', deviceModel: '',
    };
    for (const [name, value] of Object.entries(want)) assert.equal(session.json[name], value, name);
    const plain = await signUp(server, { 'User-Agent': 'curl/8', 'X-Forwarded-User-Agent': agent });
    assert.notEqual(plain.session.json.osCode, 'WIN');
    const byKey = await signUp(server, { 'User-Agent': 'curl/8', 'X-Forwarded-User-Agent': agent, ...key });
    assert.equal(byKey.session.json.osCode, 'WIN');
  });

  test('roles', async () => {
    const roles = async (headers) => (await server.call('GET', '/debug/roles', { base: server.base, headers })).json.roles;
    assert.deepEqual(await roles({}), ['guests']);
    const { session, user } = await signUp(server);
    await server.call('PUT', `/users/${user.$id}/labels`, { body: { labels: ['vip'] }, headers: key });
    const cookie = { Cookie: session.headers.getSetCookie()[0].split(';')[0] };
    assert.deepEqual(await roles(cookie), [`user:${user.$id}`, 'users', `user:${user.$id}/unverified`, 'users/unverified', 'label:vip']);
  });

  test('the clock', async () => {
    const { session } = await signUp(server);
    const cookie = { Cookie: session.headers.getSetCookie()[0].split(';')[0] };
    assert.equal((await server.call('GET', '/account', { headers: cookie })).status, 200);
    await writeFile(server.env.CLOCK_OFFSET_FILE, `${366 * 24 * 3600}\n`);
    is(await server.call('GET', '/account', { headers: cookie }), 401, 'general_unauthorized_scope');
    await writeFile(server.env.CLOCK_OFFSET_FILE, '0');
    assert.equal((await server.call('GET', '/account', { headers: cookie })).status, 200);
  });

  test('limit headers, also while nothing is refused', async () => {
    const from = { 'X-Forwarded-For': '198.51.100.77' };
    for (let n = 1; n <= 12; n += 1) {
      const answer = await server.call('POST', '/account', { body: { userId: 'unique()', email: fresh(), password }, headers: from });
      assert.deepEqual([answer.status, answer.headers.get('x-ratelimit-limit'), answer.headers.get('x-ratelimit-remaining')], [201, '10', String(Math.max(0, 10 - n))]);
      assert.ok(Number(answer.headers.get('x-ratelimit-reset')) > Date.now() / 1000 - 60);
    }
    const byKey = await server.call('POST', '/account', { body: { userId: 'unique()', email: fresh(), password }, headers: { ...from, ...key } });
    assert.equal(byKey.headers.get('x-ratelimit-limit'), null);
  });
});

describe('settings', () => {
  const within = async (env, work) => {
    const server = await Server.start('memory', env);
    try {
      await work(server);
    } finally {
      await server.stop();
    }
  };

  test('RATE_LIMITS', () => within({ RATE_LIMITS: 'on' }, async (server) => {
    for (let n = 0; n < 10; n += 1) await server.call('POST', '/account', { body: { userId: 'unique()', email: fresh(), password } });
    const refused = await server.call('POST', '/account', { body: { userId: 'unique()', email: fresh(), password } });
    is(refused, 429, 'general_rate_limit_exceeded');
    assert.deepEqual([refused.headers.get('x-ratelimit-remaining')], ['0']);
    assert.equal((await server.call('POST', '/account', { body: { userId: 'unique()', email: fresh(), password }, headers: key })).status, 201);
  }));

  test('AUTH_DISABLED', () => within({ AUTH_DISABLED: 'email-password,anonymous' }, async (server) => {
    const body = { userId: 'unique()', email: fresh(), password };
    for (const [path, sent] of [['/account', body], ['/account/sessions/email', body], ['/account/sessions/anonymous', {}]]) {
      is(await server.call('POST', path, { body: sent }), 501, 'user_auth_method_unsupported');
    }
    assert.equal((await server.call('POST', '/account', { body, headers: key })).status, 201);
  }));

  test('MEMBERSHIPS_HIDE, AUTH_DISABLED for invitations, and the log of a team', async () => {
    const club = async (server) => {
      const body = { userId: 'unique()', email: fresh(), password, name: 'Ada' };
      await server.call('POST', '/account', { body });
      const cookie = cookieOf(await server.call('POST', '/account/sessions/email', { body }));
      const { json: team } = await server.call('POST', '/teams', { body: { teamId: 'unique()', name: 'Club' }, headers: cookie });
      return { cookie, path: `/teams/${team.$id}` };
    };
    const invitation = { email: 'guest@example.org', roles: [], url: 'http://localhost/join' };
    await within({ MEMBERSHIPS_HIDE: 'userName,userEmail,userPhone,mfa', AUTH_DISABLED: 'invites', SMTP_ADDR: '127.0.0.1:9' }, async (server) => {
      const { cookie, path } = await club(server);
      const { json: { memberships: [own] } } = await server.call('GET', `${path}/memberships`, { headers: cookie });
      assert.deepEqual([own.userName, own.userEmail, own.userPhone, own.mfa, own.roles], ['', '', '', false, ['owner']]);
      const { json: { memberships: [seen] } } = await server.call('GET', `${path}/memberships`, { headers: key });
      assert.equal(seen.userName, 'Ada');
      is(await server.call('POST', `${path}/memberships`, { body: invitation, headers: cookie }), 501, 'user_auth_method_unsupported');
      for (const headers of [cookie, key]) {
        const { json: log } = await server.call('GET', `${path}/logs`, { headers });
        assert.deepEqual([log.total, log.logs.map((l) => l.event)], [2, ['membership.create', 'team.create']]);
      }
      is(await server.call('GET', `${path}/logs`, {}), 401, 'general_unauthorized_scope');
    });
    await within({}, async (server) => {
      const { cookie, path } = await club(server);
      is(await server.call('POST', `${path}/memberships`, { body: invitation, headers: cookie }), 503, 'general_smtp_disabled');
      is(await server.call('POST', `${path}/memberships`, { body: { ...invitation, email: undefined, phone: '+14155550199' }, headers: cookie }), 503, 'general_phone_disabled');
    });
  });

  test('CUSTOM_FACTOR', async () => {
    const ask = async (server) => {
      const body = { userId: 'unique()', email: fresh(), password };
      const made = await server.call('POST', '/account', { body });
      const cookie = cookieOf(await server.call('POST', '/account/sessions/email', { body }));
      return { id: made.json.$id, cookie, asked: await server.call('POST', '/account/mfa/challenges', { body: { factor: 'custom' }, headers: cookie }) };
    };
    await within({}, async (server) => { is((await ask(server)).asked, 501, 'user_auth_method_unsupported'); });
    await within({ CUSTOM_FACTOR: 'true' }, async (server) => {
      const { id, cookie, asked } = await ask(server);
      const path = `/users/${id}/mfa/challenges/${asked.json.$id}`;
      is(await server.call('GET', path, { headers: cookie }), 401, 'general_unauthorized_scope');
      is(await server.call('GET', `/users/${id}/mfa/challenges/unknown`, { headers: key }), 401, 'user_invalid_token');
      is(await server.call('GET', `/users/nobody/mfa/challenges/${asked.json.$id}`, { headers: key }), 404, 'user_not_found');
      const { json: challenge } = await server.call('GET', path, { headers: key });
      assert.match(challenge.code, /^[0-9]{6}$/);
      assert.deepEqual({ ...challenge, code: '' }, { ...asked.json, code: '' });
      assert.deepEqual(Object.keys(asked.json).sort(), ['$createdAt', '$id', 'expire', 'userId']);
      const answered = await server.call('PUT', '/account/mfa/challenges', { body: { challengeId: challenge.$id, otp: challenge.code }, headers: cookie });
      assert.deepEqual([answered.status, answered.json.factors], [200, ['password', 'custom']]);
      is(await server.call('GET', path, { headers: key }), 401, 'user_invalid_token');
    });
  });

  const known = [
    ['Ada@mailinator.com', 'user_email_disposable', ['ada@mailinator.com', false, true, false, true]],
    ['a.da+x@googlemail.com', 'user_email_not_canonical', ['ada@gmail.com', true, false, false, false]],
    ['ada@web.de', 'user_email_free', ['ada@web.de', true, false, false, true]],
    ['ada@example.org', null, ['ada@example.org', false, false, true, true]],
  ];
  const classOf = (u) => [u.emailCanonical, u.emailIsFree, u.emailIsDisposable, u.emailIsCorporate, u.emailIsCanonical];
  const cookieOf = (session) => ({ Cookie: session.headers.getSetCookie()[0].split(';')[0] });

  test('a user shows what is known about the address', () => within({}, async (server) => {
    for (const [email, , shown] of known) {
      const body = { userId: 'unique()', email, password };
      const made = await server.call('POST', '/users', { body, headers: key });
      assert.equal(made.status, 201);
      const own = await server.call('GET', '/account', { headers: cookieOf(await server.call('POST', '/account/sessions/email', { body })) });
      for (const { json: u } of [made, own, await server.call('GET', `/users/${made.json.$id}`, { headers: key })]) assert.deepEqual(classOf(u), shown);
    }
    const anonymous = await server.call('POST', '/account/sessions/anonymous', { body: {} });
    const { json: u } = await server.call('GET', '/account', { headers: cookieOf(anonymous) });
    assert.deepEqual(classOf(u), [null, null, null, null, null]);
  }));

  test('EMAILS_REFUSED', () => within({ EMAILS_REFUSED: 'disposable,aliased,free', SMTP_ADDR: '127.0.0.1:9' }, async (server) => {
    const anonymous = cookieOf(await server.call('POST', '/account/sessions/anonymous', { body: {} }));
    for (const [email, type] of known) {
      const body = { userId: 'unique()', email, password };
      const refuses = async (method, path, headers) => {
        const answer = await server.call(method, path, { body, headers });
        if (type) is(answer, 400, type); else assert.ok(answer.status < 300, `${path}: ${answer.status}`);
      };
      await refuses('POST', '/account/tokens/magic-url');
      await refuses('POST', '/account/tokens/email');
      if (type) { // the address that is not refused is taken by now
        await refuses('POST', '/account');
        await refuses('POST', '/users', key);
        await refuses('PATCH', '/account/email', anonymous);
      }
    }
  }));

  const asked = (email) => [
    ['/account/tokens/magic-url', { userId: 'unique()', email }], ['/account/sessions/magic-url', { userId: 'unique()', email }],
    ['/account/tokens/email', { userId: 'unique()', email }], ['/account/tokens/phone', { userId: 'unique()', phone: '+14155550100' }],
    ['/account/sessions/phone', { userId: 'unique()', phone: '+14155550100' }],
  ];

  test('JWT: the key set, with a session beside it, after its time, disabled', async () => {
    const server = await Server.start('memory');
    try {
      const { session, user } = await signUp(server);
      const cookie = { Cookie: session.headers.getSetCookie()[0].split(';')[0] };
      const { jwt } = (await server.call('POST', '/account/jwts', { body: { duration: 5 }, headers: cookie })).json;
      const keys = await (await fetch(`${server.base}/.well-known/jwks.json`)).json();
      const [header, payload, signature] = jwt.split('.');
      const { kid } = JSON.parse(Buffer.from(header, 'base64url'));
      const key = createPublicKey({ key: keys.keys.find((k) => k.kid === kid), format: 'jwk' });
      assert.ok(verify(null, Buffer.from(`${header}.${payload}`), key, Buffer.from(signature, 'base64url')));
      const claims = JSON.parse(Buffer.from(payload, 'base64url'));
      assert.deepEqual([claims.sub, claims.iss, claims.exp - claims.iat <= 6], [user.$id, server.base, true]);
      const by = { 'X-Appwrite-JWT': jwt };
      assert.equal((await server.call('GET', '/account', { headers: by })).status, 200);
      is(await server.call('GET', '/account', { headers: { ...by, ...cookie } }), 403, 'user_jwt_and_cookie_set');
      for (const duration of [-1, 3601, 'x', 1.5]) {
        is(await server.call('POST', '/account/jwt', { body: { duration }, headers: cookie }), 400, 'general_argument_invalid');
      }
      await writeFile(server.env.CLOCK_OFFSET_FILE, '10');
      is(await server.call('GET', '/account', { headers: by }), 401, 'user_jwt_invalid');
    } finally {
      await server.stop();
    }
    await within({ AUTH_DISABLED: 'jwt' }, async (server) => {
      const { session } = await signUp(server);
      const cookie = { Cookie: session.headers.getSetCookie()[0].split(';')[0] };
      is(await server.call('POST', '/account/jwts', { body: {}, headers: cookie }), 501, 'user_auth_method_unsupported');
    });
  });

  test('AUTH_DISABLED, for links and codes', () => within({
    AUTH_DISABLED: 'magic-url,email-otp,phone', SMTP_ADDR: '127.0.0.1:9', SMS_WEBHOOK: 'http://127.0.0.1:9/',
  }, async (server) => {
    for (const [path, body] of asked(fresh())) {
      is(await server.call('POST', path, { body }), 501, 'user_auth_method_unsupported');
      assert.equal((await server.call('POST', path, { body, headers: key })).status, 201);
    }
  }));

  test('a mail server that never answers keeps nothing up', async () => {
    const silent = createServer(() => {});
    await new Promise((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const server = await Server.start('memory', { SMTP_ADDR: `127.0.0.1:${silent.address().port}` });
    for (const [path, body] of asked(fresh()).slice(0, 3)) {
      const began = Date.now();
      assert.equal((await server.call('POST', path, { body })).status, 201);
      assert.ok(Date.now() - began < 5_000);
    }
    await server.stop(); // within five seconds
    silent.close();
  });

  test('without SMTP_ADDR and SMS_WEBHOOK', () => within({}, async (server) => {
    for (const [path, body] of asked(fresh())) {
      is(await server.call('POST', path, { body }), 503, path.includes('phone') ? 'general_phone_disabled' : 'general_smtp_disabled');
    }
  }));

  test('USERS_LIMIT, PASSWORD_DICTIONARY, PERSONAL_DATA', () => within({ USERS_LIMIT: '1', PASSWORD_DICTIONARY: 'true', PERSONAL_DATA: 'true' }, async (server) => {
    const sign = (email, p) => server.call('POST', '/account', { body: { userId: 'unique()', email, password: p } });
    is(await sign('countess@example.org', 'Password1'), 400, 'general_argument_invalid');
    is(await sign('countess@example.org', 'the countess of'), 400, 'user_password_personal_data');
    assert.equal((await sign('countess@example.org', password)).status, 201);
    is(await sign('other@example.org', password), 400, 'user_count_exceeded');
  }));

  test('PASSWORD_HISTORY, INVALIDATE_SESSIONS, SESSION_LIMIT, SESSION_DURATION', () => within({
    PASSWORD_HISTORY: '2', INVALIDATE_SESSIONS: 'false', SESSION_LIMIT: '2', SESSION_DURATION: '3600',
  }, async (server) => {
    const { email, session } = await signUp(server);
    assert.ok(Math.abs(Date.parse(session.json.expire) - Date.now() - 3_600_000) < 60_000);
    const cookies = [];
    for (let n = 0; n < 2; n += 1) {
      const next = await server.call('POST', '/account/sessions/email', { body: { email, password } });
      cookies.push({ Cookie: next.headers.getSetCookie()[0].split(';')[0] });
    }
    is(await server.call('GET', '/account', { headers: { Cookie: session.headers.getSetCookie()[0].split(';')[0] } }), 401, 'general_unauthorized_scope');
    is(await server.call('PATCH', '/account/password', { body: { password, oldPassword: password }, headers: cookies[0] }), 400, 'user_password_recently_used');
    assert.equal((await server.call('PATCH', '/account/password', { body: { password: 'another horse', oldPassword: password }, headers: cookies[0] })).status, 200);
    assert.equal((await server.call('GET', '/account', { headers: cookies[1] })).status, 200);
  }));

  test('what cannot be is said at the start', async () => {
    for (const env of [{ SESSION_LIMIT: 'many' }, { STORE: 'clouds:x' }, { AUTH_DISABLED: 'thinking' }, { RATE_LIMITS: 'perhaps' }, { EMAILS_REFUSED: 'ugly' }, { PROJECT_ID: 'a b' }, { STORE: 'sqlite:' }, { STORE: 'sqlite:x.db', SECRET: '' }]) {
      await assert.rejects(Server.start('memory', env), /cannot be|STORE|SECRET|RATE|PROJECT|EMAILS/);
    }
  });

  test('messages: mail in two parts, alerts of sessions, calls that the receiver can check', async () => {
    const inbox = await Inbox.start();
    const secret = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
    const server = await Server.start('memory', { ...inbox.env, SESSION_ALERTS: 'true', SMS_WEBHOOK_SECRET: secret, PROJECT_NAME: 'Bread & Co' });
    try {
      const { email } = await signUp(server, { 'User-Agent': 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0' });
      await server.call('POST', '/account/sessions/email', { body: { email, password } });
      const { text } = await inbox.mail(email);
      assert.match(text, /^Subject: Security alert: new session on your Bread & Co account\r$/m);
      const boundary = text.match(/boundary=(\S+)/)[1];
      const parts = text.split(`--${boundary}`);
      assert.equal(parts.length, 4);
      assert.match(parts[1], /Content-Type: text\/plain/);
      assert.match(parts[2], /Content-Type: text\/html/);
      assert.match(parts[2], /Bread &amp; Co/);
      assert.equal((await server.call('POST', '/account/tokens/phone', { body: { userId: 'unique()', phone: '+14155550100' } })).status, 201);
      const sms = await inbox.sms('+14155550100');
      const { headers } = sms;
      const signed = createHmac('sha256', Buffer.alloc(32, 7)).update(`${headers['webhook-id']}.${headers['webhook-timestamp']}.${sms.raw}`).digest('base64');
      assert.equal(headers['webhook-signature'], `v1,${signed}`);
    } finally {
      await server.stop();
      inbox.stop();
    }
  });
});
