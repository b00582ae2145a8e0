// The official SDKs, both generations, against the host on every store.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import * as web27 from 'appwrite';
import * as web18 from 'appwrite-18';
import * as node27 from 'node-appwrite';
import * as node17 from 'node-appwrite-17';
import { Inbox, Server, apiKey, project } from './server.mjs';

const password = 'correct horse';
const dateForm = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00$/;
const idForm = /^[a-zA-Z0-9][a-zA-Z0-9._-]{0,35}$/;


let counter = 0;
const fresh = (name) => `${name}${counter += 1}@example.org`;
const freshPhone = () => `+1415555${String(counter += 1).padStart(4, '0')}`;

// Browser is a client SDK with its own local storage, which holds the values that the
// SDK gets in place of cookies.
class Browser {
  constructor(sdk, server) {
    this.items = new Map();
    this.sdk = sdk;
    this.client = new sdk.Client().setEndpoint(server.endpoint).setProject(project);
  }

  get account() {
    return this.stored(new this.sdk.Account(this.client));
  }

  get teams() {
    return this.stored(new this.sdk.Teams(this.client));
  }

  // stored calls the methods of a service with this browser's storage.
  stored(service) {
    return new Proxy(service, {
      has: (target, name) => name in target,
      get: (target, name) => target[name] && (async (...args) => {
        const storage = { getItem: (key) => this.items.get(key) ?? null, setItem: (key, value) => this.items.set(key, value) };
        globalThis.window = { localStorage: storage, console: { warn() {} } };
        try {
          return await target[name](...args);
        } finally {
          delete globalThis.window;
        }
      }),
    });
  }
}

// plain returns a value as JSON would have it: an SDK may return objects without a
// prototype.
const plain = (value) => JSON.parse(JSON.stringify(value));

// refused expects an error of the API.
const refused = async (promise, code, type) => {
  const error = await promise.then(() => undefined, (e) => e);
  assert.ok(error, `not refused, want ${type}`);
  assert.deepEqual([error.code, error.type], [code, type], error.message);
  return error;
};

const checkUser = (user, want = {}) => {
  assert.match(user.$id, idForm);
  for (const name of ['$createdAt', '$updatedAt', 'registration', 'accessedAt']) assert.match(user[name], dateForm, name);
  assert.ok(user.passwordUpdate === '' || dateForm.test(user.passwordUpdate));
  const standard = {
    name: '', status: true, labels: [], email: '', phone: '', emailVerification: false, phoneVerification: false, mfa: false, prefs: {},
    emailCanonical: null, emailIsFree: null, emailIsDisposable: null, emailIsCorporate: null, emailIsCanonical: null,
  };
  if (want.email) { // all of the tests' addresses are at a domain of which no list knows anything
    Object.assign(standard, { emailCanonical: want.email, emailIsFree: false, emailIsDisposable: false, emailIsCorporate: true, emailIsCanonical: true });
  }
  for (const [name, value] of Object.entries({ ...standard, ...want })) assert.deepEqual(plain(user[name]), value, name);
  for (const target of user.targets) {
    assert.match(target.$id, idForm);
    assert.match(target.$createdAt, dateForm);
    assert.deepEqual([target.userId, target.providerId, target.expired, target.name], [user.$id, null, false, '']);
  }
};

const checkSession = (session, want) => {
  assert.match(session.$id, idForm);
  for (const name of ['$createdAt', '$updatedAt', 'expire']) assert.match(session[name], dateForm, name);
  const standard = {
    providerUid: '', providerAccessToken: '', providerAccessTokenExpiry: '', providerRefreshToken: '', mfaUpdatedAt: '', secret: '',
    countryCode: '--', countryName: 'Unknown', clientEngineVersion: '', deviceBrand: '', deviceModel: '',
  };
  for (const [name, value] of Object.entries({ ...standard, ...want })) assert.deepEqual(plain(session[name]), value, name);
  for (const name of ['ip', 'osCode', 'osName', 'osVersion', 'clientType', 'clientCode', 'clientName', 'clientVersion', 'clientEngine', 'deviceName']) {
    assert.equal(typeof session[name], 'string', name);
  }
};

// totp returns the code that an authenticator app shows in steps*30 seconds.
const totp = (secret, steps) => {
  const bits = [...secret].map((c) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(c).toString(2).padStart(5, '0')).join('');
  const seed = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + steps));
  const mac = createHmac('sha1', seed).update(counter).digest();
  return String((mac.readUInt32BE(mac[19] & 15) & 0x7fffffff) % 1_000_000).padStart(6, '0');
};

const generations = [
  { name: 'appwrite 27, node-appwrite 27', web: web27, node: node27 },
  { name: 'appwrite 18, node-appwrite 17', web: web18, node: node17 },
];

for (const kind of ['memory', 'bbolt', 'sqlite', 'postgres']) {
  describe(kind, () => {
    let server;
    let inbox;
    before(async () => {
      inbox = await Inbox.start();
      server = await Server.start(kind, { ...inbox.env, MOCK_NUMBERS: '+15555550100=042317, +15555550101=123456' });
    });
    after(async () => {
      await server.stop();
      inbox.stop();
    });

    for (const { name, web, node } of generations) {
      describe(name, () => {
        const browser = () => new Browser(web, server);
        const teams = () => new node.Teams(new node.Client().setEndpoint(server.endpoint).setProject(project).setKey(apiKey));
        const users = () => new node.Users(new node.Client().setEndpoint(server.endpoint).setProject(project).setKey(apiKey));
        // signedUp returns a browser with a signed-in user.
        const signedUp = async (email = fresh('ada')) => {
          const b = browser();
          const user = await b.account.create(web.ID.unique(), email, password, 'Ada');
          const session = await b.account.createEmailPasswordSession(email, password);
          return { b, user, session, email };
        };

        test('sign up, the user field by field, and what is refused', async () => {
          const b = browser();
          const email = fresh('Ada');
          const user = await b.account.create('ada.' + counter, email, password, 'Ada');
          checkUser(user, { $id: 'ada.' + counter, email: email.toLowerCase(), name: 'Ada', passwordUpdate: user.$createdAt });
          assert.equal(user.targets[0].identifier, email.toLowerCase());
          assert.ok(!('password' in user) && !('hash' in user) && !('hashOptions' in user));
          await refused(b.account.create(web.ID.unique(), email, password), 409, 'user_already_exists');
          await refused(b.account.create('_bad', fresh('x'), password), 400, 'general_argument_invalid');
          await refused(b.account.create(web.ID.unique(), fresh('x'), 'short'), 400, 'general_argument_invalid');
          await refused(b.account.create(web.ID.unique(), fresh('x'), 'x'.repeat(257)), 400, 'general_argument_invalid');
          const error = await refused(b.account.create(web.ID.unique(), '', password), 400, 'general_argument_invalid');
          assert.match(error.message, /`email`/);
          await refused(b.account.get(), 401, 'general_unauthorized_scope');
        });

        test('sign in by e-mail, the session field by field, and what is refused', async () => {
          const { b, user, session, email } = await signedUp();
          checkSession(session, { userId: user.$id, provider: 'email', providerUid: email, factors: ['password'], current: true });
          checkUser(await b.account.get(), { $id: user.$id, email, name: 'Ada' });
          await refused(b.account.createEmailPasswordSession(email, password), 401, 'user_session_already_exists');
          await refused(browser().account.createEmailPasswordSession(email, 'wrong horse'), 401, 'user_invalid_credentials');
          await refused(browser().account.createEmailPasswordSession(fresh('nobody'), password), 401, 'user_invalid_credentials');
          await refused(browser().account.createEmailPasswordSession('', ''), 400, 'general_argument_invalid');
        });

        const endpoint = () => server.endpoint;
        const checkToken = (token, userId, life) => {
          assert.deepEqual([token.userId, token.secret], [userId, '']);
          assert.match(token.$id, idForm);
          assert.match(token.expire, dateForm);
          assert.equal(Date.parse(token.expire) - Date.parse(token.$createdAt), life * 1000);
        };

        test('magic URL: the link, the session, and what is refused', async () => {
          const b = browser();
          const email = fresh('magic');
          const id = 'magic.' + counter;
          const token = await b.account.createMagicURLToken(id, email, 'https://app.example.org/in/?a=1#there', true);
          checkToken(token, id, 3600);
          assert.match(token.phrase, /^\w+ \w+$/);
          const mail = await inbox.mail(email);
          assert.match(mail.text, new RegExp(`^Subject: ${project} Login\r$`, 'm'));
          assert.ok(mail.text.includes(token.phrase));
          const link = new URL(mail.text.match(/https:\/\/app\.example\.org\S+/)[0]);
          assert.deepEqual([link.pathname, link.hash, link.searchParams.get('a'), link.searchParams.get('userId'), link.searchParams.get('expire')],
            ['/in/', '#there', '1', id, token.expire]);
          const secret = link.searchParams.get('secret');
          assert.match(secret, /^[0-9a-f]{64}$/);
          const session = await b.account.updateMagicURLSession(id, secret);
          checkSession(session, { userId: id, provider: 'magic-url', providerUid: email, factors: ['email'], current: true });
          checkUser(await b.account.get(), { $id: id, email, emailVerification: true });
          await refused(browser().account.createSession(id, secret), 401, 'user_invalid_token');
          await refused(browser().account.createSession('nobody', secret), 401, 'user_invalid_token');
          assert.equal((await browser().account.createMagicURLToken('another', email)).userId, id);
          assert.match((await inbox.mail(email)).text, /127\.0\.0\.1:\d+\/auth\/magic-url\?userId/);
          for (const url of ['https://evil.test/in', 'app.example.org/in', 'https://app.example.org.evil.test', '//app.example.org', 'https://localhost.evil.test']) {
            await refused(browser().account.createMagicURLToken('other', email, url), 400, 'general_argument_invalid');
          }
        });

        test('a code by e-mail, a code by SMS, and what is refused', async () => {
          const b = browser();
          const email = fresh('code');
          const id = 'code.' + counter;
          checkToken(await b.account.createEmailToken(id, email), id, 900);
          const mail = await inbox.mail(email);
          assert.match(mail.text, new RegExp(`^Subject: OTP for ${project} Login\r$`, 'm'));
          const codes = new Set(mail.text.split('\r\n\r\n').slice(1).join('\n').match(/(?<!\d)\d{6}(?!\d)/g));
          assert.equal(codes.size, 1);
          const [code] = codes;
          await refused(b.account.createSession(id, code === '000000' ? '111111' : '000000'), 401, 'user_invalid_token');
          checkSession(await b.account.createSession(id, code), { userId: id, provider: 'token', providerUid: email, factors: ['email'], current: true });
          await refused(browser().account.createSession(id, code), 401, 'user_invalid_token');
          await refused(browser().account.createEmailToken(id, 'no address'), 400, 'general_argument_invalid');
          await refused(browser().account.createEmailToken('_id', email), 400, 'general_argument_invalid');

          const p = browser();
          const number = freshPhone();
          checkToken(await p.account.createPhoneToken('phone.' + counter, number), 'phone.' + counter, 900);
          const sms = await inbox.sms(number);
          assert.match(sms.body, /^\d{6}/);
          checkSession(await p.account.updatePhoneSession('phone.' + counter, sms.body.slice(0, 6)),
            { userId: 'phone.' + counter, provider: 'phone', providerUid: number, factors: ['phone'], current: true });
          checkUser(await p.account.get(), { phone: number, phoneVerification: true });
          await refused(browser().account.createPhoneToken('x', '415'), 400, 'general_argument_invalid');
        });

        test('verification of e-mail and phone: the mail, the SMS, and what is refused', async () => {
          const { b, user, email } = await signedUp();
          const token = await b.account.createVerification('https://app.example.org/verify?a=1');
          checkToken(token, user.$id, 7 * 86400);
          const mail = await inbox.mail(email);
          assert.match(mail.text, new RegExp(`^Subject: Account Verification for ${project}\r$`, 'm'));
          const link = new URL(mail.text.match(/https:\/\/app\.example\.org\S+/)[0]);
          assert.deepEqual([link.pathname, link.searchParams.get('a'), link.searchParams.get('userId'), link.searchParams.get('expire')],
            ['/verify', '1', user.$id, token.expire]);
          await refused(browser().account.updateVerification('nobody', link.searchParams.get('secret')), 404, 'user_not_found');
          await refused(browser().account.updateVerification(user.$id, 'a'.repeat(64)), 401, 'user_invalid_token');
          assert.equal((await browser().account.updateVerification(user.$id, link.searchParams.get('secret'))).$id, token.$id);
          checkUser(await b.account.get(), { $id: user.$id, email, name: 'Ada', emailVerification: true });
          await refused(b.account.createVerification('https://app.example.org/'), 409, 'user_email_already_verified');
          await refused(browser().account.createVerification('https://app.example.org/'), 401, 'general_unauthorized_scope');

          await refused(b.account.createPhoneVerification(), 400, 'user_phone_not_found');
          const number = freshPhone();
          await b.account.updatePhone(number, password);
          checkToken(await b.account.createPhoneVerification(), user.$id, 900);
          const code = (await inbox.sms(number)).body.slice(0, 6);
          await refused(b.account.updatePhoneVerification(user.$id, code === '000000' ? '111111' : '000000'), 401, 'user_invalid_token');
          await b.account.updatePhoneVerification(user.$id, code);
          assert.equal((await b.account.get()).phoneVerification, true);
          await refused(b.account.createPhoneVerification(), 409, 'user_phone_already_verified');
          const anonymous = browser();
          await anonymous.account.createAnonymousSession();
          await refused(anonymous.account.createVerification('https://app.example.org/'), 400, 'user_email_not_found');
          for (const url of ['app.example.org/verify', 'https://evil.test/']) {
            await refused((await signedUp()).b.account.createVerification(url), 400, 'general_argument_invalid');
          }
        });

        test('recovery: the mail, the password, the sessions, and what is refused', async () => {
          const { b, user, email } = await signedUp();
          const token = await browser().account.createRecovery(email, 'https://app.example.org/recover');
          checkToken(token, user.$id, 3600);
          const mail = await inbox.mail(email);
          assert.match(mail.text, new RegExp(`^Subject: Password Reset for ${project}\r$`, 'm'));
          const secret = new URL(mail.text.match(/https:\/\/app\.example\.org\S+/)[0]).searchParams.get('secret');
          await refused(browser().account.updateRecovery('nobody', secret, 'another horse'), 404, 'user_not_found');
          await refused(browser().account.updateRecovery(user.$id, 'a'.repeat(64), 'another horse'), 401, 'user_invalid_token');
          await refused(browser().account.updateRecovery(user.$id, secret, 'short'), 400, 'general_argument_invalid');
          assert.equal((await browser().account.updateRecovery(user.$id, secret, 'another horse')).$id, token.$id);
          await refused(browser().account.updateRecovery(user.$id, secret, 'another horse'), 401, 'user_invalid_token');
          await refused(b.account.get(), 401, 'general_unauthorized_scope');
          await refused(browser().account.createEmailPasswordSession(email, password), 401, 'user_invalid_credentials');
          const again = browser();
          await again.account.createEmailPasswordSession(email, 'another horse');
          assert.equal((await again.account.get()).emailVerification, true);
          await refused(browser().account.createRecovery(fresh('nobody'), 'https://app.example.org/'), 404, 'user_not_found');
          await refused(browser().account.createRecovery(email, 'https://evil.test/'), 400, 'general_argument_invalid');
          await users().updateStatus(user.$id, false);
          await refused(browser().account.createRecovery(email, 'https://app.example.org/'), 403, 'user_blocked');
        });

        test('JWT: of a session, of the server, and what is refused', async () => {
          const { b, user, session } = await signedUp();
          const { jwt } = await b.account.createJWT();
          const byJWT = (token) => new node.Account(new node.Client().setEndpoint(endpoint()).setProject(project).setJWT(token));
          assert.equal((await byJWT(jwt).get()).$id, user.$id);
          await byJWT(jwt).updateName('Countess');
          await refused(byJWT(jwt).createJWT(), 403, 'user_jwt_creation_denied');
          await refused(byJWT(jwt).getSession('current'), 404, 'user_session_not_found');
          assert.equal((await byJWT(jwt).listSessions()).sessions[0].current, false);
          await refused(byJWT('x.y.z').get(), 401, 'user_jwt_invalid');
          await refused(byJWT(`${jwt.slice(0, -8)}AAAAAAAA`).get(), 401, 'user_jwt_invalid');
          const named = await users().createJWT(user.$id, session.$id, 60);
          assert.equal((await byJWT(named.jwt).get()).$id, user.$id);
          await refused(users().createJWT(user.$id, 'unknown'), 404, 'user_session_not_found');
          await refused(users().createJWT(user.$id, session.$id, 3601), 400, 'general_argument_invalid');
          await refused(users().createJWT('nobody'), 404, 'user_not_found');
          await b.account.deleteSession('current');
          for (const token of [jwt, named.jwt]) await refused(byJWT(token).get(), 401, 'general_unauthorized_scope');
          const bare = await users().createJWT(user.$id);
          assert.equal((await byJWT(bare.jwt).get()).$id, user.$id);
          await users().updateStatus(user.$id, false);
          await refused(byJWT(bare.jwt).get(), 403, 'user_blocked');
        });

        test('MFA: an authenticator, challenges, recovery codes, and what is refused', async () => {
          const { b, user, email } = await signedUp();
          const anyFactor = { totp: false, email: false, phone: false, recoveryCode: false, custom: false };
          assert.deepEqual({ ...await b.account.listMfaFactors() }, anyFactor);
          const { recoveryCodes } = await b.account.createMfaRecoveryCodes();
          assert.equal(recoveryCodes.length, 6);
          for (const code of recoveryCodes) assert.match(code, /^[0-9a-f]{10}$/);
          await refused(b.account.createMfaRecoveryCodes(), 409, 'user_recovery_codes_already_exists');
          await refused(b.account.getMfaRecoveryCodes(), 401, 'user_challenge_required');
          await refused(b.account.updateMfaAuthenticator('totp', '123456'), 404, 'user_authenticator_not_found');
          const made = await b.account.createMfaAuthenticator('totp');
          assert.match(made.secret, /^[A-Z2-7]{32}$/);
          assert.match(made.uri, new RegExp(`^otpauth://totp/${project}:`));
          let step = 0; // each code works once
          const code = () => { step += 1; return totp(made.secret, step - 2); };
          await refused(b.account.updateMfaAuthenticator('totp', 'abcdef'), 401, 'user_invalid_token');
          assert.equal((await b.account.updateMfaAuthenticator('totp', code())).$id, user.$id);
          await refused(b.account.createMfaAuthenticator('totp'), 409, 'user_authenticator_already_verified');
          assert.equal((await b.account.updateMFA(true)).mfa, true);
          await b.account.get();

          const again = browser();
          const session = await again.account.createEmailPasswordSession(email, password);
          assert.deepEqual(session.factors, ['password']);
          await refused(again.account.get(), 401, 'user_more_factors_required');
          await refused(again.account.createJWT(), 401, 'user_more_factors_required');
          await refused(again.account.deleteSessions(), 401, 'user_more_factors_required');
          await refused(again.account.deleteSession('another'), 401, 'user_more_factors_required');
          await refused(again.account.updateVerification(user.$id, 'a'.repeat(64)), 401, 'user_more_factors_required');
          assert.deepEqual({ ...await again.account.listMfaFactors() }, { ...anyFactor, totp: true, recoveryCode: true });
          await refused(again.account.createMfaChallenge('email'), 400, 'user_email_not_verified');
          await refused(again.account.createMfaChallenge('sms'), 400, 'general_argument_invalid');
          const challenge = await again.account.createMfaChallenge('totp');
          assert.equal(challenge.userId, user.$id);
          assert.equal(Date.parse(challenge.expire) - Date.parse(challenge.$createdAt), 900_000);
          await refused(again.account.updateMfaChallenge('unknown', '123456'), 401, 'user_invalid_token');
          await refused(again.account.updateMfaChallenge(challenge.$id, 'abcdef'), 401, 'user_invalid_token');
          const done = await again.account.updateMfaChallenge(challenge.$id, code());
          assert.deepEqual([done.$id, done.factors], [session.$id, ['password', 'totp']]);
          assert.match(done.mfaUpdatedAt, dateForm);
          await refused(again.account.updateMfaChallenge(challenge.$id, code()), 401, 'user_invalid_token');
          await again.account.get();
          assert.deepEqual((await again.account.getMfaRecoveryCodes()).recoveryCodes.toSorted(), recoveryCodes.toSorted());
          const fresh6 = (await again.account.updateMfaRecoveryCodes()).recoveryCodes;
          assert.notDeepEqual(fresh6, recoveryCodes);

          const third = browser();
          await third.account.createEmailPasswordSession(email, password);
          const lost = await third.account.createMfaChallenge('recoverycode');
          await refused(third.account.updateMfaChallenge(lost.$id, recoveryCodes[0]), 401, 'user_invalid_token');
          await third.account.updateMfaChallenge(lost.$id, fresh6[0]);
          assert.equal((await third.account.getMfaRecoveryCodes()).recoveryCodes.length, 5);
          await third.account.deleteMfaAuthenticator('totp');
          await refused(third.account.deleteMfaAuthenticator('totp'), 404, 'user_authenticator_not_found');
          const out = browser();
          await out.account.createEmailPasswordSession(email, password); // nothing is owed without a factor
          await out.account.get();
        });

        test('MFA by e-mail and SMS, and signing out while a factor is owed', async () => {
          const { user, email } = await signedUp();
          const number = freshPhone();
          await users().updatePhone(user.$id, number);
          await users().updateEmailVerification(user.$id, true);
          await users().updatePhoneVerification(user.$id, true);
          assert.equal((await users().updateMfa(user.$id, true)).mfa, true);
          for (const factor of ['email', 'phone']) {
            const b = browser();
            await b.account.createEmailPasswordSession(email, password);
            const challenge = await b.account.createMfaChallenge(factor);
            let code;
            if (factor === 'email') {
              let mail;
              do { mail = await inbox.mail(email); } while (!/^Subject: Verification Code for /m.test(mail.text));
              [code] = mail.text.split('\r\n\r\n').slice(1).join('\n').match(/(?<!\d)\d{6}(?!\d)/);
            } else {
              let sms;
              do { sms = await inbox.sms(number); } while (!/^\d{6}/.test(sms.body));
              code = sms.body.slice(0, 6);
            }
            assert.deepEqual((await b.account.updateMfaChallenge(challenge.$id, code)).factors, ['password', factor]);
            await b.account.get();
          }
          const b = browser();
          await b.account.createEmailPasswordSession(email, password);
          await b.account.deleteSession('current');
          await refused(b.account.get(), 401, 'general_unauthorized_scope');
        });

        test("the server's MFA", async () => {
          const { b, user } = await signedUp();
          await refused(users().getMfaRecoveryCodes(user.$id), 404, 'user_recovery_codes_not_found');
          await refused(users().updateMfaRecoveryCodes(user.$id), 404, 'user_recovery_codes_not_found');
          const { recoveryCodes } = await users().createMfaRecoveryCodes(user.$id);
          await refused(users().createMfaRecoveryCodes(user.$id), 409, 'user_recovery_codes_already_exists');
          assert.deepEqual((await users().getMfaRecoveryCodes(user.$id)).recoveryCodes, recoveryCodes);
          assert.equal((await users().updateMfaRecoveryCodes(user.$id)).recoveryCodes.length, 6);
          const { secret } = await b.account.createMfaAuthenticator('totp');
          await b.account.updateMfaAuthenticator('totp', totp(secret, 0));
          assert.equal((await users().listMfaFactors(user.$id)).totp, true);
          await users().deleteMfaAuthenticator(user.$id, 'totp');
          await refused(users().deleteMfaAuthenticator(user.$id, 'totp'), 404, 'user_authenticator_not_found');
          await refused(users().updateMfa('nobody', true), 404, 'user_not_found');
        });

        test('a mock number has its code, and nothing is sent', async () => {
          const b = browser();
          const token = await b.account.createPhoneToken(web.ID.unique(), '+15555550100');
          await refused(b.account.createSession(token.userId, '123456'), 401, 'user_invalid_token');
          checkSession(await b.account.createSession(token.userId, '042317'),
            { userId: token.userId, provider: 'phone', providerUid: '+15555550100', factors: ['phone'], current: true });
          assert.ok(!inbox.texts.some((text) => text.to === '+15555550100'));
        });

        test('the old address is told of a change', async () => {
          const { b, user, email } = await signedUp();
          await users().updateEmailVerification(user.$id, true); // a notice goes to a proven address
          await b.account.updatePassword('another horse battery', password);
          const mail = await inbox.mail(email);
          assert.match(mail.text, new RegExp(`^Subject: Your password at ${project} has changed\r$`, 'm'));
          await b.account.updateEmail(fresh('other'), 'another horse battery');
          assert.match((await inbox.mail(email)).text, new RegExp(`^Subject: Your e-mail address at ${project} has changed\r$`, 'm'));
        });

        test("the server's tokens", async () => {
          const { user } = await signedUp();
          const token = await users().createToken(user.$id);
          assert.match(token.secret, /^[0-9a-f]{6}$/);
          assert.equal(Date.parse(token.expire) - Date.parse(token.$createdAt), 900_000);
          assert.match((await users().createToken(user.$id, 128, 60)).secret, /^[0-9a-f]{128}$/);
          for (const [length, expire] of [[3, 60], [129, 60], [6, 59], [6, 31536001], [0, 60]]) {
            await refused(users().createToken(user.$id, length, expire), 400, 'general_argument_invalid');
          }
          await refused(users().createToken('nobody'), 404, 'user_not_found');
          const fine = await users().createToken(user.$id, 12, 3600);
          const session = await browser().account.createSession(user.$id, fine.secret);
          checkSession(session, { userId: user.$id, provider: 'token', providerUid: '', factors: ['token'], current: true });
          const server = new node.Account(new node.Client().setEndpoint(endpoint()).setProject(project).setKey(apiKey));
          const seen = await server.createEmailToken('seen.' + (counter += 1), fresh('seen'));
          assert.match(seen.secret, /^\d{6}$/);
        });

        test('anonymous, and becoming a full account', async () => {
          const b = browser();
          const session = await b.account.createAnonymousSession();
          checkSession(session, { provider: 'anonymous', factors: ['anonymous'], current: true });
          await refused(b.account.createAnonymousSession(), 401, 'user_session_already_exists');
          await refused(b.account.updateEmail(fresh('x'), ''), 400, 'general_argument_invalid');
          const taken = await signedUp();
          await refused(b.account.updateEmail(taken.email, password), 409, 'user_target_already_exists');
          const email = fresh('full');
          checkUser(await b.account.updateEmail(email, password), { $id: session.userId, email });
          assert.equal((await browser().account.createEmailPasswordSession(email, password)).userId, session.userId);

          const other = browser();
          const second = await other.account.createAnonymousSession();
          checkUser(await other.account.create(web.ID.unique(), fresh('full'), password, 'Bob'), { $id: second.userId, name: 'Bob', email: `full${counter}@example.org` });
          await refused(other.account.create(web.ID.unique(), fresh('full'), password), 401, 'user_session_already_exists');
        });

        test('name, e-mail, phone and password', async () => {
          const { b, user, email } = await signedUp();
          checkUser(await b.account.updateName('Countess'), { $id: user.$id, name: 'Countess', email });
          await refused(b.account.updateName('x'.repeat(129)), 400, 'general_argument_invalid');
          const next = fresh('countess');
          await refused(b.account.updateEmail(next, 'wrong horse'), 401, 'user_invalid_credentials');
          checkUser(await b.account.updateEmail(next, password), { email: next, name: 'Countess' });
          const phone = freshPhone();
          await refused(b.account.updatePhone('+8020000000', password), 400, 'general_argument_invalid');
          const withPhone = await b.account.updatePhone(phone, password);
          checkUser(withPhone, { email: next, name: 'Countess', phone });
          assert.deepEqual(withPhone.targets.map((t) => t.providerType), ['email', 'sms']);
          const other = browser();
          await other.account.createEmailPasswordSession(next, password);
          await refused(b.account.updatePassword('another horse', 'wrong horse'), 401, 'user_invalid_credentials');
          await refused(b.account.updatePassword('short', password), 400, 'general_argument_invalid');
          await b.account.updatePassword('another horse', password);
          await refused(other.account.get(), 401, 'general_unauthorized_scope');
          await refused(browser().account.createEmailPasswordSession(next, password), 401, 'user_invalid_credentials');
          await browser().account.createEmailPasswordSession(next, 'another horse');
        });

        test('preferences', async () => {
          const { b } = await signedUp();
          assert.deepEqual({ ...await b.account.getPrefs() }, {});
          const user = await b.account.updatePrefs({ theme: 'dark', list: [1, 2], ä: null });
          assert.deepEqual({ ...user.prefs }, { theme: 'dark', list: [1, 2], ä: null });
          assert.deepEqual({ ...await b.account.getPrefs() }, { theme: 'dark', list: [1, 2], ä: null });
          await refused(b.account.updatePrefs({ big: 'x'.repeat(65_536) }), 400, 'general_argument_invalid');
          await refused(b.account.updatePrefs({ big: 'ä'.repeat(32_768) }), 400, 'general_argument_invalid');
          await refused(b.account.updatePrefs('{}'), 400, 'general_argument_invalid');
          await refused(b.account.updatePrefs([]), 400, 'general_argument_invalid');
        });

        test('sessions: list, get, extend, end', async () => {
          const { b, session, email } = await signedUp();
          const other = browser();
          const second = await other.account.createEmailPasswordSession(email, password);
          const list = await b.account.listSessions();
          assert.equal(list.total, 2);
          assert.deepEqual(list.sessions.map((s) => [s.$id, s.current]), [[session.$id, true], [second.$id, false]]);
          checkSession(await b.account.getSession('current'), { $id: session.$id, provider: 'email', providerUid: email, current: true });
          checkSession(await b.account.getSession(second.$id), { $id: second.$id, providerUid: email, current: false });
          await refused(b.account.getSession('nothing'), 404, 'user_session_not_found');
          const extended = await b.account.updateSession('current');
          checkSession(extended, { $id: session.$id, providerUid: email, current: true });
          assert.ok(extended.expire >= session.expire);
          await b.account.get();
          await b.account.deleteSession(second.$id);
          await refused(other.account.get(), 401, 'general_unauthorized_scope');
          await b.account.get();
          await b.account.deleteSession('current');
          await refused(b.account.get(), 401, 'general_unauthorized_scope');
          await b.account.createEmailPasswordSession(email, password); // the cookie is gone
          await other.account.createEmailPasswordSession(email, password);
          await b.account.deleteSessions();
          await refused(other.account.get(), 401, 'general_unauthorized_scope');
        });

        test('blocking oneself', async () => {
          const { b, email, user } = await signedUp();
          const other = browser();
          await other.account.createEmailPasswordSession(email, password);
          checkUser(await b.account.updateStatus(), { status: false, email, name: 'Ada' });
          await refused(b.account.get(), 401, 'general_unauthorized_scope'); // signed out
          await refused(other.account.get(), 403, 'user_blocked');
          await refused(browser().account.createEmailPasswordSession(email, password), 403, 'user_blocked');
          await users().updateStatus(user.$id, true);
          checkUser(await other.account.get(), { email, name: 'Ada' });
        });

        test('the log', async () => {
          const { b, user, email } = await signedUp();
          await refused(browser().account.createEmailPasswordSession(email, 'wrong horse'), 401, 'user_invalid_credentials');
          await b.account.updateName('Countess');
          const list = await b.account.listLogs([web.Query.limit(2), web.Query.offset(0)]);
          assert.equal(list.total, 4);
          assert.deepEqual(list.logs.map((l) => l.event), ['user.update', 'session.refuse']);
          const [line] = list.logs;
          assert.match(line.time, dateForm);
          assert.deepEqual([line.userId, line.userEmail, line.userName, line.mode, line.userType, line.countryCode], [user.$id, email, 'Countess', 'default', 'user', '--']);
          await refused(b.account.listLogs([web.Query.equal('event', 'x')]), 400, 'general_argument_invalid');
          await refused(b.account.listLogs([web.Query.limit(0)]), 400, 'general_argument_invalid');
          assert.equal((await users().listLogs(user.$id)).total, 4);
        });

        test('the server: list, search, pages', async () => {
          const u = users();
          const mark = fresh('list').split('@')[0];
          const made = [];
          for (const name of ['Ada', 'Bob', 'Eve', 'Zoe']) {
            made.push(await u.create(node.ID.unique(), `${name.toLowerCase()}.${mark}@example.org`, undefined, password, name));
          }
          const ids = made.map((x) => x.$id);
          const mine = node.Query.contains('email', mark);
          const all = await u.list([mine, node.Query.orderAsc('name')]);
          assert.deepEqual([all.total, all.users.map((x) => x.$id)], [4, ids]);
          checkUser(all.users[0], { email: `ada.${mark}@example.org`, name: 'Ada', hash: 'argon2' });
          assert.equal(all.users[0].targets.length, 1);
          const names = async (...q) => (await u.list([mine, ...q])).users.map((x) => x.name);
          assert.deepEqual(await names(node.Query.orderDesc('name'), node.Query.limit(2)), ['Zoe', 'Eve']);
          assert.deepEqual(await names(node.Query.orderAsc('name'), node.Query.cursorAfter(ids[1])), ['Eve', 'Zoe']);
          assert.deepEqual(await names(node.Query.orderAsc('name'), node.Query.cursorBefore(ids[2]), node.Query.limit(1)), ['Bob']);
          assert.deepEqual(await names(node.Query.orderAsc('name'), node.Query.offset(3)), ['Zoe']);
          assert.deepEqual(await names(node.Query.or([node.Query.equal('name', ['Ada']), node.Query.startsWith('name', 'Z')])), ['Ada', 'Zoe']);
          assert.deepEqual(await names(node.Query.equal('status', [false])), []);
          assert.equal((await u.list([node.Query.limit(1)], `"${mark}"`)).total, 4);
          await refused(u.list([node.Query.equal('password', ['x'])]), 400, 'general_argument_invalid');
          await refused(u.list([node.Query.select(['name'])]), 400, 'general_argument_invalid');
          await refused(u.list([node.Query.cursorAfter('nobody')]), 400, 'general_cursor_not_found');
          await refused(u.list([node.Query.equal('labels', ['x'])]), 400, 'general_argument_invalid');
        });

        test('the server: users whose passwords other systems have hashed', async () => {
          const u = users();
          const id = () => node.ID.unique();
          const key = 'XyEKE9RcTDeLEsL/RjwPDBv/RqDl8fb3gpYEOQaPihbxf1ZAtSOHCjuAAa7Q3oHpCYhXSN9tizHgVOwn6krflQ==';
          const scrypt = '3fdef49701bc4cfaacd551fe017283513284b4731e6945c263246ef948d3cf63b5d269c31fd697246085111a428245e24a4ddc6b64c687bc60a8910dbafc1d5b';
          for (const [hash, typed, create] of [
            ['argon2', 'appwrite', (email) => u.createArgon2User(id(), email, '$argon2i$v=19$m=20,t=3,p=2$YXBwd3JpdGU$A/54i238ed09ZR4NwlACU5XnkjNBZU9QeOEuhjLiexI', 'Ada')],
            ['bcrypt', 'hello-world', (email) => u.createBcryptUser(id(), email, '$2a$05$IjrtSz6SN7UJ6Sh3l.b5jODEvEG2LMJTPAHIaLWRvlWx7if3VMkFO', 'Ada')],
            ['md5', 'appwrite', (email) => u.createMD5User(id(), email, '144fa7eaa4904e8ee120651997f70dcc', 'Ada')],
            ['phpass', 'appwrite', (email) => u.createPHPassUser(id(), email, '$P$Br387rwferoKN7uwHZqNMu98q3U8RO.', 'Ada')],
            ['sha', 'appwrite', (email) => u.createSHAUser(id(), email, '867a758eea6f62ccb37cc3f8945137def93d0638259ff4dcfc0f21629d2666fb', 'sha3-256', 'Ada')],
            ['scrypt', 'appwrite', (email) => u.createScryptUser(id(), email, scrypt, 'appwrite', 16384, 13, 2, 64, 'Ada')],
            ['scryptMod', 'appwrite', (email) => u.createScryptModifiedUser(id(), email, 'UlM7JiXRcQhzAGlaonpSqNSLIz475WMddOgLjej5De9vxTy48K6WtqlEzrRFeK4t0COfMhWCb8wuMHgxOFCHFQ==', 'UxLMreBr6tYyjQ==', 'Bw==', key, 'Ada')],
          ]) {
            const email = fresh(hash.toLowerCase());
            const user = await create(email);
            checkUser(user, { email, name: 'Ada', hash });
            assert.equal(user.hashOptions.type, hash);
            assert.match(user.passwordUpdate, dateForm);
            await refused(browser().account.createEmailPasswordSession(email, typed + '!'), 401, 'user_invalid_credentials');
            await browser().account.createEmailPasswordSession(email, typed);
            assert.equal((await u.get(user.$id)).hash, 'argon2');
            await refused(create(email), 409, 'user_already_exists');
          }
          await refused(u.createMD5User(id(), fresh('x'), 'plain password', 'Ada'), 400, 'general_argument_invalid');
          await refused(u.createSHAUser(id(), fresh('x'), 'ab', 'sha9', 'Ada'), 400, 'general_argument_invalid');
          await refused(u.createScryptUser(id(), fresh('x'), scrypt, 'appwrite', 1 << 30, 13, 2, 64, 'Ada'), 400, 'general_argument_invalid');
        });

        test('the server: create, get, change, delete', async () => {
          const u = users();
          const email = fresh('server');
          const phone = freshPhone();
          const user = await u.create(node.ID.unique(), email, phone, password, 'Ada');
          checkUser(user, { email, phone, name: 'Ada', hash: 'argon2' });
          assert.match(user.password, /^\$argon2id\$/);
          assert.equal(user.hashOptions.type, 'argon2');
          checkUser(await u.get(user.$id), { email, phone, name: 'Ada' });
          const bare = await u.create(node.ID.unique());
          checkUser(bare, { password: '', passwordUpdate: '', targets: [] });
          await refused(u.create(node.ID.unique(), email), 409, 'user_already_exists');
          await refused(u.create(node.ID.unique(), undefined, phone), 409, 'user_already_exists');
          await refused(u.create(user.$id), 409, 'user_already_exists');
          await refused(u.get('nobody'), 404, 'user_not_found');
          checkUser(await u.updateName(user.$id, ''), { name: '', email, phone });
          const next = fresh('next');
          checkUser(await u.updateEmail(user.$id, next), { email: next, phone });
          await refused(u.updateEmail(bare.$id, next), 409, 'user_target_already_exists');
          await refused(u.updatePhone(bare.$id, phone), 409, 'user_target_already_exists');
          checkUser(await u.updatePhone(user.$id, ''), { email: next, phone: '' });
          checkUser(await u.updateEmailVerification(user.$id, true), { email: next, emailVerification: true });
          await refused(u.updatePhoneVerification(user.$id, true), 400, 'user_phone_not_found');
          checkUser(await u.updateLabels(user.$id, ['vip', 'vip', 'beta']), { email: next, emailVerification: true, labels: ['vip', 'beta'] });
          await refused(u.updateLabels(user.$id, ['not-one']), 400, 'general_argument_invalid');
          assert.deepEqual({ ...await u.updatePrefs(user.$id, { a: 1 }) }, { a: 1 });
          assert.deepEqual({ ...await u.getPrefs(user.$id) }, { a: 1 });
          await u.updatePassword(user.$id, 'another horse');
          await browser().account.createEmailPasswordSession(next, 'another horse');
          await u.updatePassword(user.$id, '');
          await refused(browser().account.createEmailPasswordSession(next, 'another horse'), 401, 'user_invalid_credentials');
          await u.delete(user.$id);
          await refused(u.delete(user.$id), 404, 'user_not_found');
          await refused(new node.Users(new node.Client().setEndpoint(server.endpoint).setProject(project)).get(bare.$id), 401, 'general_unauthorized_scope');
          await refused(new node.Users(new node.Client().setEndpoint(server.endpoint).setProject('other').setKey(apiKey)).get(bare.$id), 404, 'project_not_found');
        });

        test('the server: sessions, and their secret in other clients', async () => {
          const u = users();
          const user = await u.create(node.ID.unique(), fresh('ada'), undefined, password);
          const made = await u.createSession(user.$id);
          checkSession(made, { provider: 'server', factors: ['server'], secret: made.secret });
          assert.ok(made.secret.length > 80);
          const account = new node.Account(new node.Client().setEndpoint(server.endpoint).setProject(project).setSession(made.secret));
          checkUser(await account.get(), { $id: user.$id, email: user.email });
          const list = await u.listSessions(user.$id);
          assert.deepEqual([list.total, list.sessions[0].$id, list.sessions[0].secret, list.sessions[0].current], [1, made.$id, '', false]);
          await refused(u.deleteSession(user.$id, 'nothing'), 404, 'user_session_not_found');
          await u.deleteSession(user.$id, made.$id);
          await refused(account.get(), 401, 'general_unauthorized_scope');
          const admin = new node.Account(new node.Client().setEndpoint(server.endpoint).setProject(project).setKey(apiKey));
          const byKey = await admin.createEmailPasswordSession(user.email, password);
          assert.ok(byKey.secret.length > 80); // a caller with the API key sees the secret
          await u.createSession(user.$id);
          await u.deleteSessions(user.$id);
          assert.equal((await u.listSessions(user.$id)).total, 0);
        });

        test('targets: of the server, of the account, and their end', async () => {
          const u = users();
          const { b, user, email } = await signedUp();
          const checkTarget = (target, want) => {
            assert.match(target.$id, idForm);
            for (const field of ['$createdAt', '$updatedAt']) assert.match(target[field], dateForm);
            for (const [field, value] of Object.entries({ userId: user.$id, providerId: null, expired: false, ...want })) assert.equal(target[field], value, field);
          };
          const made = await u.createTarget(user.$id, node.ID.unique(), node.MessagingProviderType?.Push ?? 'push', `token ${email}`, undefined, 'Telephone');
          checkTarget(made, { providerType: 'push', identifier: `token ${email}`, name: 'Telephone' });
          checkTarget(await u.getTarget(user.$id, made.$id), { name: 'Telephone' });
          await refused(u.createTarget(user.$id, node.ID.unique(), 'push', `token ${email}`), 409, 'user_target_already_exists');
          await refused(u.createTarget(user.$id, made.$id, 'push', 'x'), 409, 'user_target_already_exists');
          await refused(u.createTarget(user.$id, node.ID.unique(), 'email', 'no address'), 400, 'general_invalid_email');
          await refused(u.createTarget(user.$id, node.ID.unique(), 'sms', 'no number'), 400, 'general_invalid_phone');
          await refused(u.createTarget('nobody', node.ID.unique(), 'push', 'x'), 404, 'user_not_found');
          checkTarget(await u.updateTarget(user.$id, made.$id, `next ${email}`), { identifier: `next ${email}`, name: 'Telephone' });
          await refused(u.updateTarget(user.$id, made.$id, undefined, 'fcm'), 404, 'provider_not_found');
          const push = await b.account.createPushTarget(web.ID.unique(), `push ${email}`);
          checkTarget(push, { providerType: 'push', identifier: `push ${email}` });
          checkTarget(await b.account.updatePushTarget(push.$id, `pushed ${email}`), { identifier: `pushed ${email}` });
          const list = await u.listTargets(user.$id, [node.Query.equal('providerType', ['push']), node.Query.orderDesc('identifier')]);
          assert.deepEqual([list.total, list.targets.map((x) => x.$id)], [2, [push.$id, made.$id]]);
          assert.equal((await b.account.get()).targets.length, 3);
          await refused(u.deleteTarget(user.$id, 'nothing'), 404, 'user_target_not_found');
          await refused(b.account.updatePushTarget(made.$id, 'x').then(() => b.account.updatePushTarget(user.targets[0].$id, 'x')), 404, 'user_target_not_found');
          await b.account.deleteSession('current');
          assert.deepEqual((await u.listTargets(user.$id)).targets.map((x) => x.$id), [user.targets[0].$id, made.$id]);
          await u.deleteTarget(user.$id, made.$id);
          await refused(u.getTarget(user.$id, made.$id), 404, 'user_target_not_found');
          const { b: other } = await signedUp();
          const mine = await other.account.createPushTarget(web.ID.unique(), `push ${email}`);
          await other.account.deletePushTarget(mine.$id);
        });

        test('identities: none without a provider, and what is refused', async () => {
          const { b, user } = await signedUp();
          for (const list of [await b.account.listIdentities([web.Query.equal('provider', 'github')]), await users().listIdentities([node.Query.equal('userId', user.$id)])]) assert.deepEqual([list.total, list.identities], [0, []]);
          await refused(b.account.deleteIdentity('nothing'), 404, 'user_identity_not_found');
          await refused(users().deleteIdentity('nothing'), 404, 'user_identity_not_found');
          await refused(users().listIdentities([], 'github'), 400, 'general_query_invalid');
          await refused(users().listIdentities([node.Query.equal('password', 'x')]), 400, 'general_argument_invalid');
          await refused(b.account.listIdentities([web.Query.equal('password', 'x')]), 400, 'general_argument_invalid');
        });

        test('teams: of a user and of the server, members, roles, and their end', async () => {
          const u = users();
          const server = teams();
          const { b, user } = await signedUp();
          const { b: other, user: member } = await signedUp();
          const mine = b.teams;
          const theirs = other.teams;
          const made = await mine.create(web.ID.unique(), 'Chess Club', ['player']);
          assert.match(made.$id, idForm);
          for (const field of ['$createdAt', '$updatedAt']) assert.match(made[field], dateForm);
          assert.deepEqual([made.name, made.total, { ...made.prefs }], ['Chess Club', 1, {}]);
          await refused(mine.create(made.$id, 'x'), 409, 'team_already_exists');
          await refused(theirs.get(made.$id), 404, 'team_not_found');
          const [owner] = (await mine.listMemberships(made.$id)).memberships;
          assert.deepEqual([owner.userId, owner.teamId, owner.teamName, owner.confirm, owner.roles, owner.userEmail, owner.userAccessedAt], [user.$id, made.$id, 'Chess Club', true, ['player', 'owner'], user.email, '']);
          for (const field of ['$createdAt', '$updatedAt', 'invited', 'joined']) assert.match(owner[field], dateForm);
          const added = await server.createMembership(made.$id, ['player'], undefined, member.$id);
          assert.deepEqual([added.userId, added.confirm, added.roles], [member.$id, true, ['player']]);
          assert.match(added.userAccessedAt, dateForm);
          await refused(server.createMembership(made.$id, [], undefined, member.$id), 409, 'membership_already_confirmed');
          await refused(server.createMembership(made.$id, []), 400, 'general_argument_invalid');
          assert.equal((await theirs.get(made.$id)).total, 2);
          await refused(theirs.updateName ? theirs.updateName(made.$id, 'x') : theirs.update(made.$id, 'x'), 401, 'user_unauthorized');
          assert.deepEqual({ ...(await mine.updatePrefs(made.$id, { theme: 'dark' })) }, { theme: 'dark' });
          assert.deepEqual({ ...(await theirs.getPrefs(made.$id)) }, { theme: 'dark' });
          const list = await theirs.list([web.Query.equal('name', 'Chess Club')], 'chess');
          assert.deepEqual([list.total, list.teams.map((t) => t.$id)], [1, [made.$id]]);
          const found = await server.listMemberships(made.$id, [node.Query.contains('roles', ['owner'])]);
          assert.deepEqual(found.memberships.map((m) => m.$id), [owner.$id]);
          const update = (t, ...args) => (t.updateMembership ?? t.updateMembershipRoles).call(t, ...args);
          await refused(update(theirs, made.$id, added.$id, ['owner']), 401, 'user_unauthorized');
          assert.deepEqual((await update(mine, made.$id, added.$id, ['coach'])).roles, ['coach']);
          await refused(update(mine, made.$id, owner.$id, []), 400, 'membership_downgrade_prohibited');
          await refused(mine.deleteMembership(made.$id, owner.$id), 400, 'membership_deletion_prohibited');
          await refused(mine.deleteMembership(made.$id, 'nothing'), 404, 'team_invite_not_found');
          await refused(mine.getMembership(made.$id, 'nothing'), 404, 'membership_not_found');
          assert.equal((await u.listMemberships(member.$id)).memberships[0].teamName, 'Chess Club');
          await theirs.deleteMembership(made.$id, added.$id);
          await refused(theirs.get(made.$id), 404, 'team_not_found');
          const empty = await server.create(node.ID.unique(), 'Empty', ['ignored']);
          assert.deepEqual([empty.total, (await server.listMemberships(empty.$id)).total], [0, 0]);
          await server.delete(empty.$id);
          await mine.delete(made.$id);
          assert.equal((await u.listMemberships(user.$id)).total, 0);
          await refused(browser().teams.list(), 401, 'general_unauthorized_scope');
        });

        test('invitations to a team: by mail and by SMS, with and without a session', async () => {
          const { b, user } = await signedUp();
          const team = (await b.teams.create(web.ID.unique(), 'Chess Club')).$id;
          const page = 'https://app.example.org/join?a=1#top';
          const linkIn = (text) => new URL(text.match(/https:\/\/app\.example\.org\S+/)[0]);
          const accept = (t, link, more = {}) => {
            const [id, userId, secret] = ['membershipId', 'userId', 'secret'].map((name) => more[name] ?? link.searchParams.get(name));
            return t.updateMembershipStatus(more.teamId ?? team, id, userId, secret);
          };
          const email = fresh('guest');
          const invited = await b.teams.createMembership(team, ['player'], email, undefined, undefined, page, 'Grace');
          assert.deepEqual([invited.confirm, invited.joined, invited.userEmail, invited.userName, invited.teamName, invited.roles], [false, '', email, 'Grace', 'Chess Club', ['player']]);
          assert.match(invited.invited, dateForm);
          const mail = await inbox.mail(email);
          assert.match(mail.text, new RegExp(`^Subject: Invitation to Chess Club Team at ${project}\r$`, 'm'));
          const link = linkIn(mail.text);
          assert.deepEqual([link.pathname, link.hash, link.searchParams.get('a'), link.searchParams.get('membershipId'), link.searchParams.get('userId'), link.searchParams.get('teamId'), link.searchParams.get('teamName')],
            ['/join', '#top', '1', invited.$id, invited.userId, team, 'Chess Club']);
          assert.equal((await b.teams.get(team)).total, 1);
          const pending = await b.teams.listMemberships(team, [web.Query.equal('confirm', false)]);
          assert.deepEqual(pending.memberships.map((m) => m.$id), [invited.$id]);
          const guest = browser();
          await refused(accept(guest.teams, link, { membershipId: 'nothing' }), 404, 'membership_not_found');
          await refused(accept(guest.teams, link, { teamId: 'nothing' }), 404, 'team_not_found');
          await refused(accept(guest.teams, link, { secret: 'f'.repeat(64) }), 401, 'team_invalid_secret');
          await refused(accept(guest.teams, link, { userId: user.$id }), 401, 'team_invite_mismatch');
          await refused(accept(guest.teams, link, { userId: '_' }), 400, 'general_argument_invalid');
          await refused(accept(b.teams, link), 401, 'team_invite_mismatch');
          await refused(accept(teams(), link), 401, 'general_unauthorized_scope');
          const joined = await accept(guest.teams, link);
          assert.deepEqual([joined.$id, joined.confirm, joined.userId, joined.roles], [invited.$id, true, invited.userId, ['player']]);
          checkUser(await guest.account.get(), { $id: invited.userId, email, emailVerification: true, name: 'Grace' });
          checkSession(await guest.account.getSession('current'), { userId: invited.userId, provider: 'email', providerUid: email, factors: ['email'], current: true });
          assert.equal((await guest.teams.get(team)).total, 2);
          await refused(accept(browser().teams, link), 409, 'membership_already_confirmed');
          await refused(b.teams.createMembership(team, [], email, undefined, undefined, page), 409, 'membership_already_confirmed');
          await refused(b.teams.createMembership(team, [], fresh('nobody')), 400, 'general_argument_invalid');
          await refused(b.teams.createMembership(team, [], fresh('nobody'), undefined, undefined, 'https://evil.test/'), 400, 'general_argument_invalid');
          await refused(guest.teams.createMembership(team, [], fresh('nobody'), undefined, undefined, page), 401, 'user_unauthorized');

          const { b: other, user: known, email: theirs } = await signedUp();
          const byId = await b.teams.createMembership(team, ['coach'], undefined, known.$id, undefined, page);
          assert.deepEqual([byId.userId, byId.userEmail, byId.userName], [known.$id, '', '']);
          const session = (await other.account.getSession('current')).$id;
          assert.equal((await accept(other.teams, linkIn((await inbox.mail(theirs)).text))).confirm, true);
          assert.equal((await other.account.getSession('current')).$id, session);
          assert.equal((await other.account.get()).emailVerification, true);

          const number = freshPhone();
          await b.teams.createMembership(team, [], undefined, undefined, number, page);
          const sms = await inbox.sms(number);
          assert.match(sms.body, /Chess Club/);
          const third = browser();
          assert.equal((await accept(third.teams, linkIn(sms.body))).confirm, true);
          checkUser(await third.account.get(), { name: number, phone: number, phoneVerification: true });

          const again = await b.teams.createMembership(team, [], fresh('late'), undefined, undefined, page);
          await b.teams.deleteMembership(team, again.$id);
          await refused(b.teams.getMembership(team, again.$id), 404, 'membership_not_found');
        });

        test('the fields of a user who acts for another, and what is refused', async () => {
          const u = users();
          const { b, user, email } = await signedUp();
          const { user: helper, session } = await signedUp();
          const call = async (method, path, body, headers = {}) => {
            const answer = await fetch(server.endpoint + path, {
              method, body: body && JSON.stringify(body),
              headers: { 'Content-Type': 'application/json', 'X-Appwrite-Project': project, ...headers },
            });
            return { status: answer.status, json: answer.status === 204 ? {} : await answer.json() };
          };
          const signIn = await fetch(`${server.endpoint}/account/sessions/email`, {
            method: 'POST', body: JSON.stringify({ email: helper.email, password }),
            headers: { 'Content-Type': 'application/json', 'X-Appwrite-Project': project },
          });
          const Cookie = signIn.headers.getSetCookie()[0].split(';')[0];
          const as = { Cookie, 'X-Appwrite-Impersonate-User-Email': email.toUpperCase() };
          assert.equal((await call('GET', '/account', undefined, as)).json.$id, helper.$id); // without the right, it is ignored
          assert.equal((await call('GET', `/users/${user.$id}`, undefined, { Cookie })).status, 401);
          const granted = await call('PATCH', `/users/${helper.$id}/impersonator`, { impersonator: true }, { 'X-Appwrite-Key': apiKey });
          assert.deepEqual([granted.status, granted.json.impersonator, granted.json.impersonatorUserId], [200, true, null]);
          const seen = await call('GET', '/account', undefined, as);
          assert.deepEqual([seen.json.$id, seen.json.impersonatorUserId], [user.$id, helper.$id]);
          for (const [name, value] of [['impersonateUserId', user.$id], ['impersonateEmail', email]]) {
            assert.equal((await call('GET', `/account?${name}=${encodeURIComponent(value)}`, undefined, { Cookie })).json.$id, user.$id);
          }
          assert.equal((await call('GET', '/account', undefined, { Cookie, 'X-Appwrite-Impersonate-User-Id': 'nobody' })).json.$id, helper.$id);
          assert.equal((await call('PATCH', '/account/name', { name: 'Countess' }, as)).json.name, 'Countess');
          for (const [method, path, body] of [
            ['PATCH', '/account/email', { email: fresh('x'), password }], ['PATCH', '/account/password', { password: 'another horse', oldPassword: password }],
            ['PATCH', '/account/mfa', { mfa: true }], ['DELETE', '/account/sessions'], ['DELETE', '/account'], ['POST', '/account/jwts', {}],
            ['POST', '/account/targets/push', { targetId: 'unique()', identifier: 'x' }],
          ]) {
            const answer = await call(method, path, body, as);
            assert.deepEqual([answer.status, answer.json.type], [401, 'user_unauthorized'], `${method} ${path}`);
          }
          const read = await call('GET', `/users/${user.$id}`, undefined, { Cookie }); // reads of users are open to helpers, without hashes
          assert.deepEqual([read.status, read.json.$id, read.json.password], [200, user.$id, undefined]);
          assert.equal((await call('PATCH', `/users/${user.$id}/name`, { name: 'x' }, { Cookie })).status, 401);
          const log = await u.listLogs(user.$id);
          assert.deepEqual(log.logs.slice(0, 2).map((l) => [l.event, l.userId, l.userType]), [['user.update', helper.$id, 'user'], ['user.impersonate', helper.$id, 'user']]);
          await u.updateStatus(user.$id, false);
          assert.equal((await call('GET', '/account', undefined, as)).json.type, 'user_blocked');
          assert.ok(session.$id && b);
        });

        test('what was there before a restart is there after it', { skip: false }, async () => {
          if (kind === 'memory') return;
          const { b, user, email } = await signedUp();
          await b.account.updatePrefs({ kept: true });
          await server.restart();
          b.client.setEndpoint(server.endpoint);
          checkUser(await b.account.get(), { $id: user.$id, email, name: 'Ada', prefs: { kept: true } });
          await browser().account.createEmailPasswordSession(email, password);
        });
      });
    }
  });
}
